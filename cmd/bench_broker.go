package cmd

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"mqt/mqtt/transport"
)

// brokerStartTimeout bounds the wait until a broker under test listens.
const brokerStartTimeout = 30 * time.Second

// testedBroker is a broker that --broker-cmd started.
type testedBroker struct {
	endpoint *transport.Endpoint
	command  string
	cmd      *exec.Cmd
	cancel   context.CancelFunc
	ended    chan struct{}
	mu       sync.Mutex
	output   bytes.Buffer // the first maxBrokerOutput bytes
}

const maxBrokerOutput = 8 << 10

// Write keeps the beginning of what the broker says.
func (b *testedBroker) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.output.Write(p[:min(len(p), maxBrokerOutput-b.output.Len())])
	return len(p), nil
}

// startTestedBroker runs a command in which {port} stands for a free port, and
// waits until something listens there.
func startTestedBroker(ctx context.Context, command string) (*testedBroker, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(command, "{port}") {
		return nil, &usageError{text: "--broker-cmd without {port}", hint: "as in --broker-cmd 'mosquitto -p {port}'"}
	}
	b := &testedBroker{
		command:  strings.ReplaceAll(command, "{port}", strconv.Itoa(port)),
		endpoint: &transport.Endpoint{Scheme: transport.SchemeMQTT, Host: "127.0.0.1", Port: strconv.Itoa(port)},
		ended:    make(chan struct{}),
	}
	line := b.command
	if runtime.GOOS != "windows" {
		line = "exec " + line // the process that is watched is the broker, not a shell
	}
	living, cancel := context.WithCancel(context.WithoutCancel(ctx))
	b.cancel = cancel
	b.cmd = shellCommand(living, line)
	b.cmd.Stdout, b.cmd.Stderr, b.cmd.WaitDelay = b, b, shutdownTimeout
	if err := b.cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("--broker-cmd: %w", err)
	}
	go func() {
		defer close(b.ended)
		_ = b.cmd.Wait() // its end is told by who misses it
	}()
	if err := b.wait(ctx); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (b *testedBroker) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, brokerStartTimeout)
	defer cancel()
	var d net.Dialer
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		nc, err := d.DialContext(ctx, "tcp", net.JoinHostPort(b.endpoint.Host, b.endpoint.Port))
		if err == nil {
			return nc.Close()
		}
		select {
		case <-ticker.C:
		case <-b.ended:
			return &exitError{code: exitFailed, err: fmt.Errorf("--broker-cmd: %s ended: %s", b.command, b.said())}
		case <-ctx.Done():
			return &exitError{code: exitFailed, err: fmt.Errorf("--broker-cmd: %s does not listen within %v: %s", b.command, brokerStartTimeout, b.said())}
		}
	}
}

func (b *testedBroker) said() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.TrimSpace(b.output.String())
}

// Command is for the report.
func (b *testedBroker) Command() string { return b.command }

// stop ends the broker, by force if it does not end by itself.
func (b *testedBroker) stop() {
	b.cancel()
	<-b.ended
	killRest(b.cmd)
}
