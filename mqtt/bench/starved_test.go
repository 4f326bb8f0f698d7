package bench

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// A connection that this machine has no port or descriptor for says nothing about the Server: the result is invalid, and
// tells what to do.
func TestStarvedGenerator(t *testing.T) {
	for _, tt := range []struct {
		err    error
		advice string
	}{
		{os.NewSyscallError("connect", syscall.EADDRNOTAVAIL), "local port"},
		{os.NewSyscallError("socket", syscall.EMFILE), "ulimit -n"},
		{os.NewSyscallError("socket", syscall.ENFILE), "ulimit -n"},
		{os.NewSyscallError("connect", syscall.ECONNREFUSED), ""},
		{errors.New("another"), ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStub()
			dialled := 0
			rep := runStub(t, s, func(sc *Scenario) {
				sc.Publishers, sc.Connecting = 20, 1
				sc.Client.Dial = func(ctx context.Context) (net.Conn, error) {
					if dialled++; dialled%10 == 0 {
						return nil, &net.OpError{Op: "dial", Net: "tcp", Err: tt.err}
					}
					return s.dial(ctx)
				}
			})
			var faults int
			for _, f := range rep.Generator.Faults {
				if strings.HasPrefix(f, "4 connections ") && strings.Contains(f, tt.advice) {
					faults++
				}
			}
			if want := tt.advice != ""; (faults == 1) != want || (rep.Verdict == Invalid) != want || rep.Generator.Valid == want || rep.Connections.Failed != 4 {
				t.Errorf("%v: %s %q", tt.err, rep.Verdict, rep.Reasons)
			}
		})
	}
}
