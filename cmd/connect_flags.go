package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

// connectOptions are the flags of every client.
type connectOptions struct {
	host, url, unix, bind string
	proxy                 string
	port                  uint16
	ws                    bool
	wsPath                string
	wsHeader              http.Header

	id, idPrefix               string
	username, password         string
	passwordFile, passwordEnv  string
	passwordCommand            string
	askPassword                bool
	tokenCommand               string
	authMethod                 string
	keepAlive                  uint16
	version                    mqtt.Version // 0: 5.0, or what the server has
	keepSession                bool
	sessionExpiry              uint32
	maxInflight                uint16
	will                       willOptions
	props                      propertySets
	tls                        tlsOptions
	connectTimeout, retryDelay time.Duration
	retryFor                   time.Duration
	retry                      bool
	retryMax                   int
	lasting                    bool // the command goes on over a lost connection by itself
	debug, quiet               bool
	pcap                       string
	config, profile            string // read by words.files

	flag map[string]*option // by field name: how each was given
}

// willOptions are the flags of the Will Message.
type willOptions struct {
	topic, payload, file string
	qos                  mqtt.QoS
	retain               bool
	always               bool // also when this client says goodbye
}

// Headings of the help.
const (
	groupServer = group("Server")
	groupClient = group("Client")
	groupTLS    = group("TLS")
	groupWill   = group("Will")
	groupDebug  = group("Diagnostics")

	groupConnectProperties = group("Properties of the connection (MQTT 5)")
)

// defaultRetryFor is how long sub and a stream of pub do without a connection.
const defaultRetryFor = 5 * time.Second

// flags returns them all. commands are the packets that -D may speak of, beside
// connect, will and disconnect.
func (o *connectOptions) flags(s *Stdio, commands ...string) []*option {
	o.keepAlive, o.connectTimeout, o.retryDelay = client.DefaultKeepAlive, client.DefaultConnectTimeout, client.DefaultBackoffMin
	o.retryFor = defaultRetryFor
	o.wsHeader = http.Header{}
	all := o.serverFlags()
	all = append(all, o.clientFlags(append([]string{"connect", "will", "disconnect"}, commands...))...)
	all = append(all, o.tls.flags()...)
	all = append(all, o.willFlags()...)
	all = append(all,
		groupDebug.toggle("debug d", "show every packet, both ways, on stderr", &o.debug),
		groupDebug.text("pcap", "`FILE` to write all packets to, for Wireshark; passwords are in it", &o.pcap).notEmpty(),
		groupDebug.value("quiet", "print no messages but data", func(v string) error {
			on, err := strconv.ParseBool(v)
			if err == nil && on {
				o.quiet, s.Err = true, discard{}
			}
			return err
		}).noValue(),
	)
	o.flag = make(map[string]*option, len(all))
	for _, f := range all {
		o.flag[f.names[0]], f.shared = f, true
	}
	files := []*option{
		groupServer.text("profile", "`NAME` of a profile to take what is not said here from: see mqt profile --help", &o.profile),
		groupServer.text("options config o", "`FILE` with options, one a line as mosquitto has them (default: mosquitto's own, such as ~/.config/mosquitto_sub)", &o.config).fromFirst().notEmpty(),
	}
	return slices.Concat(files, all)
}

