// Package workload finds and refreshes the identity that a platform gives this process: no secret has to be kept anywhere.
//
//	gateway, err := remit.Dial("gateway.example.com:8444", remit.WithBearer(workload.GitHub("https://remit.acme.example")))
//
// Each function returns a source for [remit.WithBearer] and for a request's SubjectToken. SPIFFE is in the package below. Sources
// fail with [remit.NoWorkloadIdentity], which says what to set, and where.
package workload

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"remit.dev/go/remit"
)

const (
	patience     = 20 * time.Second // for one answer of a platform, its repeats included
	margin       = time.Minute      // before its end, or half of a shorter life, at which a token is asked for anew
	longestKept  = time.Hour        // whatever a token says of its end
	longestToken = 16 * 1024        // of the 24 KiB that a gateway takes in all
	longestHeard = 2000
	longestTold  = 300

	unavailable = "WORKLOAD_TOKEN_UNAVAILABLE"
	expired     = "WORKLOAD_TOKEN_EXPIRED"
)

var (
	jwt = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)
	// What might be a token or a key: no sentence of a platform's is repeated with such a thing in it.
	run     = regexp.MustCompile(`[A-Za-z0-9_\-.=+/]{24,}`)
	capital = regexp.MustCompile(`[A-Z]`)
	digit   = regexp.MustCompile(`[0-9]`)
	hex     = regexp.MustCompile(`[0-9a-f-]{32,}`)
)

// Source gives this workload's token; it is safe for concurrent use. Two that ask the same platform for the same thing are the same to
// a gateway, which then sends one token twice: some issuers' one token proves both who works and for whom.
type Source struct {
	platform   string
	parameters string
	fetch      func(context.Context) (string, error)
	keeps      bool

	mu     sync.Mutex
	kept   *kept
	flight *flight
}

// kept is a token with its times, which are read without verification: they only say when to ask again.
type kept struct {
	token        remit.Secret
	end, renewal time.Time
}

// flight is one question to the platform: all who wait for it are told the same.
type flight struct {
	done  chan struct{}
	found *kept
	err   error
}

// Kept returns a source that asks a platform by `fetch` and keeps what it gives until near its end; `parameters` say what is asked
// for. fetch is bounded by its context, and asked once for everybody who waits.
func Kept(platform, parameters string, fetch func(context.Context) (string, error)) *Source {
	return &Source{platform: platform, parameters: parameters, fetch: fetch, keeps: true}
}

// Token returns a token that is good for a while.
func (s *Source) Token(ctx context.Context) (string, error) {
	if !s.keeps {
		return s.fetch(ctx)
	}
	s.mu.Lock()
	before := s.kept
	if before != nil && time.Now().Before(before.renewal) {
		s.mu.Unlock()
		return before.token.Reveal(), nil
	}
	waited := s.flying()
	s.mu.Unlock()
	select {
	case <-waited.done:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	switch {
	case waited.err == nil:
		return waited.found.token.Reveal(), nil
	case before != nil && time.Now().Before(before.end):
		return before.token.Reveal(), nil // it outlasts an outage of the platform
	default:
		return "", waited.err
	}
}

// flying returns the question that is under way, or begins one.
func (s *Source) flying() *flight {
	if s.flight == nil {
		begun := &flight{done: make(chan struct{})}
		s.flight = begun
		go s.fly(begun)
	}
	return s.flight
}

func (s *Source) fly(begun *flight) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	token, err := asked(ctx, s.platform, s.fetch)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight = nil
	if begun.err = err; err == nil {
		begun.found = keptOf(token, time.Now())
		s.kept = begun.found
	}
	close(begun.done)
}

// asked asks a platform once, and returns what it gave if that is a signed JWT.
func asked(ctx context.Context, platform string, fetch func(context.Context) (string, error)) (remit.Secret, error) {
	said, err := fetch(ctx)
	var told *remit.NoWorkloadIdentity
	switch {
	case err == nil:
		return checked(said, platform, true)
	case errors.As(err, &told):
		return remit.Secret{}, err
	case ctx.Err() != nil:
		return remit.Secret{}, none(
			fmt.Sprintf("%s gave no token within %.0f seconds", platform, patience.Seconds()),
			"look whether the platform's token endpoint can be reached from here, and try again")
	default: // a library's words may hold anything, so only their kind is told
		return remit.Secret{}, none(fmt.Sprintf("%s gave no token: %T", platform, err), "")
	}
}

func keptOf(token remit.Secret, now time.Time) *kept {
	end, isKnown := unverifiedEnd(token.Reveal())
	if !isKnown {
		end = now
	}
	renewal := end.Add(-min(margin, max(end.Sub(now), 0)/2))
	if latest := now.Add(longestKept); renewal.After(latest) {
		renewal = latest
	}
	return &kept{token, end, renewal}
}

// IsSame says whether two sources ask the same platform for the same thing.
func (s *Source) IsSame(other remit.TokenSource) bool {
	found, ok := other.(*Source)
	return ok && s.platform == found.platform && s.parameters == found.parameters
}

func (s *Source) String() string { return "<workload.Source " + s.platform + " " + s.parameters + ">" }

// Format writes the same for every verb.
func (s *Source) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, s.String()) }

// LogValue logs the same.
func (s *Source) LogValue() slog.Value { return slog.StringValue(s.String()) }

// checked returns what a platform gave without white space around it.
func checked(said, platform string, isJWT bool) (remit.Secret, error) {
	bare := strings.TrimSpace(said)
	switch {
	case bare == "":
		return remit.Secret{}, none(platform+" gave nothing", "")
	case len(bare) > longestToken:
		told := fmt.Sprintf("%s gave %d characters, which is no token that a gateway takes", platform, len(bare))
		return remit.Secret{}, none(told, "")
	case isJWT && !jwt.MatchString(bare):
		return remit.Secret{}, none(platform+" gave something that is no signed JWT", "")
	}
	return remit.SecretOf(bare), nil
}

// unverifiedEnd returns the `exp` of a JWT, unverified; false where there is none to be read.
func unverifiedEnd(token string) (time.Time, bool) {
	parts := strings.Split(token, ".")
	if len(parts) < 2 {
		return time.Time{}, false
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var claims struct {
		Exp *float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(text, &claims) != nil || claims.Exp == nil {
		return time.Time{}, false
	}
	return time.Unix(int64(*claims.Exp), 0), true
}

// none returns the error for a token that is not to be had.
func none(message, advice string) *remit.NoWorkloadIdentity {
	failure := remit.Failure{Reason: unavailable, Message: message, Remedy: remit.RemedyCorrect}
	return &remit.NoWorkloadIdentity{Failure: failure, Advice: advice}
}

// Harmless returns what a platform said as one short line, without anything that might be a token.
func Harmless(text string) string {
	if len(text) > longestHeard {
		text = text[:longestHeard]
	}
	printable := strings.Map(func(character rune) rune {
		if character < ' ' || character == 0x7f || character == '\uFFFD' {
			return ' '
		}
		return character
	}, strings.ToValidUTF8(text, " "))
	line := strings.Join(strings.Fields(printable), " ")
	// Host names and the names of errors, which are long, too, have no capitals or no digits.
	line = run.ReplaceAllStringFunc(line, func(found string) string {
		if capital.MatchString(found) && digit.MatchString(found) {
			return "***"
		}
		return found
	})
	line = hex.ReplaceAllString(line, "***")
	return line[:min(len(line), longestTold)]
}
