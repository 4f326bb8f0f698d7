package transport

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// The schemes of an Endpoint.
const (
	SchemeMQTT  = "mqtt"
	SchemeMQTTS = "mqtts"
	SchemeWS    = "ws"
	SchemeWSS   = "wss"
	SchemeUnix  = "unix"
)

// DefaultPath is the path of a WebSocket URL that has none.
const DefaultPath = "/mqtt"

// Endpoint is where a Server is, or listens.
type Endpoint struct {
	Scheme string // mqtt, mqtts, ws, wss or unix
	Host   string // name or address without brackets; empty is localhost when dialled, every address when listened on
	Port   string // a number; empty is the scheme's own; "0" picks one when listened on
	Path   string // ws, wss: the request's path and query, empty is DefaultPath; unix: the socket's file (or @name, Linux)

	Username    string
	Password    []byte
	HasUsername bool
	HasPassword bool

	Topic string // mqtt, mqtts: what follows the host, percent-decoded; empty if nothing does
}

// URLError tells what is wrong with a URL. It never shows the password.
type URLError struct {
	URL  string
	Text string
}

func (e *URLError) Error() string { return fmt.Sprintf("transport: URL %q: %s", e.URL, e.Text) }

// ParseURL reads scheme://[user[:password]@]host[:port][/topic or path]. Schemes are mqtt (or tcp, port 1883), mqtts (or
// ssl, tls, 8883), ws (80), wss (443) and unix, whose path is the socket's file. User, password and topic are
// percent-decoded; a topic may hold '#' and '?' as they are. IPv6 addresses stand in brackets. The error is a *URLError.
func ParseURL(s string) (*Endpoint, error) {
	fail := func(text string, args ...any) (*Endpoint, error) {
		return nil, &URLError{URL: hideUser(s), Text: fmt.Sprintf(text, args...)}
	}
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || scheme == "" {
		return fail("no scheme; write mqtt://host")
	}
	e := &Endpoint{}
	switch scheme = strings.ToLower(scheme); scheme {
	case "tcp":
		e.Scheme = SchemeMQTT
	case "ssl", "tls":
		e.Scheme = SchemeMQTTS
	case SchemeMQTT, SchemeMQTTS, SchemeWS, SchemeWSS, SchemeUnix:
		e.Scheme = scheme
	default:
		return fail("unknown scheme %q; it must be mqtt, mqtts, ws, wss or unix", scheme)
	}
	authority, ok := strings.CutPrefix(rest, "//")
	if !ok {
		if e.Scheme != SchemeUnix {
			return fail("no // behind the scheme")
		}
		e.Path = rest
		return e.checkUnix(fail)
	}
	path := ""
	if i := strings.IndexByte(authority, '/'); i >= 0 {
		authority, path = authority[:i], authority[i:]
	} else if i := strings.IndexByte(authority, '?'); i >= 0 && e.WebSocket() {
		authority, path = authority[:i], authority[i:]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		if err := e.userinfo(authority[:i]); err != nil {
			return fail("%v", err)
		}
		authority = authority[i+1:]
	}
	if e.Scheme == SchemeUnix {
		p, err := url.PathUnescape(authority + path)
		if err != nil {
			return fail("%v", err)
		}
		e.Path = p
		return e.checkUnix(fail)
	}
	if text := e.hostPort(authority); text != "" {
		return fail("%s", text)
	}
	if text := e.setPath(path); text != "" {
		return fail("%s", text)
	}
	return e, nil
}

func defaultPort(scheme string) string {
	switch scheme {
	case SchemeMQTT:
		return "1883"
	case SchemeMQTTS:
		return "8883"
	case SchemeWS:
		return "80"
	case SchemeWSS:
		return "443"
	}
	return ""
}

func (e *Endpoint) checkUnix(fail func(string, ...any) (*Endpoint, error)) (*Endpoint, error) {
	if e.Path == "" || e.Path == "/" {
		return fail("no path of a socket; write unix:///run/mqtt.sock")
	}
	if strings.ContainsRune(e.Path, 0) {
		return fail("a NUL in the path")
	}
	return e, nil
}

