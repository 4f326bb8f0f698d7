package cmd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"mqt/mqtt/broker"
)

// serving is what a reload can change of a broker that runs.
type serving struct {
	o     *brokerOptions
	b     *broker.Broker
	log   *slog.Logger
	level *slog.LevelVar
	certs *certificates
}

// reloadOn reloads whenever somebody signals SIGHUP, until stop is called.
func (s *serving) reloadOn() (stop func()) {
	hups := make(chan os.Signal, 1)
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background()) // the end does not wait for keys to be fetched
	signal.Notify(hups, syscall.SIGHUP)
	go func() {
		defer close(done)
		for range hups {
			tell(s.log, reloading())
			s.reload(ctx)
			tell(s.log, "READY=1") // with the old settings, if the new ones were wrong
		}
	}()
	return func() {
		signal.Stop(hups)
		close(hups)
		cancel()
		<-done
	}
}

// reload puts in force what has changed, or nothing when something of it is
// wrong.
func (s *serving) reload(ctx context.Context) {
	next, err := s.o.again()
	if err == nil {
		err = next.limits.Validate()
	}
	if err == nil {
		err = next.access.load(ctx, &next.limits, s.log)
	}
	var loaded *tls.Config
	if err == nil && s.certs != nil {
		loaded, err = next.tls.load()
	}
	if err == nil {
		err = s.b.SetLimits(next.limits)
	}
	if err != nil {
		s.log.Error("reload: nothing is changed", "err", err)
		return
	}
	s.b.SetUsers(next.limits.Users)
	s.b.SetACL(next.limits.ACL)
	s.b.SetTokens(next.limits.Tokens)
	if loaded != nil {
		s.certs.now.Store(loaded)
	}
	s.level.Set(next.logLevel())
	if dead := next.needRestart(s.o); len(dead) > 0 {
		s.log.Warn("reload: some settings wait for a restart", "settings", strings.Join(dead, ", "))
	}
	s.log.Info("reloaded")
}

// needRestart lists what differs from the settings in force and is not live.
func (o *brokerOptions) needRestart(old *brokerOptions) []string {
	var names []string
	for i, f := range o.flags {
		if !live(f) && !slices.Equal(f.values, old.flags[i].values) {
			names = append(names, f.names[0])
		}
	}
	return names
}

// certificates are those of the listeners, which a reload replaces. Connections
// that are there stay as they were made.
type certificates struct{ now atomic.Pointer[tls.Config] }

// config is for listeners: each handshake takes the files as last read.
func (c *certificates) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.now.Load(), nil }}
}

// load reads the files.
func (t *listenTLS) load() (*tls.Config, error) {
	cert, err := loadCertificate(t.cert, t.key, t.keypass)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, DynamicRecordSizingDisabled: true}
	if t.cafile != "" {
		pool := x509.NewCertPool()
		if err := addCAs(pool, t.cafile); err != nil {
			return nil, err
		}
		c.ClientCAs, c.ClientAuth = pool, tls.VerifyClientCertIfGiven
		if t.require {
			c.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	return c, nil
}
