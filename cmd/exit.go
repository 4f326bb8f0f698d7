package cmd

import (
	"errors"
	"fmt"
	"net"

	"github.com/urfave/cli/v2"

	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

// The exit codes that are ours; from 128 to 162 they are the server's.
const (
	exitOK           = 0
	exitFailed       = 1
	exitUsage        = 2
	exitLost         = 7
	exitTLS          = 8
	exitThreshold    = 10
	exitContract     = 11
	exitRegression   = 12
	exitInvalid      = 13
	exitInconclusive = 14
	exitProbe        = 20
	exitTimeout      = 27
)

// exitRow is one line of the table.
type exitRow struct {
	codes string
	text  string
	only  string // the command that alone ends so, "" for all
	needs string // a flag that commands have that can end so, "" for all
}

// endsSo tells that the command can end so.
func (r exitRow) endsSo(c *cli.Command) bool {
	return (r.only == "" || r.only == c.Name) && (r.needs == "" || lookup(c, r.needs) != nil)
}

// exitTable is the one table of exit codes: --help prints it, and so does the
// README.
func exitTable() []exitRow {
	row := func(code int, text, only string) exitRow {
		return exitRow{codes: fmt.Sprint(code), text: text, only: only}
	}
	return []exitRow{
		row(exitOK, "done; for sub also Ctrl-C, SIGTERM, a closed stdout, -C reached", ""),
		row(exitFailed, "could not run: unreachable, DNS, file, disk, anything without a better code", ""),
		row(exitUsage, "usage: a flag, a value or a combination that makes no sense", ""),
		{fmt.Sprint(exitLost), "the connection was lost before the work was acknowledged", "", "--host"},
		{fmt.Sprint(exitTLS), "TLS: the chain, the name, the dates; the message says which", "", "--cert"},
		row(exitThreshold, "a threshold failed", "bench"),
		row(exitContract, "the delivery contract was broken", "bench"),
		row(exitRegression, "regression against a baseline", "bench"),
		row(exitInvalid, "the result is invalid: the generator was the bottleneck", "bench"),
		row(exitInconclusive, "inconclusive", "bench"),
		row(exitProbe, "the broker failed a probe", "check"),
		row(exitTimeout, "the time of -W or --idle ran out first", "sub"),
		{"128-162", "the server's own MQTT reason code: connection refused (3.1.1 codes as their 5.0 twins), " +
			"publish or subscription denied, DISCONNECT received", "", "--host"},
	}
}

// exitError ends the program with a code. Without err nothing is printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError is a mistake on the command line, and what to do about it.
type usageError struct {
	text string
	hint string // "" if there is none
}

func (e *usageError) Error() string {
	if e.hint == "" {
		return e.text
	}
	return e.text + "; " + e.hint
}

// exitCode is the table's meaning.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if code, ok := reasonCode(err); ok && code.Failed() {
		return int(code)
	}
	switch {
	case tlsFailed(err):
		return exitTLS
	case errors.Is(err, client.ErrConnectionLost):
		return exitLost
	}
	return exitFailed
}

// reasonCode is what the server said.
func reasonCode(err error) (mqtt.ReasonCode, bool) {
	if e, ok := errors.AsType[*client.PublishError](err); ok {
		return e.ReasonCode, true
	}
	if e, ok := errors.AsType[*client.SubscribeError](err); ok {
		return e.ReasonCode(), true
	}
	if e, ok := errors.AsType[*client.DisconnectError](err); ok {
		return e.ReasonCode, true
	}
	if e, ok := errors.AsType[*client.ConnectError](err); ok && e.Connack != nil {
		return e.ReasonCode, true
	}
	return 0, false
}

// tlsFailed tells that TLS is what did not work, also once connected: with TLS
// 1.3 a server refuses a certificate after the handshake.
func tlsFailed(err error) bool {
	if e, ok := errors.AsType[*transport.DialError](err); ok && e.Step == "tls" {
		return true
	}
	if e, ok := errors.AsType[*transport.ProxyError](err); ok && e.TLS {
		return true
	}
	if _, ok := errors.AsType[*tlsFileError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error" // an alert
}
