package cmd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"mqt/mqtt/broker"
	"mqt/mqtt/transport"
)

// notify tells the service manager how the broker is, as sd_notify(3). Where
// there is none, nothing happens.
func notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"}) // a leading @ is an abstract name
	if err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	_, err = c.Write([]byte(state))
	if err = errors.Join(err, c.Close()); err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	return nil
}

// passed is a socket that the service manager opened for us, and what is spoken
// on it.
type passed struct {
	net.Listener
	scheme string
}

// passedSockets takes the sockets of sd_listen_fds(3). The name of each, as
// FileDescriptorName= gives it, says what is spoken: mqtt, mqtts, ws or wss;
// with any other name it is plain MQTT.
func passedSockets() ([]passed, error) {
	const first = 3 // SD_LISTEN_FDS_START
	if pid, err := strconv.Atoi(os.Getenv("LISTEN_PID")); err != nil || pid != os.Getpid() {
		return nil, nil
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > 1000 {
		return nil, fmt.Errorf("LISTEN_FDS is %q", os.Getenv("LISTEN_FDS"))
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	var all []passed
	for i := range n {
		f := os.NewFile(uintptr(first+i), "LISTEN_FD")
		l, err := net.FileListener(f)
		_ = f.Close() // FileListener has a copy
		if err != nil {
			for _, p := range all {
				_ = p.Close()
			}
			return nil, fmt.Errorf("LISTEN_FDS: socket %d: %w", i+1, err)
		}
		p := passed{l, transport.SchemeMQTT}
		if i < len(names) {
			switch names[i] {
			case transport.SchemeMQTTS, transport.SchemeWS, transport.SchemeWSS:
				p.scheme = names[i]
			}
		}
		if p.scheme == transport.SchemeMQTT && l.Addr().Network() == "unix" {
			p.scheme = transport.SchemeUnix
		}
		all = append(all, p)
	}
	return all, nil
}

// endpoint is the socket's as a URL has it.
func (p *passed) endpoint() *transport.Endpoint {
	e := &transport.Endpoint{Scheme: p.scheme}
	if a, ok := p.Addr().(*net.TCPAddr); ok {
		e.Host, e.Port = a.IP.String(), strconv.Itoa(a.Port)
	} else {
		e.Path = p.Addr().String()
	}
	if e.WebSocket() {
		e.Path = transport.DefaultPath
	}
	return e
}

// listenOn puts the broker on the sockets that were passed.
func listenOn(b *broker.Broker, sockets []passed, options func(*transport.Endpoint) transport.ListenOptions) (opened, error) {
	var all opened
	for i := range sockets {
		e := sockets[i].endpoint()
		l, err := b.ListenOn(sockets[i].Listener, e, options(e))
		if err != nil {
			return all, listenFailed(err)
		}
		all = append(all, l)
	}
	return all, nil
}
