package cmd

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"mqt/mqtt/broker"
)

// clientView is a session as /clients shows it.
type clientView struct {
	Client        string           `json:"client"`
	User          string           `json:"user,omitempty"`
	Connected     bool             `json:"connected"`
	Address       string           `json:"address,omitempty"`
	Version       string           `json:"version,omitempty"`
	Since         *time.Time       `json:"connected_since,omitempty"`
	KeepAlive     int              `json:"keep_alive,omitempty"` // seconds
	Subscriptions int              `json:"subscriptions"`
	Queued        int              `json:"queued_messages"`
	QueuedBytes   int              `json:"queued_bytes"`
	InFlight      int              `json:"in_flight_messages"`
	FlightBytes   int              `json:"in_flight_bytes"`
	Received      int64            `json:"messages_received"`
	Sent          int64            `json:"messages_sent"`
	BytesReceived int64            `json:"bytes_received"`
	BytesSent     int64            `json:"bytes_sent"`
	Dropped       map[string]int64 `json:"dropped,omitempty"`
}

func viewOf(c *broker.Client) clientView {
	v := clientView{
		Client: c.ClientID, User: c.Username, Connected: c.Connected, Address: c.Address, KeepAlive: int(c.KeepAlive / time.Second),
		Subscriptions: c.Subscriptions, Queued: c.Queued, QueuedBytes: c.QueuedBytes, InFlight: c.InFlight, FlightBytes: c.FlightBytes,
		Received: c.Received, Sent: c.Sent, BytesReceived: c.BytesReceived, BytesSent: c.BytesSent,
	}
	if c.Connected {
		since := c.Since.UTC().Round(time.Millisecond)
		v.Version, v.Since = c.Version.String(), &since
	}
	for _, d := range c.Dropped {
		if v.Dropped == nil {
			v.Dropped = make(map[string]int64)
		}
		v.Dropped[d.Reason] = d.Count
	}
	return v
}

// clientPages answers /clients: a page of sessions in the order of their Client
// Identifiers, behind after, limit of them. open lets other machines ask; the
// others are told no, for the answer has names and addresses of people's devices.
type clientPages struct {
	b    *broker.Broker
	open bool
	busy chan struct{} // one asks at a time
}

func newClientPages(b *broker.Broker, open bool) *clientPages {
	return &clientPages{b: b, open: open, busy: make(chan struct{}, 1)}
}

// defaultPage is how many there are on a page where limit does not say.
const defaultPage = 100

func (p *clientPages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.open && !fromHere(r) {
		http.Error(w, "only this machine may see the clients; --metrics-clients lets others", http.StatusForbidden)
		return
	}
	query := r.URL.Query()
	n := defaultPage
	if s := query.Get("limit"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 || n > broker.MaxClients {
			http.Error(w, fmt.Sprintf("limit is from 1 to %d", broker.MaxClients), http.StatusBadRequest)
			return
		}
	}
	select {
	case p.busy <- struct{}{}:
		defer func() { <-p.busy }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "somebody else is asking", http.StatusServiceUnavailable)
		return
	}
	page := struct {
		Clients []clientView `json:"clients"`
		Next    string       `json:"next,omitempty"` // after, of the next page
	}{Clients: []clientView{}}
	found := p.b.Clients(query.Get("after"), n)
	for i := range found {
		page.Clients = append(page.Clients, viewOf(&found[i]))
	}
	if len(found) == n {
		page.Next = found[n-1].ClientID
	}
	text, err := json.MarshalIndent(page, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(append(printable(text), '\n'))
}

// fromHere tells that the request is of this machine, and was meant for it by
// name: a page elsewhere may have a name that leads here.
func fromHere(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	called, _, e := net.SplitHostPort(r.Host)
	if e != nil {
		called = r.Host
	}
	return err == nil && loopback(host) && loopback(called)
}

// printable escapes in JSON what a terminal could take for an order.
func printable(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r < 0x7f || unicode.IsPrint(r):
			out = append(out, text[:n]...)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		text = text[n:]
	}
	return out
}
