package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

// connectFailure is an error that has to do with a server, with its URL.
type connectFailure struct {
	url string
	err error
}

func (e *connectFailure) Error() string { return e.url + ": " + e.err.Error() }
func (e *connectFailure) Unwrap() error { return e.err }

// tlsFileError is a certificate or key that cannot be used.
type tlsFileError struct {
	text, hint string
}

func (e *tlsFileError) Error() string { return e.text + "; " + e.hint }

// explain says in one line what failed and what may help. It is "" when there
// is nothing to say.
func explain(err error) string {
	if e, ok := errors.AsType[*exitError](err); ok && e.err == nil {
		return ""
	}
	text, hint := describe(err)
	text = shorten(visible(oneLine(text)))
	if hint == "" {
		return text
	}
	return text + "; " + hint
}

func describe(err error) (text, hint string) {
	if e, ok := errors.AsType[*connectFailure](err); ok {
		return explainConnect(e)
	}
	if code, ok := reasonCode(err); ok {
		return plain(err), reasonHint(code)
	}
	return plain(err), ""
}

// plain is err without the names of packages in front.
func plain(err error) string {
	s := err.Error()
	for _, pkg := range []string{"client: ", "transport: ", "broker: ", "access: ", "format: ", "topic: ", "mqtt: ", "bench: ", "codec: "} {
		s = strings.ReplaceAll(s, pkg, "")
	}
	return visible(s)
}

