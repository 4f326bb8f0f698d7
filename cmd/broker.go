package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"mqt/mqtt/broker"
	"mqt/mqtt/transport"
)

// brokerOptions are the settings; flags are what they were read from.
type brokerOptions struct {
	flags       []*option
	port        int // -1: not given
	listen      []string
	origins     []string // of WebSocket requests
	metrics     string
	openClients bool // to other machines, at the address of metrics
	config      string
	checkConfig bool
	readyFile   string
	exec        string
	data        brokerData
	verbose     bool
	level       logLevel
	logJSON     bool
	tls         listenTLS
	access      brokerAccess
	limits      broker.Options
}

func newBrokerOptions() *brokerOptions {
	o := &brokerOptions{port: -1, limits: broker.Options{GiveBack: true, SysInterval: 10 * time.Second, Version: "mqt " + version()}}
	o.flags = brokerFlags(o)
	return o
}

// shutdownTimeout bounds the goodbye to the clients.
const shutdownTimeout = 5 * time.Second

func brokerCommand(s *Stdio) *cli.Command {
	o := newBrokerOptions()
	return &cli.Command{
		Name: "broker", Usage: "serve MQTT 3.1, 3.1.1 and 5.0, in memory or with a data directory",
		UsageText: "mqt broker [-p PORT] [--listen URL]... [-c FILE] [--metrics ADDR] [--ready-file FILE] [--exec COMMAND] [-v]",
		Description: `It listens on localhost:1883 when neither -p nor --listen is given, and runs until Ctrl-C.
Without users, clients may connect from this machine only; with users, they have to be
one of them. --allow-anonymous lets in everybody.
SIGHUP reads the files of -c, users, access control, keys and certificates again, and puts in force what may change.
Sockets and notification of systemd are taken when they are there.

Examples:
  mqt broker
  mqt broker --listen mqtt://0.0.0.0:1883 --listen ws://0.0.0.0:8080/mqtt --password-file users --acl acl
  mqt broker --listen mqtts://:8883 --cert server.pem --key server.key
  mqt broker --data-dir /var/lib/mqt           # what is acknowledged survives a power cut
  mqt broker --data-dir /var/lib/mqt --check   # is it sound, and what is in it
  mqt broker -c broker.yaml --check-config     # a line of it: max-connections: 5000
  mqt broker -p 0 --exec './run-tests.sh'      # the tests find the broker in $MQTT_URL`,
		Flags: flags(o.flags),
		Action: func(c *cli.Context) error {
			if err := readConfig(o.config, o.flags); err != nil {
				return err
			}
			return runBroker(c.Context, s, o)
		},
	}
}

// runBroker serves until ctx ends or the command does.
func runBroker(ctx context.Context, s *Stdio, o *brokerOptions) (err error) {
	if err := o.data.valid(); err != nil {
		return err
	}
	if o.data.check {
		return o.data.report(s.Out)
	}
	log, level := o.logger(s)
	o.limits.Log = log
	if err = o.access.load(ctx, &o.limits, log); err != nil {
		return err
	}
	plan, err := o.plan(log)
	if err != nil {
		return err
	}
	if o.checkConfig {
		if err := checkMetrics(ctx, o.metrics); err != nil {
			return errors.Join(err, plan.close())
		}
		return errors.Join(plan.close(), o.limits.Validate(), o.checked(s.Out))
	}
	if o.readyFile != "" { // that of an earlier run says nothing about this one
		if err := os.Remove(o.readyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			return errors.Join(fmt.Errorf("ready file: %w", err), plan.close())
		}
	}
	closeStore, err := o.data.open(&o.limits)
	if err != nil {
		return errors.Join(err, plan.close())
	}
	defer func() { err = errors.Join(err, closeStore()) }() // behind Shutdown
	defer headroom()()
	b, err := broker.New(o.limits)
	if err != nil {
		return errors.Join(err, plan.close())
	}
	l, err := plan.open(ctx, b, log)
	if err != nil {
		return errors.Join(err, b.Shutdown(ctx))
	}
	m, err := startMetrics(ctx, o.metrics, o.openClients, b, log)
	if err != nil {
		l.close()
		return errors.Join(err, b.Shutdown(ctx))
	}
	defer m.stop()
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	for _, one := range l.all {
		wg.Go(func() { _ = b.Serve(running, one) }) // nil: it ends when told to
	}
	fmt.Fprintf(s.Err, "mqt broker: listening on %s\n", strings.Join(l.all.urls(), " and "))
	if m != nil {
		fmt.Fprintf(s.Err, "mqt broker: metrics on http://%s/metrics\n", m.l.Addr())
	}
	reloads := (&serving{o: o, b: b, log: log, level: level, certs: plan.certs}).reloadOn()
	defer watch(log, func() { b.Stats() })() // which takes the broker's locks
	m.setReady(true)
	err = o.whileServing(ctx, s, l, log)
	m.setReady(false)
	tell(log, "STOPPING=1")
	reloads()

	stop()
	wg.Wait()
	plan.refused.sum()
	return errors.Join(err, goodbye(context.WithoutCancel(ctx), b))
}

