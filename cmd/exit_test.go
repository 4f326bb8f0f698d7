package cmd

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

func TestExitCodes(t *testing.T) {
	lost := fmt.Errorf("%w: %w", client.ErrConnectionLost, io.EOF)
	for _, tt := range []struct {
		err  error
		want int
		says string // part of the line
	}{
		{nil, 0, ""},
		{&exitError{code: exitTimeout}, 27, ""},
		{&usageError{text: "x", hint: "y"}, 2, "x; y"},
		{errors.New("client: x"), 1, "x"},
		{os.ErrNotExist, 1, ""},
		{&client.PublishError{ReasonCode: mqtt.NotAuthorized}, 0x87, "Not authorized (0x87)"},
		{&client.SubscribeError{Filters: []string{"a", "b"}, ReasonCodes: []mqtt.ReasonCode{0, mqtt.QuotaExceeded}}, 0x97, "b: Quota exceeded"},
		{fmt.Errorf("%w: %w", client.ErrConnectionLost, &client.DisconnectError{ReasonCode: mqtt.ServerShuttingDown}), 0x8b, "Server shutting down"},
		{fmt.Errorf("%w: %w", client.ErrConnectionLost, &client.DisconnectError{}), 7, ""}, // a server that just leaves
		{lost, 7, "connection lost"},
		{&connectFailure{"mqtt://h:1", lost}, 7, "mqtt://h:1: connection lost"},
		{&connectFailure{"u", &client.ConnectError{ReasonCode: mqtt.Banned, Connack: &mqtt.Connack{}}}, 0x8a, "u: the server refused the connection: Banned"},
		{&connectFailure{"u", dialError("connect", syscall.ECONNREFUSED)}, 1, "u: connection refused; is a broker running there?"},
		{&connectFailure{"mqtt://h:1", dialError("resolve", &net.DNSError{Name: "h", IsNotFound: true})}, 1, "mqtt://h:1: no such host: h; check the name behind -h"},
		{&connectFailure{"u", dialError("resolve", &net.DNSError{Name: "eth9", IsNotFound: true})}, 1, "u: no such host: eth9; check the address behind -A"},
		{&connectFailure{"u", dialError("resolve", &net.DNSError{Name: "h"})}, 1, "u: cannot look up h"},
		{&connectFailure{"u", dialError("tls", x509.UnknownAuthorityError{})}, 8, "--cafile"},
		{&connectFailure{"u", dialError("tls", &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")})}, 8, "the server refused: bad certificate"},
		{&connectFailure{"u", fmt.Errorf("%w: %w", client.ErrConnectionLost, &net.OpError{Op: "remote error", Err: errors.New("tls: x")})}, 8, ""},
		{&connectFailure{"u", dialError("websocket", io.EOF)}, 1, "u: the server closed the connection without an answer; does that port speak WebSocket?"},
		{errors.New("begin" + strings.Repeat("x", 70_000) + "end"), 1, "xx … xx"},
		{&tlsFileError{"x", "y"}, 8, "x; y"},
		{&connectFailure{"u", &client.ConnectError{Err: fmt.Errorf("no answer within 1s: %w", context.DeadlineExceeded)}}, 1, "u: no answer within 1s; check"},
		{&connectFailure{"u", context.Canceled}, 1, "u: interrupted"},
		{&connectFailure{"u", &client.ConnectError{Err: &mqtt.Error{Code: mqtt.MalformedPacket, Text: "flags"}}}, 1, "u: the answer is not MQTT: flags"},
		{&connectFailure{"u", dialError("proxy", &transport.ProxyError{Proxy: "socks5://p", Err: io.EOF})}, 1, "u: the proxy socks5://p: it closed the connection without an answer"},
		{&connectFailure{"u", dialError("proxy", &transport.ProxyError{Proxy: "socks5://p", Err: &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}})}, 1, "u: the proxy socks5://p: it closed the connection without an answer"},
		{errors.Join(errors.New("a"), errors.New("b")), 1, "a; b"},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v: code %d, want %d", tt.err, got, tt.want)
		}
		if tt.err == nil {
			continue
		}
		if line := explain(tt.err); !strings.Contains(line, tt.says) || strings.Contains(line, "\n") || strings.Contains(line, "client: ") {
			t.Errorf("%v: %q, want %q in it", tt.err, line, tt.says)
		}
	}
}

func dialError(step string, err error) error {
	return &client.ConnectError{Err: &transport.DialError{Step: step, URL: "u", Err: err}}
}

// What a server says cannot act on the terminal.
func TestExplainIsPrintable(t *testing.T) {
	said := mqtt.Properties{mqtt.Str(mqtt.ReasonString, "\x1b]0;owned\x07 \u009b31m grün \u202e\ttab")}
	for _, err := range []error{
		&connectFailure{"mqtt://x", &client.ConnectError{ReasonCode: mqtt.NotAuthorized, Connack: &mqtt.Connack{ReasonCode: mqtt.NotAuthorized, Properties: said}}},
		&connectFailure{"mqtt://x", fmt.Errorf("%w: %w", client.ErrConnectionLost, &client.DisconnectError{ReasonString: string(said[0].Value)})},
		&client.PublishError{ReasonCode: mqtt.QuotaExceeded, ReasonString: string(said[0].Value)},
		&connectFailure{"mqtt://x", &transport.DialError{Step: "tls", Err: x509.HostnameError{Host: "x",
			Certificate: &x509.Certificate{DNSNames: []string{string(said[0].Value)}}}}},
	} {
		got := explain(err)
		if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) && r != '\t' }) || !strings.Contains(got, `\x1b]0;owned\a \u009b31m grün \u202e`) {
			t.Errorf("%q", got)
		}
	}
}