// visible shows what a server sends to a terminal without acting on it:
// control characters are escaped.
func visible(s string) string {
	safe := func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' || unicode.IsPrint(r) }
	if !strings.ContainsFunc(s, func(r rune) bool { return !safe(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if safe(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// oneLine keeps errors that were joined, and texts of others, on one line.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// shorten leaves out the middle of a text with a word, such as a topic, that
// would fill the screen.
func shorten(s string) string {
	const most, kept = 1200, 500
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:kept], "") + " … " + strings.ToValidUTF8(s[len(s)-kept:], "")
}

func explainConnect(e *connectFailure) (text, hint string) {
	if r, ok := errors.AsType[*client.RetryError](e.err); ok {
		text, hint = explainRetry(e.url, r)
		before, after, _ := strings.Cut(plain(e.err), plain(r))
		return e.url + ": " + before + text + after, hint
	}
	if dial, ok := errors.AsType[*transport.DialError](e.err); ok {
		return explainDial(e.url, dial)
	}
	if code, ok := reasonCode(e.err); ok {
		return e.url + ": " + plain(e.err), reasonHint(code)
	}
	switch {
	case errors.Is(e.err, context.DeadlineExceeded):
		return fmt.Sprintf("%s: %s", e.url, strings.TrimSuffix(strings.TrimPrefix(plain(e.err), "connect: "), ": "+context.DeadlineExceeded.Error())),
			"check host and port, or raise --connect-timeout"
	case errors.Is(e.err, context.Canceled):
		return e.url + ": interrupted", ""
	case errors.Is(e.err, client.ErrConnectionLost):
		return e.url + ": " + strings.ReplaceAll(plain(e.err), ": EOF", ""), ""
	case noMQTT(e.err):
		return e.url + ": the answer is not MQTT: " + strings.TrimPrefix(plain(e.err), "connect: "), "is that the port of a broker?"
	}
	if errors.Is(e.err, io.EOF) || errors.Is(e.err, syscall.ECONNRESET) {
		return e.url + ": the server closed the connection without an answer", "does that port want TLS, or a WebSocket? Then the URL begins with mqtts:// or ws://"
	}
	if why, hint := explainTLS(e.err); why != "" {
		return e.url + ": TLS: " + why, hint
	}
	return e.url + ": " + strings.TrimPrefix(plain(e.err), "connect: "), ""
}

// noMQTT tells that the first answer could not be read, such as that of a web
// server.
func noMQTT(err error) bool {
	_, attempt := errors.AsType[*client.ConnectError](err)
	_, malformed := errors.AsType[*mqtt.Error](err)
	return attempt && malformed
}

// ended tells an attempt that failed from a connection that ended.
func ended(err error) error {
	if _, attempt := errors.AsType[*client.ConnectError](err); attempt {
		return err
	}
	return fmt.Errorf("%w: %w", client.ErrConnectionLost, err)
}

// explainRetry says how it began and how it ended.
func explainRetry(url string, r *client.RetryError) (text, hint string) {
	var parts [2]string
	for i, err := range []error{r.Cause, r.Last} {
		parts[i], hint = explainConnect(&connectFailure{url, ended(err)})
	}
	return fmt.Sprintf("%s; gave up after %v: %s", strings.TrimPrefix(parts[0], url+": "), r.After.Round(100*time.Millisecond), strings.TrimPrefix(parts[1], url+": ")), hint
}

// explainProxy says what is the matter with the proxy, or behind it.
func explainProxy(url string, e *transport.ProxyError) (text, hint string) {
	scheme, _, _ := strings.Cut(e.Proxy, "://")
	login := "as in --proxy " + scheme + "://USER:PASSWORD@HOST"
	switch {
	case e.Status == http.StatusProxyAuthRequired:
		return url + ": " + e.Error(), "it wants a user and a password, " + login
	case e.Status/100 == 5 || e.Status == http.StatusForbidden:
		return url + ": " + e.Error(), "it may not reach that server"
	case e.Status != 0:
		return url + ": " + e.Error(), ""
	}
	before := url + ": the proxy " + e.Proxy + ": "
	if dns, ok := errors.AsType[*net.DNSError](e.Err); ok && dns.IsNotFound {
		return before + "no such host " + dns.Name, "check the name behind --proxy"
	}
	if e.TLS {
		text, hint = explainTLS(e.Err)
		return before + "TLS: " + text, hint
	}
	cause := e.Err
	for {
		var op *net.OpError
		if !errors.As(cause, &op) || op.Err == nil {
			break
		}
		cause = op.Err
	}
	switch text = cause.Error(); {
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return before + "connection refused", "is the proxy running there?"
	case errors.Is(e.Err, io.EOF), errors.Is(e.Err, syscall.ECONNRESET): // which of them is the kernel's choice
		return before + "it closed the connection without an answer", ""
	case strings.Contains(text, "authentication"):
		return before + text, "does it want a user and a password? As in --proxy " + scheme + "://USER:PASSWORD@HOST"
	}
	return before + plain(cause), ""
}

func explainDial(url string, e *transport.DialError) (text, hint string) {
	if p, ok := errors.AsType[*transport.ProxyError](e.Err); ok {
		return explainProxy(url, p)
	}
	if dns, ok := errors.AsType[*net.DNSError](e.Err); ok {
		what := "cannot look up"
		if dns.IsNotFound {
			what = "no such host:"
		}
		hint = "check the name behind -h or in the URL"
		if !strings.Contains(url, dns.Name) {
			hint = "check the address behind -A"
		}
		return fmt.Sprintf("%s: %s %s", url, what, dns.Name), hint
	}
	switch {
	case e.Step == "tls":
		text, hint = explainTLS(e.Err)
		return url + ": TLS: " + text, hint
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return url + ": connection refused", "is a broker running there? mqt broker starts one"
	case errors.Is(e.Err, os.ErrNotExist):
		return url + ": no such socket", "is a broker listening there?"
	case errors.Is(e.Err, os.ErrPermission):
		return url + ": permission denied", ""
	case e.Step == "websocket" && errors.Is(e.Err, io.EOF):
		return url + ": the server closed the connection without an answer", "does that port speak WebSocket?"
	case e.Step == "websocket":
		hint = "check the path (--ws-path or the URL's); /mqtt is the usual one"
	}
	var op *net.OpError
	cause := e.Err
	if errors.As(e.Err, &op) && op.Err != nil {
		cause = op.Err
	}
	return url + ": " + plain(cause), hint
}

func reasonHint(code mqtt.ReasonCode) string {
	switch code {
	case mqtt.BadUserNameOrPassword:
		return "check -u and -P"
	case mqtt.NotAuthorized:
		return "this user may not do that; is -u right?"
	case mqtt.UnsupportedProtocolVersion:
		return "leave -V out, or try another version"
	case mqtt.ClientIdentifierNotValid:
		return "try another -i"
	case mqtt.SessionTakenOver:
		return "another client connected with the same -i"
	case mqtt.QoSNotSupported:
		return "try a lower -q"
	}
	return ""
}
