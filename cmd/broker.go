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

type brokerOptions struct {
	port      int // -1: not given
	listen    []string
	readyFile string
	exec      string
	verbose   bool
	tls       listenTLS
}

// shutdownTimeout bounds the goodbye to the clients.
const shutdownTimeout = 5 * time.Second

func brokerCommand(s *Stdio) *cli.Command {
	o := &brokerOptions{port: -1}
	const listen, run, tls = group("Listen"), group("Run"), group("TLS")
	return &cli.Command{
		Name: "broker", Usage: "serve MQTT 3.1, 3.1.1 and 5.0, in memory",
		UsageText: "mqt broker [-p PORT] [--listen URL]... [--ready-file FILE] [--exec COMMAND] [-v]",
		Description: `It listens on localhost:1883 when neither -p nor --listen is given, and runs until Ctrl-C.
There are no passwords: whoever reaches a listener may publish and subscribe.

Examples:
  mqt broker
  mqt broker --listen mqtt://0.0.0.0:1883 --listen ws://0.0.0.0:8080/mqtt
  mqt broker --listen mqtts://:8883 --cert server.pem --key server.key
  mqt broker -p 0 --exec './run-tests.sh'      # the tests find the broker in $MQTT_URL`,
		Flags: flags([]*option{
			number(listen, "port p", "`PORT` on localhost; 0 picks a free one (default: 1883)", &o.port, 0, 65535),
			listen.list("listen", "`URL` to listen on: mqtt, mqtts, ws, wss or unix; may be repeated", &o.listen),
			run.text("ready-file", "`FILE` that appears once all listen, with one URL a line", &o.readyFile),
			run.text("exec", "`COMMAND` for the shell to run with MQTT_URL set; leave with its exit code", &o.exec),
			run.toggle("verbose v", "log connections and what is dropped on stderr", &o.verbose),
			tls.text("cert", "`FILE` with the certificate chain of mqtts and wss (PEM)", &o.tls.cert),
			tls.text("key", "`FILE` with its private key (PEM)", &o.tls.key),
			tls.text("keypass", "`PASSPHRASE` of the key", &o.tls.keypass),
			tls.text("cafile", "`FILE` with the CA that clients' certificates must be signed by", &o.tls.cafile),
		}),
		Action: func(c *cli.Context) error { return runBroker(c.Context, s, o) },
	}
}

// runBroker serves until ctx ends or the command does.
func runBroker(ctx context.Context, s *Stdio, o *brokerOptions) error {
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{Level: level}))
	if o.readyFile != "" { // that of an earlier run says nothing about this one
		if err := os.Remove(o.readyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("ready file: %w", err)
		}
	}
	b, err := broker.New(broker.Options{Log: log})
	if err != nil {
		return err
	}
	l, err := o.open(ctx, b, log)
	if err != nil {
		return errors.Join(err, b.Shutdown(ctx))
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	for _, one := range l.all {
		wg.Go(func() { _ = b.Serve(serving, one) }) // nil: it ends when told to
	}
	fmt.Fprintf(s.Err, "mqt broker: listening on %s\n", strings.Join(l.all.urls(), " and "))
	err = o.whileServing(ctx, s, l)

	stop()
	wg.Wait()
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	return errors.Join(err, b.Shutdown(bye))
}

// whileServing is what lasts as long as the broker: the ready file, the
// command, the wait for a signal.
func (o *brokerOptions) whileServing(ctx context.Context, s *Stdio, l *listeners) error {
	if o.readyFile != "" {
		if err := writeReady(o.readyFile, l.ready); err != nil {
			return err
		}
		defer func() { _ = os.Remove(o.readyFile) }() // it may have been taken away
	}
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
	c := exec.CommandContext(ctx, shell[0], shell[1], o.exec)
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
