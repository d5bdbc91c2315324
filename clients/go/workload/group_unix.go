//go:build unix

package workload

import (
	"os/exec"
	"syscall"
)

// endWithChildren has a command that is stopped end with whatever it started.
func endWithChildren(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
}
