package cmd

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// shellCommand is a command of cmd.exe, which is ended with its children when
// ctx ends.
func shellCommand(ctx context.Context, text string) *exec.Cmd {
	system := filepath.Join(os.Getenv("SystemRoot"), "System32")
	c := exec.CommandContext(ctx, filepath.Join(system, "cmd.exe"))
	// cmd.exe has quoting rules of its own: it gets the words as they are.
	c.SysProcAttr = &syscall.SysProcAttr{CmdLine: `cmd.exe /d /s /c "` + text + `"`}
	c.Cancel = func() error {
		tree := exec.Command(filepath.Join(system, "taskkill.exe"), "/t", "/f", "/pid", strconv.Itoa(c.Process.Pid))
		if tree.Run() != nil {
			return c.Process.Kill()
		}
		return nil
	}
	return c
}

// killRest has nothing to do: Cancel has ended the whole tree.
func killRest(*exec.Cmd) {}
