package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/term"
)

// passwordFlags are where a password can come from, in their order where
// several are given in the same way.
func passwordFlags() []string {
	return []string{"password-file", "password-env", "password-command", "ask-password", "token-command", "password"}
}

// source is the flag that the password comes from, nil if there is none: the one
// that was given by the strongest way.
func (o *connectOptions) source() (*option, error) {
	var best *option
	var typed []string
	for _, name := range passwordFlags() {
		f := o.flag[name]
		if f.origin == fromArgs {
			typed = append(typed, f.typed)
		}
		if f.given() && (best == nil || f.origin > best.origin) {
			best = f
		}
	}
	if len(typed) > 1 {
		return nil, &usageError{text: strings.Join(typed, " and ") + " both give the password", hint: "one of them is enough"}
	}
	return best, nil
}

// secret is the password, nil if there is none or a token takes its place.
func (o *connectOptions) secret(s *Stdio) ([]byte, error) {
	f, err := o.source()
	if err != nil || f == nil {
		return nil, err
	}
	switch f.names[0] {
	case "password-file":
		b, err := readFile("--password-file", o.passwordFile)
		return firstLine(b), err
	case "password-env":
		return secretEnv("--password-env", o.passwordEnv)
	case "password-command":
		ctx, cancel := s.context(commandTimeout)
		defer cancel()
		out, err := commandOutput(ctx, "--password-command", o.passwordCommand, s.Err)
		return firstLine(out), err
	case "ask-password":
		if !o.askPassword {
			return nil, nil
		}
		return askSecret(s, f.typed, "Password: ")
	case "token-command":
		return nil, nil
	}
	return []byte(o.password), nil
}

func secretEnv(flag, name string) ([]byte, error) {
	v, ok := os.LookupEnv(name)
	if !ok {
		return nil, &usageError{text: flag + " " + name, hint: "there is no such variable"}
	}
	return []byte(v), nil
}

// askSecret has a person type it, unseen.
func askSecret(s *Stdio, flag, prompt string) ([]byte, error) {
	in, ok := s.In.(*os.File)
	if !ok || !isTerminal(in) {
		return nil, &usageError{text: flag + " asks on a terminal, and stdin is none", hint: "--password-file and --password-command need none"}
	}
	ctx, cancel := s.context(0)
	defer cancel()
	return readSecret(ctx, in, s.Err, prompt)
}

// readSecret prompts once. Ctrl-C leaves the terminal as it was.
func readSecret(ctx context.Context, in *os.File, out io.Writer, prompt string) ([]byte, error) {
	fd := int(in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	fmt.Fprint(out, prompt)
	type answer struct {
		b   []byte
		err error
	}
	read := make(chan answer, 1)
	go func() {
		b, err := term.ReadPassword(fd)
		read <- answer{b, err}
	}()
	var a answer
	select {
	case a = <-read:
	case <-ctx.Done(): // the read goes on until the program ends
		a.err = errors.Join(errInterrupted, term.Restore(fd, before))
	}
	fmt.Fprintln(out)
	return a.b, a.err
}

// commandTimeout bounds a command that gives a secret; some ask a person.
const commandTimeout = 2 * time.Minute

// maxSecret bounds what a command may print: more than CONNECT can carry.
const maxSecret = 128 << 10

// commandOutput runs a line in the shell and returns what it prints; its stderr
// is for the person.
func commandOutput(ctx context.Context, flag, line string, stderr io.Writer) ([]byte, error) {
	name, args := "/bin/sh", []string{"-c", line}
	if runtime.GOOS == "windows" {
		name, args = cmp.Or(os.Getenv("ComSpec"), "cmd.exe"), []string{"/C", line}
	}
	c := exec.CommandContext(ctx, name, args...) //nolint:gosec // the command that was asked for
	c.Stderr = stderr
	c.WaitDelay = time.Second // what it has left in the background may hold the pipe
	pipe, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	out, readErr := io.ReadAll(io.LimitReader(pipe, maxSecret+1))
	_ = pipe.Close()
	err = c.Wait()
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, &commandError{fmt.Errorf("%s: no end within %v", flag, commandTimeout)}
	case ctx.Err() != nil:
		return nil, errInterrupted
	case len(out) > maxSecret:
		return nil, &commandError{fmt.Errorf("%s: it prints more than %d bytes", flag, maxSecret)}
	case err != nil:
		return nil, &commandError{fmt.Errorf("%s: %w", flag, err)}
	case readErr != nil && !errors.Is(readErr, os.ErrClosed):
		return nil, &commandError{fmt.Errorf("%s: %w", flag, readErr)}
	case len(firstLine(out)) == 0:
		return nil, &commandError{fmt.Errorf("%s: it printed nothing", flag)}
	}
	return out, nil
}

// errInterrupted is Ctrl-C while a secret is waited for.
var errInterrupted = errors.New("interrupted")

// commandError is a command that gave no secret.
type commandError struct{ err error }

func (e *commandError) Error() string { return e.err.Error() }
func (e *commandError) Unwrap() error { return e.err }