// discard is --quiet's stderr.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func (o *connectOptions) serverFlags() []*option {
	const g = groupServer
	return []*option{
		g.value("host h", "`HOST` to connect to (default: localhost)", o.readHost).from("MQTT_HOST"),
		number(g, "port p", "`PORT` (default: 1883, with TLS 8883); 8883 turns TLS on", &o.port, 1, 65535).from("MQTT_PORT"),
		g.text("url L", "`URL` instead: mqtt or mqtts://[user[:password]@]host[:port][/topic], ws or wss://host[:port][/path], unix:///path", &o.url).from("MQTT_URL").notEmpty(),
		g.text("unix", "`PATH` of a Unix socket to connect to instead", &o.unix),
		g.text("bind A", "local `ADDRESS` to connect from", &o.bind),
		g.text("proxy", "`URL` of a proxy to go through: socks5, socks5h (it looks names up), http or https://[user:password@]host[:port]", &o.proxy),
		g.toggle("nodelay", "send small packets at once, which is always so", new(bool)),
		g.toggle("ws", "speak MQTT over WebSocket", &o.ws),
		g.text("ws-path", "`PATH` of the WebSocket (default: /mqtt)", &o.wsPath),
		g.value("ws-header", "`HEADER` of the WebSocket request, \"Name: value\"; may be repeated", o.readHeader).repeated(),
		g.duration("connect-timeout", "`TIME` for one attempt to connect (default: 10s)", &o.connectTimeout),
		g.toggle("retry", "try again for ever, when there is no connection at first or it is lost", &o.retry),
		g.duration("retry-for", "`TIME` to try again for when it is lost, 0 for not at all (default: 5s for sub and for pub from a stream); with --retry also at first", &o.retryFor),
		number(g, "retry-max", "`NUMBER` of attempts in a row; implies --retry (default: no end)", &o.retryMax, 1, 1<<31-1),
		g.duration("retry-delay", "longest `TIME` before the first new attempt, doubled each time up to 30s; implies --retry", &o.retryDelay),
	}
}

func (o *connectOptions) clientFlags(commands []string) []*option {
	const g = groupClient
	all := []*option{
		g.text("id client-id i", "Client Identifier `ID` (default: the server assigns one)", &o.id),
		g.text("id-prefix I", "Client Identifier from `PREFIX` and the process number", &o.idPrefix),
		g.text("username u", "user `NAME`", &o.username).from("MQTT_USERNAME"),
		g.text("password pw P", "`PASSWORD`; others can see it, so prefer one of the next four", &o.password).from("MQTT_PASSWORD"),
		g.text("password-file", "`FILE` with the password on its first line", &o.passwordFile).notEmpty(),
		g.text("password-env", "`VARIABLE` with the password", &o.passwordEnv),
		g.text("password-command", "`COMMAND` for the shell that prints the password", &o.passwordCommand).notEmpty(),
		g.toggle("ask-password password-prompt", "ask for the password on the terminal", &o.askPassword),
		g.text("token-command", "`COMMAND` for the shell that prints a token, a JWT or an OAuth 2.0 answer, to be used as the password; run again when it expires or is refused", &o.tokenCommand).notEmpty(),
		g.value("auth-method", "`METHOD` by which both sides prove to know the password, and do not tell it (MQTT 5); with --token-command any, by which the token is given, and renewed on the connection", o.readAuthMethod).
			oneOf(client.ScramSHA256, client.ScramSHA512),
		number(g, "keepalive k", "`SECONDS` between signs of life, 0 for none (default: 60)", &o.keepAlive, 0, 65535),
		g.value("protocol-version mqtt-version V", "MQTT `VERSION`: 5, 311 or 31 (default: 5, or 3.1.1 with a server that has no 5)", o.readVersion).oneOf("5", "311", "31"),
		g.toggle("disable-clean-session c", "keep the session, and take up an earlier one; needs -i", &o.keepSession),
		g.value("session-expiry session-expiry-interval x", "`SECONDS` that the session outlives the connection; -1 for ever", o.readExpiry),
		number(g, "max-inflight M", "`NUMBER` of QoS 1 and 2 messages under way (default: what the server allows)", &o.maxInflight, 1, 65535),
	}
	all = append(all, o.props.dashD(g, commands))
	all = append(all, o.props.propertyFlags(groupConnectProperties, "", mqtt.TypeConnect, &o.props.connect)...)
	return append(all, o.props.propertyFlags(groupConnectProperties, "disconnect-", mqtt.TypeDisconnect, &o.props.disconnect)...)
}