// goodbye ends the connections. A client that does not read is cut off, by its connection or here, whichever is first: that is
// no failure of the broker's, nor of the command's that --exec ran.
func goodbye(ctx context.Context, b *broker.Broker) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	if err := b.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// headroom lets garbage grow to some 12 MB, instead of 4, before it is collected
// again, until the function that it returns is called: a broker that holds little
// would collect dozens of times a second under load. It is memory that is never
// touched, so the system never gives it: a percentage would let garbage grow with
// what clients have the broker hold. Who has set a limit for Go's memory has it kept.
func headroom() (release func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	const size = 8 << 20
	room := make([]byte, size)
	return func() { runtime.KeepAlive(room) }
}

// tell is notify for those who go on without.
func tell(log *slog.Logger, state string) {
	if err := notify(state); err != nil {
		log.Warn("the service manager was not told", "state", state, "err", err)
	}
}

// whileServing is what lasts as long as the broker: the ready file, the
// command, the wait for a signal.
func (o *brokerOptions) whileServing(ctx context.Context, s *Stdio, l *listeners, log *slog.Logger) error {
	if o.readyFile != "" {
		if err := writeReady(o.readyFile, l.ready); err != nil {
			return err
		}
		defer func() { _ = os.Remove(o.readyFile) }() // it may have been taken away
	}
	tell(log, "READY=1")
	if o.exec != "" {
		return o.runCommand(ctx, s, l.ready[0])
	}
	<-ctx.Done()
	return nil
}

// writeReady puts the file there whole.
func writeReady(path string, urls []string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".mqt-ready-*")
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone once it has its name
	_, err = f.WriteString(strings.Join(urls, "\n") + "\n")
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}

// runCommand runs the command and returns its exit code as an error.
func (o *brokerOptions) runCommand(ctx context.Context, s *Stdio, url string) error {
	shell := []string{"/bin/sh", "-c"}
	if runtime.GOOS == "windows" {
		shell = []string{"cmd", "/C"}
	}
	c := exec.CommandContext(ctx, shell[0], shell[1], o.exec) //nolint:gosec // the command that was asked for
	c.Stdin, c.Stdout, c.Stderr = s.In, s.Out, s.Err
	c.Env = append(withoutServer(os.Environ()), "MQTT_URL="+url)
	if runtime.GOOS != "windows" { // there is nothing but Kill
		c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	}
	c.WaitDelay = 10 * time.Second
	err := c.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code := exit.ExitCode()
		if code < 0 { // as shells tell a signal
			code = 128 + int(syscall.SIGTERM)
			if status, ok := exit.Sys().(interface{ Signal() syscall.Signal }); ok {
				code = 128 + int(status.Signal())
			}
		}
		return &exitError{code: code}
	}
	if err != nil {
		return fmt.Errorf("--exec: %w", err)
	}
	return nil
}

// withoutServer leaves out the variables that would lead the command's clients
// to another server.
func withoutServer(env []string) []string {
	var kept []string
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "MQT_URL", "MQT_HOST", "MQT_PORT", "MQT_UNIX", "MQT_WS", "MQTT_URL", "MQTT_HOST", "MQTT_PORT":
		case "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID": // they are for us alone
		default:
			kept = append(kept, v)
		}
	}
	return kept
}

// listeners are open.
type listeners struct {
	all   opened
	ready []string // what the ready file says: one URL for each that was asked for
}

type opened []*transport.Listener

func (o opened) urls() []string {
	urls := make([]string, len(o))
	for i, l := range o {
		urls[i] = l.URL()
	}
	return urls
}

func (l *listeners) close() {
	for _, one := range l.all {
		_ = one.Close()
	}
}
