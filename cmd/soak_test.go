//go:build soak

package cmd_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	crand "crypto/rand"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
)

// TestSoak lets clients of every kind come and go for MQT_SOAK (2m), against a broker in memory and one with a data directory.
// Nothing that was acknowledged is lost, at QoS 2 nothing comes twice, what comes is in order, each will comes when it has to,
// memory, goroutines and descriptors of the broker stay level, and when all have left nothing is left of them. With MQT_SOAK_DIR
// the samples are written there.
//
// It is run by .ci/soak, for two minutes with the race detector, and by hand for an hour: .ci/soak 1h.
func TestSoak(t *testing.T) {
	d := 2 * time.Minute
	if s := os.Getenv("MQT_SOAK"); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"memory", "durable"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			soakBroker(t, name, d)
		})
	}
}

// soak is one run.
type soak struct {
	t       *testing.T
	ctx     context.Context // for what hangs
	over    chan struct{}   // closed when the clients have to come to an end
	dir     string
	data    string // its data directory, "" without
	tls     *tls.Config
	urls    map[string]string // by scheme
	metrics string
	broker  *exec.Cmd
	stderr  output

	wills    soakWills
	streams  []*soakStream
	streamOf map[string]*soakStream
	readers  []*soakReader
	long     []*soakLong
	visitors []*soakVisitor

	mu     sync.Mutex
	faults []string
}

func soakBroker(t *testing.T, name string, d time.Duration) {
	dir, err := os.MkdirTemp("", "soak") // t.TempDir is too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(t.Context(), d+8*time.Minute)
	defer cancel()
	k := &soak{t: t, ctx: ctx, over: make(chan struct{}), dir: dir, streamOf: map[string]*soakStream{}, urls: map[string]string{}}
	if name == "durable" {
		k.data = filepath.Join(dir, "data")
	}
	k.start()
	defer func() { _ = k.broker.Process.Kill() }()
	before := k.sample(0)

	k.cast()
	var running sync.WaitGroup
	for _, l := range k.long {
		if err := l.connect(k); err != nil {
			t.Fatalf("%s: %v", l.name, err)
		}
	}
	for _, l := range k.long {
		if l.stream != nil {
			running.Go(func() { l.publish(k) })
		}
		if l.cuts {
			running.Go(func() { l.cutting(k) })
		}
	}
	for _, v := range k.visitors {
		running.Go(v.run)
	}
	samples := k.watch(d)
	close(k.over)
	running.Wait()
	k.writeSamples(name, samples)
	k.settle()
	for _, l := range k.long {
		l.leave(k)
	}
	k.empty(before)
	k.level(samples)
	k.stop()
	k.tell()
}

// sleep is false when the run is over.
func (k *soak) sleep(d time.Duration) bool {
	select {
	case <-k.over:
		return false
	case <-time.After(d):
		return true
	}
}

func (k *soak) fault(format string, a ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.faults) < 50 {
		k.faults = append(k.faults, fmt.Sprintf(format, a...))
		k.t.Errorf(format, a...)
	}
}