func (e *Endpoint) userinfo(s string) error {
	user, pass, has := strings.Cut(s, ":")
	u, err := url.PathUnescape(user)
	if err != nil {
		return fmt.Errorf("user name: %w", err)
	}
	e.Username, e.HasUsername = u, true
	if !has {
		return nil
	}
	p, err := url.PathUnescape(pass)
	if err != nil {
		// The text of err would show a part of the password.
		return fmt.Errorf("password: invalid percent-encoding")
	}
	e.Password, e.HasPassword = []byte(p), true
	return nil
}

// hostPort splits what stands between user and path; it returns what is wrong with it.
func (e *Endpoint) hostPort(s string) string {
	var host, port string
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "no ] behind the IPv6 address"
		}
		host = strings.Replace(s[1:end], "%25", "%", 1)
		bare, zone, zoned := strings.Cut(host, "%")
		if ip := net.ParseIP(bare); ip == nil || !strings.Contains(bare, ":") || zoned && (zone == "" || strings.Contains(zone, "%")) {
			return fmt.Sprintf("%q is not an IPv6 address", host)
		}
		switch rest := s[end+1:]; {
		case rest == "":
		case rest[0] == ':':
			port = rest[1:]
		default:
			return fmt.Sprintf("unexpected %q behind the address", rest)
		}
	} else {
		if strings.Count(s, ":") > 1 {
			return "an IPv6 address must stand in brackets, as in mqtt://[::1]:1883"
		}
		host, port, _ = strings.Cut(s, ":")
		if strings.Contains(host, "%") {
			return fmt.Sprintf("%q is not a host", host)
		}
	}
	if strings.ContainsAny(host, " \t\r\n\x00#?@\\") {
		return fmt.Sprintf("%q is not a host", host)
	}
	if port == "" {
		port = defaultPort(e.Scheme)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Sprintf("port %q is not a number from 0 to 65535", port)
	} else {
		port = strconv.FormatUint(n, 10)
	}
	e.Host, e.Port = host, port
	return ""
}

// setPath reads what follows the host.
func (e *Endpoint) setPath(path string) string {
	if e.WebSocket() {
		if strings.ContainsAny(path, " \r\n\t\x00") {
			return "white space in the path"
		}
		path, _, _ = strings.Cut(path, "#")
		if path == "" || path == "/" {
			path = DefaultPath
		}
		if path[0] == '?' {
			path = DefaultPath + path
		}
		if _, err := url.ParseRequestURI(path); err != nil {
			return "not a path: " + path
		}
		e.Path = path
		return ""
	}
	topic, err := url.PathUnescape(strings.TrimPrefix(path, "/"))
	if err != nil {
		return fmt.Sprintf("topic: %v", err)
	}
	e.Topic = topic
	return ""
}

// TLS tells whether the connection is encrypted.
func (e *Endpoint) TLS() bool { return e.Scheme == SchemeMQTTS || e.Scheme == SchemeWSS }

// WebSocket tells whether the connection is a WebSocket.
func (e *Endpoint) WebSocket() bool { return e.Scheme == SchemeWS || e.Scheme == SchemeWSS }

// Address returns host:port, or the path of a Unix socket.
func (e *Endpoint) Address() string {
	if e.Scheme == SchemeUnix {
		return e.Path
	}
	return net.JoinHostPort(e.Host, e.port())
}

func (e *Endpoint) port() string { return cmp.Or(e.Port, defaultPort(e.Scheme)) }

// String returns the URL without user, password and topic.
func (e *Endpoint) String() string {
	switch {
	case e.Scheme == SchemeUnix && strings.HasPrefix(e.Path, "/"):
		return "unix://" + e.Path
	case e.Scheme == SchemeUnix:
		return "unix:" + e.Path
	}
	// The zone of an IPv6 address is set off by a % that a URL escapes (RFC 6874).
	host := strings.Replace(e.Host, "%", "%25", 1)
	return e.Scheme + "://" + net.JoinHostPort(host, e.port()) + e.Path
}

// hideUser removes user and password from s for an error text.
func hideUser(s string) string {
	i := strings.Index(s, "//")
	at := strings.LastIndexByte(s, '@')
	if i < 0 || at < i {
		return s
	}
	return s[:i+2] + "…" + s[at:]
}