func (o *connectOptions) willFlags() []*option {
	const g = groupWill
	all := []*option{
		g.text("will-topic", "`TOPIC` of the message that the server publishes when this client is gone", &o.will.topic).notEmpty(),
		g.text("will-payload", "`TEXT` of the will", &o.will.payload),
		g.text("will-file", "`FILE` with the payload of the will", &o.will.file).notEmpty(),
		qosFlag(g, "will-qos", &o.will.qos),
		g.toggle("will-retain", "retain the will", &o.will.retain),
		g.toggle("will-always", "have it published also when this client leaves by itself (MQTT 5)", &o.will.always),
	}
	return append(all, o.props.propertyFlags("Will properties (MQTT 5)", "will-", 0, &o.props.will)...)
}

func qosFlag(g group, names string, dst *mqtt.QoS) *option {
	return g.value(names, "`QOS` 0, 1 or 2 (default: 0)", func(s string) (err error) { *dst, err = parseQoS(s); return err }).oneOf("0", "1", "2")
}

func parseQoS(s string) (mqtt.QoS, error) {
	if len(s) != 1 || s[0] < '0' || s[0] > '2' {
		return 0, errors.New("QoS is 0, 1 or 2")
	}
	return mqtt.QoS(s[0] - '0'), nil
}

func (o *connectOptions) readHost(s string) error {
	if strings.Contains(s, "://") {
		return errors.New("a URL stands behind -L")
	}
	o.host = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if host, port, err := net.SplitHostPort(s); err == nil && strings.Count(s, ":") == 1 {
		return fmt.Errorf("the port stands behind -p, as in -h %s -p %s", host, port)
	}
	if s == "" || strings.ContainsAny(o.host, " \t\r\n/@") {
		return errors.New("it is a name or an IP address")
	}
	return nil
}

func (o *connectOptions) readHeader(s string) error {
	name, value, ok := strings.Cut(s, ":")
	if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(s, "\r\n") {
		return errors.New("it is \"Name: value\"")
	}
	o.wsHeader.Add(name, strings.TrimSpace(value))
	return nil
}

func (o *connectOptions) readVersion(s string) error {
	switch strings.TrimPrefix(strings.ToLower(s), "mqttv") {
	case "5", "5.0":
		o.version = mqtt.V50
	case "311", "3.1.1", "3", "4": // 3 is what HiveMQ's mqtt calls it
		o.version = mqtt.V311
	case "31", "3.1":
		o.version = mqtt.V31
	default:
		return errors.New("it is 5, 311 or 31")
	}
	return nil
}

func (o *connectOptions) readAuthMethod(s string) error {
	o.authMethod = s // another than these is for a token: see authenticate
	if up := strings.ToUpper(s); up == client.ScramSHA256 || up == client.ScramSHA512 {
		o.authMethod = up
	}
	return validText(s)
}

// never is a Session Expiry Interval without end.
const never = 0xFFFFFFFF

func (o *connectOptions) readExpiry(s string) error {
	if s == "-1" || s == "∞" {
		o.sessionExpiry = never
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return fmt.Errorf("it is seconds up to %d, or -1 for ever", uint32(never))
	}
	o.sessionExpiry = uint32(n)
	return nil
}