// start starts the broker on all that it can listen on.
func (k *soak) start() {
	k.t.Helper()
	k.certificate()
	salt := []byte("0123456789abcdef")
	key, err := pbkdf2.Key(sha512.New, "right", salt, 101, 64)
	enc := base64.StdEncoding.EncodeToString
	if err == nil {
		err = os.WriteFile(filepath.Join(k.dir, "users"), []byte("user:$7$101$"+enc(salt)+"$"+enc(key)+"\n"), 0o600)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	listen := []string{"mqtt://127.0.0.1:0", "mqtts://127.0.0.1:0", "ws://127.0.0.1:0/mqtt", "wss://127.0.0.1:0/mqtt", "unix:" + filepath.Join(k.dir, "s")}
	args := []string{"broker", "--cert", filepath.Join(k.dir, "cert.pem"), "--key", filepath.Join(k.dir, "cert.pem"), "--password-file", filepath.Join(k.dir, "users"), "--allow-anonymous",
		"--ready-file", filepath.Join(k.dir, "ready"), "--metrics", "127.0.0.1:0", "--sys-interval", "1s"}
	for _, url := range listen {
		args = append(args, "--listen", url)
	}
	if k.data != "" {
		args = append(args, "--data-dir", k.data)
	}
	k.broker = exec.Command("mqt", args...)
	k.broker.Stderr = &k.stderr
	if err := k.broker.Start(); err != nil {
		k.t.Fatal(err)
	}
	metrics := regexp.MustCompile(`metrics on (\S+)`)
	k.poll("the broker is not ready", func() bool {
		b, err := os.ReadFile(filepath.Join(k.dir, "ready"))
		found := metrics.FindStringSubmatch(k.stderr.String())
		if err != nil || found == nil {
			return false
		}
		k.metrics = found[1]
		for _, url := range strings.Fields(string(b)) {
			scheme, _, _ := strings.Cut(url, ":")
			k.urls[scheme] = url
		}
		return true
	})
}

// certificate makes one that is its own CA.
func (k *soak) certificate() {
	k.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		k.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(crand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		k.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		k.t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(k.dir, "cert.pem"), append(public, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...), 0o600); err != nil {
		k.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(public)
	k.tls = &tls.Config{RootCAs: roots}
}

// cast is who takes part.
func (k *soak) cast() {
	stream := func(topic string, qos mqtt.QoS, once bool) *soakStream {
		s := &soakStream{topic: "soak/s/" + topic, qos: qos, once: once}
		k.streams = append(k.streams, s)
		k.streamOf[s.topic] = s
		return s
	}
	all := []*soakLong{
		{name: "pub-tcp", kind: "mqtt", version: mqtt.V50, keep: true, cuts: true, stream: stream("0", mqtt.QoS1, true)},
		{name: "pub-tls", kind: "mqtts", version: mqtt.V311, keep: true, cuts: true, stream: stream("1", mqtt.QoS2, true)},
		{name: "pub-ws", kind: "ws", version: mqtt.V50, keep: true, cuts: true, stream: stream("2", mqtt.QoS2, true)},
		{name: "pub-unix", kind: "unix", version: mqtt.V311, cuts: true, stream: stream("3", mqtt.QoS1, false)},
		{name: "pub-clean", kind: "mqtt", version: mqtt.V50, cuts: true, stream: stream("4", mqtt.QoS2, false)},
		{name: "pub-wss", kind: "wss", version: mqtt.V50, stream: stream("5", mqtt.QoS0, true)},
	}
	reader := func(name string, qos mqtt.QoS, group bool) *soakReader {
		r := &soakReader{name: name, qos: qos, group: group}
		k.readers = append(k.readers, r)
		return r
	}
	everything := "soak/s/#"
	all = append(all,
		&soakLong{name: "sub-unix", kind: "unix", version: mqtt.V50, filter: everything, reader: reader("sub-unix", mqtt.QoS2, false)},
		&soakLong{name: "sub-tcp", kind: "mqtt", version: mqtt.V50, keep: true, cuts: true, filter: everything, reader: reader("sub-tcp", mqtt.QoS2, false)},
		&soakLong{name: "sub-tls", kind: "mqtts", version: mqtt.V311, keep: true, cuts: true, filter: everything, reader: reader("sub-tls", mqtt.QoS1, false)},
		&soakLong{name: "sub-ws", kind: "ws", version: mqtt.V311, keep: true, cuts: true, filter: everything, reader: reader("sub-ws", mqtt.QoS2, false)},
		&soakLong{name: "sub-slow", kind: "mqtt", version: mqtt.V50, keep: true, slow: true, filter: everything, reader: reader("sub-slow", mqtt.QoS1, false)},
		&soakLong{name: "sub-zero", kind: "wss", version: mqtt.V311, filter: everything, reader: reader("sub-zero", mqtt.QoS0, false)},
	)
	share := reader("share", mqtt.QoS2, true)
	for i, kind := range []string{"mqtt", "mqtts", "unix", "ws"} {
		all = append(all, &soakLong{name: fmt.Sprint("share-", i), kind: kind, version: mqtt.V50, keep: true, cuts: true, filter: "$share/group/" + everything, reader: share})
	}
	for _, l := range all {
		if l.reader != nil {
			l.qos = l.reader.qos
		}
	}
	slices.SortStableFunc(all, func(a, b *soakLong) int { return strings.Compare(b.filter, a.filter) }) // subscribers first
	k.long = all
	for i := range 8 {
		k.visitors = append(k.visitors, &soakVisitor{k: k, n: i, counts: map[string]int{}, stream: stream(fmt.Sprint("visitor", i), mqtt.QoS(1+i%2), true)})
	}
}

// settle waits until all that was acknowledged has come.
func (k *soak) settle() {
	last, since := -1, time.Now()
	for k.ctx.Err() == nil {
		total, text := 0, ""
		for _, r := range k.readers {
			n, first := r.missing(k.streams)
			if n > 0 {
				text = fmt.Sprintf("%s: %d acknowledged messages do not come any more, the first of them is %s", r.name, n, first)
			}
			total += n
		}
		if will, missing := k.wills.verdict(); will != "" {
			total++
			if text = will; !missing {
				k.fault("%s", text)
				return
			}
		}
		switch {
		case total == 0:
			return
		case total != last:
			last, since = total, time.Now()
		case time.Since(since) > time.Minute:
			k.fault("%s", text)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	k.fault("it takes too long: %v", k.ctx.Err())
}

// empty waits until nothing is left of the clients.
func (k *soak) empty(before soakSample) {
	none := []string{"mqt_clients", "mqt_connections", "mqt_sessions", "mqt_subscriptions", "mqt_shared_subscriptions", "mqt_queued_messages"}
	// $SYS is retained, and its numbers become longer. What else is kept is the same to the byte.
	same := []string{"mqt_retained_messages", "mqt_retained_bytes", keptBytes, "process_open_fds", "go_goroutines"}
	slack := map[string]float64{"mqt_retained_bytes": 1000, "process_open_fds": 6, "go_goroutines": 3} // a fetch of metrics has some, a second loop three
	var left []string
	ok := k.wait(2*time.Minute, func() bool {
		left = nil
		now := k.sample(0)
		for _, name := range none {
			if now.of[name] != 0 {
				left = append(left, fmt.Sprintf("%s %v", name, now.of[name]))
			}
		}
		for _, name := range same {
			if now.of[name] > before.of[name]+slack[name] {
				left = append(left, fmt.Sprintf("%s %v, before there was anybody %v", name, now.of[name], before.of[name]))
			}
		}
		return left == nil
	})
	if !ok {
		k.fault("when all have left there is still: %s", strings.Join(left, ", "))
	}
	k.t.Logf("empty: %v\nbefore: %v", k.sample(0).of, before.of)
}

func (k *soak) wait(most time.Duration, ok func() bool) bool {
	for end := time.Now().Add(most); ; time.Sleep(50 * time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

func (k *soak) poll(what string, ok func() bool) {
	k.t.Helper()
	if !k.wait(time.Minute, ok) {
		k.t.Fatalf("%s\n%s", what, &k.stderr)
	}
}

// stop ends the broker, which has nothing to complain of.
func (k *soak) stop() {
	_ = k.broker.Process.Signal(syscall.SIGTERM)
	if err := k.broker.Wait(); err != nil {
		k.fault("the broker ended with %v", err)
	}
	for _, bad := range []string{"DATA RACE", "panic", "level=ERROR"} {
		if strings.Contains(k.stderr.String(), bad) {
			k.fault("the broker: %s\n%s", bad, &k.stderr)
			break
		}
	}
	if k.data == "" {
		return
	}
	sum, err := store.Check(k.data)
	// What sessions leave behind is removed piece by piece, and after a start if the broker is told to end before.
	if err != nil || len(sum.Problems) > 0 || sum.Sessions+sum.Subscriptions+sum.Queued+sum.Released+sum.Received+sum.Wills+sum.Retained > 0 || sum.Messages > sum.Leftover {
		k.fault("the store holds %+v, %v", sum, err)
	}
}

// tell sums up.
func (k *soak) tell() {
	visits := map[string]int{}
	for _, v := range k.visitors {
		for name, n := range v.counts {
			visits[name] += n
		}
	}
	sent, doubt := 0, 0
	for _, s := range k.streams {
		n, d := s.count()
		sent, doubt = sent+n, doubt+d
	}
	k.t.Logf("published %d, in doubt %d, wills %d; visits %v", sent, doubt, k.wills.sent, visits)
	for _, r := range k.readers {
		r.mu.Lock()
		k.t.Logf("%s: %d messages, %d of them again", r.name, r.n, r.again)
		for _, f := range r.faults {
			k.t.Error(f)
		}
		r.mu.Unlock()
	}
}

// keptBytes is what the broker keeps for clients, without retained messages.
const keptBytes = "queued bytes that are not retained"

// soakSample is what the broker says of itself.
type soakSample struct {
	at time.Duration
	of map[string]float64
}

// soakWatched is what is written down. The live heap is half of what the collector lets it grow to.
func soakWatched() []string {
	return []string{"process_resident_memory_bytes", "go_memstats_next_gc_bytes", "go_memstats_heap_inuse_bytes", "go_memstats_stack_inuse_bytes", "go_goroutines", "process_open_fds",
		"mqt_connections", "mqt_sessions", "mqt_subscriptions", "mqt_shared_subscriptions", "mqt_clients", "mqt_retained_messages", "mqt_retained_bytes",
		"mqt_queued_messages", "mqt_queued_bytes", "mqt_messages_received_total", "mqt_messages_sent_total", "mqt_connections_accepted_total", "mqt_store_file_bytes", "process_cpu_seconds_total"}
}

func (k *soak) sample(at time.Duration) soakSample {
	s := soakSample{at: at, of: map[string]float64{}}
	hc := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := hc.Get(k.metrics)
	if err != nil {
		k.fault("metrics: %v", err)
		return s
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		k.fault("metrics: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && slices.Contains(soakWatched(), name) {
			s.of[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	s.of[keptBytes] = s.of["mqt_queued_bytes"] - s.of["mqt_retained_bytes"]
	return s
}

// watch takes samples until the time is over.
func (k *soak) watch(d time.Duration) []soakSample {
	var samples []soakSample
	begin := time.Now()
	for step := max(d/360, time.Second); time.Since(begin) < d && k.ctx.Err() == nil; time.Sleep(step) {
		samples = append(samples, k.sample(time.Since(begin)))
	}
	return samples
}

func (k *soak) writeSamples(name string, samples []soakSample) {
	dir := os.Getenv("MQT_SOAK_DIR")
	if dir == "" {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seconds,%s\n", strings.Join(soakWatched(), ","))
	for _, s := range samples {
		fmt.Fprintf(&b, "%.0f", s.at.Seconds())
		for _, name := range soakWatched() {
			fmt.Fprintf(&b, ",%.0f", s.of[name])
		}
		b.WriteString("\n")
	}
	if err := os.WriteFile(filepath.Join(dir, "soak-"+name+".csv"), []byte(b.String()), 0o644); err != nil {
		k.t.Error(err)
	}
}

// level compares the second quarter of the run with the last: by their medians, since visitors come and go.
func (k *soak) level(samples []soakSample) {
	median := func(name string, from, to int) float64 {
		var all []float64
		for _, s := range samples[from:to] {
			all = append(all, s.of[name])
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	n := len(samples)
	if n < 8 {
		k.fault("only %d samples", n)
		return
	}
	resident := float64(24 << 20)
	if samples[n-1].at < 10*time.Minute { // it is still finding its size, with the race detector above all
		resident = 64 << 20
	}
	for _, one := range []struct {
		name  string
		slack float64
	}{
		{"process_resident_memory_bytes", resident}, {"go_memstats_next_gc_bytes", 12 << 20}, {"go_memstats_stack_inuse_bytes", 2 << 20},
		{"go_goroutines", 30}, {"process_open_fds", 30}, {"mqt_sessions", 30}, {"mqt_subscriptions", 60},
	} {
		early, late := median(one.name, n/4, n/2), median(one.name, n*3/4, n)
		k.t.Logf("%-30s %12.0f in the second quarter, %12.0f in the last", one.name, early, late)
		if late > early*1.15+one.slack {
			k.fault("%s grows: %.0f in the second quarter of the run, %.0f in the last", one.name, early, late)
		}
	}
	for i := range 9 {
		s := samples[i*(n-1)/8]
		k.t.Logf("%6.0fs rss %.1f MiB, live heap %.1f MiB, goroutines %.0f, fds %.0f, sessions %.0f, subscriptions %.0f, queued %.0f (%.0f KiB), messages in %.0f out %.0f, connections %.0f, cpu %.0fs",
			s.at.Seconds(), s.of["process_resident_memory_bytes"]/(1<<20), s.of["go_memstats_next_gc_bytes"]/(2<<20), s.of["go_goroutines"], s.of["process_open_fds"], s.of["mqt_sessions"],
			s.of["mqt_subscriptions"], s.of["mqt_queued_messages"], s.of["mqt_queued_bytes"]/1024, s.of["mqt_messages_received_total"], s.of["mqt_messages_sent_total"],
			s.of["mqt_connections_accepted_total"], s.of["process_cpu_seconds_total"])
	}
}
