//go:build unix

package bench

import (
	"context"
	"os/exec"
	"syscall"
)

// shell runs a command as people write it. When ctx ends, all that it has
// started is asked to end.
func shell(ctx context.Context, command string) *exec.Cmd {
	c := exec.CommandContext(ctx, "sh", "-c", command) //nolint:gosec // the scenario's author says what to run
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	return c
}

// endRest ends what a command that had to be ended has left behind. One that
// ended by itself may leave what it likes: a broker that it has started.
func endRest(c *exec.Cmd) {
	if c.Process != nil && c.ProcessState != nil && !c.ProcessState.Exited() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // there may be nothing left
	}
}