// endpoint is the server that flags and environment name. A flag beats a
// variable, and -h and -p beat a URL's.
func (o *connectOptions) endpoint() (*transport.Endpoint, error) {
	url, host, unix := o.flag["url"], o.flag["host"], o.flag["unix"]
	if url.origin == fromArgs && host.origin == fromArgs {
		return nil, &usageError{text: "-L and -h both name the server", hint: "one of them is enough"}
	}
	if direct := max(host.origin, unix.origin); !url.given() || direct > url.origin {
		return o.hostEndpoint()
	}
	e, err := transport.ParseURL(o.url)
	if err != nil {
		return nil, &usageError{text: url.typed + " " + plain(err)}
	}
	if port := o.flag["port"].origin; (port == fromArgs || port > url.origin) && e.Scheme != transport.SchemeUnix {
		e.Port = strconv.Itoa(int(o.port))
	}
	if f := o.flag["no-tls"]; o.tls.off && f.origin >= url.origin && e.TLS() {
		return nil, &usageError{text: fmt.Sprintf("%s, and %s has TLS", f.typed, e), hint: "begin the URL with mqtt:// or ws://"}
	}
	for _, name := range []string{"tls", "cafile", "capath", "cert"} { // in plain text without a word it must not go
		if f := o.flag[name]; (f.origin == fromArgs || f.origin == fromFile && url.origin == fromFile) && !e.TLS() {
			return nil, &usageError{text: fmt.Sprintf("%s is for TLS, and %s has none", f.typed, e), hint: "begin the URL with mqtts:// or wss://"}
		}
	}
	return e, o.webSocket(e)
}

// hostEndpoint is the server without a URL.
func (o *connectOptions) hostEndpoint() (*transport.Endpoint, error) {
	if o.unix != "" && o.flag["unix"].origin >= o.flag["host"].origin {
		return &transport.Endpoint{Scheme: transport.SchemeUnix, Path: o.unix}, nil
	}
	e := &transport.Endpoint{Scheme: transport.SchemeMQTT, Host: cmp.Or(o.host, "localhost"), Port: "1883"}
	secure := o.tls.wanted(o.port)
	if secure {
		e.Scheme, e.Port = transport.SchemeMQTTS, "8883"
	}
	if o.port != 0 {
		e.Port = strconv.Itoa(int(o.port))
	}
	if o.ws && o.port == 0 {
		e.Port = map[bool]string{false: "80", true: "443"}[secure]
	}
	return e, o.webSocket(e)
}

// webSocket turns e into one, if asked for.
func (o *connectOptions) webSocket(e *transport.Endpoint) error {
	if o.ws && !e.WebSocket() {
		switch e.Scheme {
		case transport.SchemeMQTT:
			e.Scheme = transport.SchemeWS
		case transport.SchemeMQTTS:
			e.Scheme = transport.SchemeWSS
		default:
			return &usageError{text: "--ws and a Unix socket do not go together"}
		}
		e.Path = transport.DefaultPath
	}
	if o.wsPath != "" {
		if !e.WebSocket() {
			return &usageError{text: "--ws-path needs a WebSocket", hint: "add --ws, or begin the URL with ws://"}
		}
		e.Path = "/" + strings.TrimPrefix(o.wsPath, "/")
	}
	return nil
}

// options are what the client needs.
func (o *connectOptions) options(s *Stdio) (client.Options, error) {
	e, err := o.endpoint()
	if err != nil {
		return client.Options{}, err
	}
	c := client.Options{
		Endpoint: e, Version: o.version, ClientID: o.clientID(), KeepSession: o.keepSession,
		KeepAlive: o.keepAlive, NoKeepAlive: o.keepAlive == 0,
		Username: o.username, HasUsername: o.flag["username"].given(),
		SessionExpiryInterval: o.sessionExpiry, Properties: o.props.connect,
		InFlight: int(o.maxInflight), ConnectTimeout: o.connectTimeout,
		DialOptions: transport.DialOptions{Bind: o.bind, Header: o.wsHeader, Timeout: o.connectTimeout},
	}
	if err := o.throughProxy(&c.DialOptions, e); err != nil {
		return c, err
	}
	if c.Password, err = o.secret(s); err != nil {
		return c, err
	}
	if err := o.authenticate(&c, s); err != nil {
		return c, err
	}
	if e.TLS() {
		if c.DialOptions.TLS, err = o.tls.config(); err != nil {
			return c, err
		}
		o.observeTLS(c.DialOptions.TLS, s)
	} else {
		o.observePlain(s, e)
	}
	if c.Will, err = o.willMessage(); err != nil {
		return c, err
	}
	if err := o.session(&c); err != nil {
		return c, err
	}
	c.Reconnect = o.backoff()
	o.observe(&c, s, e.String())
	if err := c.Validate(); err != nil {
		return c, &usageError{text: plain(err)}
	}
	if o.pcap != "" {
		err = startCapture(o.pcap, &c, s.Err)
	}
	return c, err
}

