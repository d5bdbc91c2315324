package remit

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

const (
	firstApprovalPause   = time.Second
	longestApprovalPause = 10 * time.Second
	leavingTimeout       = 5 * time.Second
)

// patience counts the time of one wait for people; without a timeout there is none, and the first pending approval is told.
type patience struct {
	until  time.Time
	pause  time.Duration
	isTold bool
}

func newPatience(timeout time.Duration) *patience {
	return &patience{until: time.Now().Add(timeout), pause: firstApprovalPause}
}

// next returns how long to wait until it is asked again; false once the time is over.
func (p *patience) next(pending *ApprovalPending, log *slog.Logger) (time.Duration, bool) {
	left := time.Until(p.until)
	if left <= 0 {
		return 0, false
	}
	if !p.isTold {
		p.isTold = true
		log.Info("remit: waiting for people to approve", "approval", pending.Approval, "groups", pending.Groups,
			"by_subject", pending.BySubject, "until", pending.LapseTime)
	}
	pause := p.pause
	p.pause = min(p.pause*3/2, longestApprovalPause)
	return min(time.Duration(float64(pause)*between(0.75, 1)), left), true
}

// firstIssued asks for a task's first credentials, and again while people are waited for.
func (g *Gateway) firstIssued(ctx context.Context, w *wish) (*issued, error) {
	requestID := w.RequestID
	if requestID == "" {
		requestID = newRequestID()
	}
	waiting := newPatience(w.WaitForApproval)
	for {
		found, err := g.calls.issue(ctx, w, requestID)
		var pending *ApprovalPending
		if !errors.As(err, &pending) {
			return found, err
		}
		pause, goesOn := waiting.next(pending, g.calls.log)
		if !goesOn {
			return nil, pending
		}
		if sleep(ctx, pause) != nil {
			g.leave(ctx, w, pending.TaskID)
			return nil, givenUp(ctx)
		}
	}
}

// leave tells the gateway that a task is over whose people nobody waits for any more; else its approval lapses.
func (g *Gateway) leave(ctx context.Context, w *wish, taskID string) {
	if w.TaskID != "" {
		return
	}
	g.background.run(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavingTimeout)
		defer cancel()
		_, _ = g.calls.end(ctx, taskID)
	})
}
