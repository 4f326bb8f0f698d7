package cmd

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"mqt/mqtt/broker"
)

// brokerFlags are all settings of the broker: flags, MQT_* and the keys of
// broker.yaml alike.
func brokerFlags(o *brokerOptions) []*option {
	const listen, run, tls, log = group("Listen"), group("Run"), group("TLS"), group("Log")
	return append([]*option{
		number(listen, "port p", "`PORT` on localhost; 0 picks a free one (default: 1883)", &o.port, 0, 65535),
		listen.list("listen", "`URL` to listen on: mqtt, mqtts, ws, wss or unix; may be repeated", &o.listen),
		listen.origins(&o.origins),
		listen.text("metrics", "`ADDR` of an HTTP server with /metrics, /clients, /healthz and /readyz, as 127.0.0.1:9090", &o.metrics),
		listen.toggle("metrics-clients", "let other machines see /clients there, and not only this one", &o.openClients),
		run.text("config c", "`FILE` with settings, as broker.yaml: any flag's name is a key", &o.config),
		run.toggle("check-config", "check the settings and the files they name, and leave", &o.checkConfig),
		run.text("data-dir", "`DIRECTORY` that keeps sessions, queues and retained messages over restarts and power cuts (default: in memory only)", &o.data.dir).notEmpty(),
		run.toggle("check", "verify what is in --data-dir, sum it up, and leave", &o.data.check),
		run.toggle("json", "with --check: print JSON", &o.data.json),
		run.text("ready-file", "`FILE` that appears once all listen, with one URL a line", &o.readyFile),
		run.text("exec", "`COMMAND` for the shell to run with MQTT_URL set; leave with its exit code", &o.exec).notEmpty(),
		run.duration("sys-interval", "`TIME` between two values of $SYS/broker/...; 0 turns it off (default: 10s)", &o.limits.SysInterval),
		run.value("engine", "`ENGINE` that drives sockets: portable, a goroutine for each connection; epoll, a few event loops, on Linux; "+
			"or auto, the best there is (default: auto)", o.readEngine).oneOf("auto", "portable", "epoll"),
		log.toggle("verbose v", "log connections and what is dropped on stderr: --log-level debug", &o.verbose),
		log.value("log-level", "`LEVEL`: debug, info, warn or error (default: warn)", func(s string) error {
			if !o.level.known(s) {
				return errors.New("it is debug, info, warn or error")
			}
			return nil
		}).oneOf("debug", "info", "warn", "error"),
		log.value("log-format", "`FORMAT`: text or json (default: text)", func(s string) error {
			if s != "text" && s != "json" {
				return errors.New("it is text or json")
			}
			o.logJSON = s == "json"
			return nil
		}).oneOf("text", "json"),
		tls.text("cert", "`FILE` with the certificate chain of mqtts and wss (PEM)", &o.tls.cert).notEmpty(),
		tls.text("key", "`FILE` with its private key (PEM)", &o.tls.key).notEmpty(),
		tls.text("keypass", "`PASSPHRASE` of the key", &o.tls.keypass),
		tls.text("cafile", "`FILE` with the CA that clients' certificates must be signed by, if they have one", &o.tls.cafile).notEmpty(),
		tls.toggle("require-cert", "refuse clients without such a certificate", &o.tls.require),
	}, slices.Concat(o.access.flags(), o.access.tokens.flags(), featureFlags(&o.limits), limitFlags(&o.limits))...)
}

// readEngine chooses what drives the connections.
func (o *brokerOptions) readEngine(s string) error { return chooseEngine(s, &o.limits.Portable) }

// chooseEngine reads the name of an engine.
func chooseEngine(s string, portable *bool) error {
	*portable = s == "portable"
	switch {
	case s != "auto" && s != "portable" && s != "epoll":
		return errors.New("it is auto, portable or epoll")
	case s == "epoll" && runtime.GOOS != "linux":
		return errors.New("only Linux has epoll")
	}
	return nil
}