// throughProxy sets the proxy. To one of https the CAs of --cafile are known
// beside the system's.
func (o *connectOptions) throughProxy(d *transport.DialOptions, e *transport.Endpoint) error {
	if o.proxy == "" {
		return nil
	}
	typed := o.flag["proxy"].typed
	u, err := transport.ParseProxy(o.proxy)
	switch {
	case err != nil:
		return &usageError{text: typed + ": " + plain(err)}
	case e.Scheme == transport.SchemeUnix:
		return &usageError{text: typed + " and a Unix socket do not go together"}
	}
	d.Proxy = u
	if u.Scheme == "https" {
		d.ProxyTLS, err = o.tls.proxy()
	}
	return err
}

// backoff says how a connection is made anew, nil for not.
func (o *connectOptions) backoff() *client.Backoff {
	b := &client.Backoff{Min: o.retryDelay, Max: max(o.retryDelay, client.DefaultBackoffMax), Attempts: o.retryMax}
	b.First = o.retry || o.flag["retry-max"].given() || o.flag["retry-delay"].given()
	if asked := o.flag["retry-for"].given(); asked || o.lasting && !b.First {
		if o.retryFor == 0 {
			return nil
		}
		b.Within = o.retryFor
		return b
	}
	if !b.First {
		return nil
	}
	return b
}

// authenticate proves the password of -P or of the URL by --auth-method, in the
// place of telling it; or has a token.
func (o *connectOptions) authenticate(c *client.Options, s *Stdio) error {
	from, err := o.source()
	if err != nil {
		return err
	}
	proves := o.authMethod == client.ScramSHA256 || o.authMethod == client.ScramSHA512
	switch token := from != nil && from.names[0] == "token-command"; {
	case token && proves:
		return &usageError{text: o.flag["auth-method"].typed + " " + o.authMethod + " is for a password, and " + from.typed + " gives a token"}
	case token:
		(&tokenSource{command: o.tokenCommand, stderr: s.Err, method: o.authMethod}).use(c)
		return nil
	case o.authMethod == "":
		return nil
	case !proves:
		return &usageError{text: o.flag["auth-method"].typed + " " + shown(o.authMethod),
			hint: fmt.Sprintf("it is %s or %s, or with --token-command any", client.ScramSHA256, client.ScramSHA512)}
	}
	name, password := c.Username, c.Password
	e := c.Endpoint
	if name == "" {
		name = e.Username
	}
	if password == nil && e.HasPassword {
		password = e.Password
	}
	if name == "" || password == nil {
		return &usageError{text: o.flag["auth-method"].typed + " needs a user name and a password", hint: "add -u NAME and --password-file FILE"}
	}
	a, err := client.SCRAM(o.authMethod, name, string(password))
	if err != nil {
		return &usageError{text: plain(err)}
	}
	c.Authentication, c.Username, c.HasUsername, c.Password = a, "", false, nil
	return nil
}

func (o *connectOptions) clientID() string {
	switch {
	case o.id != "" && o.flag["id"].origin >= o.flag["id-prefix"].origin:
		return o.id
	case o.idPrefix != "":
		return fmt.Sprintf("%s%d", o.idPrefix, os.Getpid())
	case o.version == mqtt.V31: // there the server assigns none
		return fmt.Sprintf("mqt-%016x", rand.Uint64()) //nolint:gosec // no secret
	}
	return ""
}

