package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	gitpodTimeout = 15 * time.Second
	gitpodMend    = "run it inside an Ona or Gitpod environment, where `ona idp token --audience AUDIENCE` prints a token"
)

// Ona's command, the same under its former name, and that of Gitpod Classic.
var gitpodCommands = []string{"ona", "gitpod", "gp"}

// askGitpod has the environment's command print a token with this audience.
func askGitpod(ctx context.Context, audience string) (string, error) {
	program := gitpodCommand()
	if program == "" {
		return "", none("none of ona, gitpod, gp is on the PATH", gitpodMend)
	}
	ctx, cancel := context.WithTimeout(ctx, gitpodTimeout)
	defer cancel()
	name := filepath.Base(program)
	printed, said := &bounded{most: longestToken, stop: cancel}, &bounded{most: longestToken}
	command := exec.CommandContext(ctx, program, "idp", "token", "--audience", audience)
	command.Stdout, command.Stderr = printed, said
	endWithChildren(command) // which may hold its output open
	command.WaitDelay = time.Second
	err := command.Run()
	why := Harmless(said.text.String())
	if why == "" {
		why = "it said nothing"
	}
	var ended *exec.ExitError
	switch {
	case printed.isTooMuch:
		return "", none(fmt.Sprintf("`%s idp token` printed more than a token", name), "")
	case err == nil:
		return printed.text.String(), nil
	case ctx.Err() != nil:
		told := fmt.Sprintf("`%s idp token` gave no answer within %.0f seconds: %s", name, gitpodTimeout.Seconds(), why)
		return "", none(told, gitpodMend)
	case errors.As(err, &ended):
		return "", none(fmt.Sprintf("`%s idp token` ended with %d: %s", name, ended.ExitCode(), why), gitpodMend)
	default:
		return "", none(fmt.Sprintf("`%s idp token` could not be run: %T", name, err), gitpodMend)
	}
}

// gitpodCommand returns the absolute path of the environment's command; empty where there is none.
func gitpodCommand() string {
	for _, name := range gitpodCommands {
		// NOTE: LookPath gives no program out of an empty or relative entry of PATH, which would be the folder that the agent works in.
		if found, err := exec.LookPath(name); err == nil && filepath.IsAbs(found) {
			return found
		}
	}
	return ""
}

// bounded keeps what a program prints up to a limit, and stops one that prints on.
type bounded struct {
	text      bytes.Buffer
	most      int
	isTooMuch bool
	stop      func()
}

func (b *bounded) Write(piece []byte) (int, error) {
	room := b.most - b.text.Len()
	_, _ = b.text.Write(piece[:min(len(piece), room)])
	if len(piece) > room {
		b.isTooMuch = true
		if b.stop != nil {
			b.stop()
		}
	}
	return len(piece), nil
}