// limitFlags are the limits of broker.Options; the README has them in a table.
func limitFlags(o *broker.Options) []*option {
	const g = group("Limits (* may change while the broker runs)")
	const most = math.MaxInt32
	return []*option{
		number(g, "max-connections", "* `NUMBER` of connections (default: 1000000)", &o.MaxConnections, 1, most),
		number(g, "max-connections-per-address", "* `NUMBER` from one address, or one IPv6 /64; not of this machine (default: 10000)", &o.MaxPerAddress, 1, most),
		number(g, "max-connections-per-user", "* `NUMBER` of one user (default: any)", &o.MaxPerUser, 0, most),
		number(g, "max-sessions", "* `NUMBER` of sessions, connected or not (default: 1000000)", &o.MaxSessions, 1, most),
		number(g, "max-sessions-per-user", "* `NUMBER` of sessions of one user, connected or not (default: any)", &o.MaxSessionsPerUser, 0, most),
		number(g, "connect-rate", "* `NUMBER` of CONNECT a second, of all (default: any)", &o.ConnectRate, 0, most),
		number(g, "message-rate", "* `NUMBER` of messages a second of one client (default: any)", &o.MessageRate, 0, most),
		size(g, "byte-rate", "* `SIZE` that one client may send a second (default: any)", &o.ByteRate, 0),
		g.duration("connect-timeout", "`TIME` from accept to a whole CONNECT (default: 10s)", &o.ConnectTimeout),
		size(g, "max-packet-size", "`SIZE` of a packet (default: 64MiB)", &o.MaximumPacketSize, 64),
		number(g, "max-keep-alive", "`SECONDS` of the longest keep alive (default: any)", &o.MaxKeepAlive, 1, 65_535),
		number(g, "max-session-expiry", "`SECONDS` that a session outlives its connection (default: any)", &o.MaxSessionExpiry, 1, broker.Never),
		number(g, "receive-maximum", "`NUMBER` of QoS 1 and 2 messages in flight from a client (default: 1024)", &o.ReceiveMaximum, 1, 65_535),
		number(g, "max-inflight", "`NUMBER` of them in flight to a client (default: 65535)", &o.MaxInflight, 1, 65_535),
		g.value("topic-alias-maximum", "`NUMBER` of topic aliases of a client; 0: none (default: 64)", func(s string) error {
			n, err := strconv.ParseUint(s, 10, 16)
			if err != nil {
				return errors.New("it is a number from 0 to 65535")
			}
			o.TopicAliasMaximum, o.NoTopicAlias = uint16(n), n == 0
			return nil
		}),
		number(g, "max-topic-levels", "* `NUMBER` of levels of a topic (default: 200)", &o.MaxTopicLevels, 1, 65_536),
		number(g, "max-topic-length", "* `NUMBER` of bytes of a topic (default: 65535)", &o.MaxTopicLength, 1, 65_535),
		number(g, "max-subscriptions", "* `NUMBER` of subscriptions of a session (default: 10000)", &o.MaxSubscriptions, 1, most),
		number(g, "max-queue", "* `NUMBER` of messages waiting for a session (default: 100000)", &o.MaxQueue, 1, most),
		size(g, "max-queue-bytes", "* `SIZE` of them (default: 64MiB)", &o.MaxQueueBytes, 1),
		size(g, "max-out-bytes", "`SIZE` of what waits for a connection (default: 8MiB)", &o.OutLimit, 1),
		size(g, "max-memory", "* `SIZE` of all that clients have the broker keep: queues, what is in flight, retained messages, sessions (default: 1GiB)", &o.MaxMemory, 1),
		number(g, "max-retained", "* `NUMBER` of retained messages (default: 1000000)", &o.MaxRetained, 1, most),
		size(g, "max-retained-bytes", "* `SIZE` of them (default: half of --max-memory)", &o.MaxRetainedBytes, 1),
		g.value("max-qos maximum-qos", "`QOS` that is the highest: 0, 1 or 2 (default: 2)", func(s string) error {
			q, err := parseQoS(s)
			o.MaximumQoS = &q
			return err
		}).oneOf("0", "1", "2"),
	}
}

// featureFlags switch off what a 5.0 Server need not have, section 3.2.2.3.
func featureFlags(o *broker.Options) []*option {
	const g = group("Features")
	return []*option{
		g.toggle("no-retain", "refuse retained messages and wills (0x9A)", &o.NoRetain),
		g.toggle("no-wildcard-subscriptions", "refuse + and # in filters (0xA2)", &o.NoWildcard),
		g.toggle("no-shared-subscriptions", "refuse $share filters (0x9E)", &o.NoShared),
		g.toggle("no-subscription-identifiers", "refuse them (0xA1)", &o.NoSubscriptionID),
	}
}

// live are the settings that a reload puts in force beside those of limitFlags
// whose help begins with a star.
func live(o *option) bool {
	switch o.names[0] {
	case "log-level", "verbose", "cert", "key", "keypass", "cafile", "require-cert":
		return true
	}
	return strings.HasPrefix(o.Usage, "* ")
}

// size reads bytes: 4096, 64KiB, 1GB.
func size[T ~int | ~int64 | ~uint32](g group, names, usage string, dst *T, low int64) *option {
	return g.value(names, usage, func(s string) error {
		n, err := parseSize(s)
		if v := T(n); err == nil && (n < low || int64(v) != n) {
			err = fmt.Errorf("it is at least %d bytes and fits the machine", low)
		}
		if err == nil {
			*dst = T(n)
		}
		return err
	})
}

// parseSize reads a number of bytes with an optional unit.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "BKMGTkmgtib ")
	unit, ok := map[string]float64{"": 1, "B": 1, "K": 1 << 10, "KIB": 1 << 10, "KB": 1e3, "M": 1 << 20, "MIB": 1 << 20, "MB": 1e6,
		"G": 1 << 30, "GIB": 1 << 30, "GB": 1e9}[strings.ToUpper(strings.TrimSpace(s[len(digits):]))]
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !ok || !(n >= 0 && n*unit < 1<<53) {
		return 0, errors.New("it is a number of bytes, or a size such as 64KiB, 1.5MB or 2GiB")
	}
	return int64(n * unit), nil
}

// logLevel is the level that was asked for; the zero value is warn.
type logLevel struct {
	slog.Level
	given bool
}

func (l *logLevel) known(s string) bool {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[s]
	*l = logLevel{level, ok}
	return ok
}

// logLevel is what --log-level says, or -v where that has more weight.
func (o *brokerOptions) logLevel() slog.Level {
	switch {
	case o.level.given && (!o.verbose || o.originOf("verbose") <= o.originOf("log-level")):
		return o.level.Level
	case o.verbose:
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

func (o *brokerOptions) originOf(name string) origin {
	for _, f := range o.flags {
		if f.names[0] == name {
			return f.origin
		}
	}
	return unset
}