// session checks what keeps a session, and which version can do what is asked.
func (o *connectOptions) session(c *client.Options) error {
	if o.flag["id"].origin == fromArgs && o.flag["id-prefix"].origin == fromArgs {
		return &usageError{text: "-i and -I both name the client", hint: "one of them is enough"}
	}
	if o.keepSession && c.ClientID == "" {
		return &usageError{text: "-c keeps a session, which needs a name", hint: "add -i ID"}
	}
	if what := o.needs5(); what != "" {
		if o.version != 0 && o.version < mqtt.V50 {
			return &usageError{text: fmt.Sprintf("%s needs MQTT 5, and -V asks for %s", what, o.version)}
		}
		c.Version = mqtt.V50 // no fall-back: it would be dropped silently
	}
	if o.keepSession && !o.flag["session-expiry"].given() && (o.version == 0 || o.version == mqtt.V50) &&
		!o.props.connect.Has(mqtt.SessionExpiryInterval) {
		c.SessionExpiryInterval = never // as in 3.1.1
	}
	return nil
}

// needs5 names a flag that only 5.0 can do.
func (o *connectOptions) needs5() string {
	if f := o.flag["auth-method"]; f.given() {
		return f.typed
	}
	if f := o.flag["session-expiry"]; f.given() {
		return f.typed
	}
	if f := o.flag["will-always"]; o.will.always {
		return f.typed
	}
	return o.props.given()
}

func (o *connectOptions) willMessage() (*mqtt.Will, error) {
	w := &o.will
	if w.topic == "" {
		for _, f := range o.flag {
			if strings.HasPrefix(f.names[0], "will-") && f.origin == fromArgs {
				return nil, &usageError{text: f.typed + " without a will", hint: "add --will-topic TOPIC"}
			}
		}
		return nil, nil
	}
	if w.file != "" && o.flag["will-payload"].given() {
		return nil, &usageError{text: "--will-payload and --will-file both give the payload", hint: "one of them is enough"}
	}
	payload := []byte(w.payload)
	if w.file != "" {
		var err error
		if payload, err = readFile("--will-file", w.file); err != nil {
			return nil, err
		}
	}
	return &mqtt.Will{Topic: w.topic, Payload: payload, QoS: w.qos, Retain: w.retain, Properties: o.props.will}, nil
}

// debugTime begins a line of -d.
const debugTime = "15:04:05.000"

// observe tells on stderr of packets, with -d, and of connections that come
// and go, with --retry.
func (o *connectOptions) observe(c *client.Options, s *Stdio, url string) {
	if o.debug {
		c.Trace = func(d client.Direction, p mqtt.Packet) {
			arrow := "->"
			if d == client.Received {
				arrow = "<-"
			}
			fmt.Fprintf(s.Err, "%s %s %s\n", time.Now().Format(debugTime), arrow, p)
		}
	}
	if c.Reconnect == nil {
		return
	}
	down := false
	c.OnState = func(state client.State, err error) {
		switch {
		case state == client.Connected && down:
			down = false
			fmt.Fprintf(s.Err, "%s: connected\n", url)
		case (state == client.Connecting || state == client.Reconnecting) && err != nil:
			down = true
			fmt.Fprintf(s.Err, "%s; trying again\n", explain(&connectFailure{url, ended(err)}))
		}
	}
}

// connect makes the connection.
func connect(ctx context.Context, c client.Options) (*client.Client, error) {
	conn, err := client.Connect(ctx, c)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, &connectFailure{c.Endpoint.String(), err}
	}
	return conn, nil
}

// goodbyeTimeout bounds how long the end of a connection may take.
const goodbyeTimeout = 5 * time.Second

// disconnect says goodbye, so that the server publishes no will but with
// --will-always.
func (o *connectOptions) disconnect(ctx context.Context, c *client.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeTimeout)
	defer cancel()
	d := mqtt.Disconnect{Properties: o.props.disconnect}
	if o.will.always {
		d.ReasonCode = mqtt.DisconnectWithWill
	}
	_ = c.Disconnect(ctx, d) // it ends in any case
}

func validText(s string) error {
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return errors.New("it must be UTF-8 without NUL")
	}
	return nil
}
