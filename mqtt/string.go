package mqtt

import (
	"fmt"
	"strconv"
)

// maxShown is how many bytes of a text are shown in a packet's String.
const maxShown = 128

// The String methods show a packet on one line, for debug output: its name,
// flags and ids, topics quoted, payloads by size, properties by name. A
// password or authentication data is never shown, only that it is there.

func (c *Connect) String() string {
	d := newDump(TypeConnect).add(", v%s, c%d, k%d, %s", c.Version, bit(c.CleanStart), c.KeepAlive, shown(c.ClientID))
	if c.HasUsername {
		d.add(", username %s", shown(c.Username))
	}
	if c.HasPassword {
		d.add(", password")
	}
	if w := c.Will; w != nil {
		d.add(", will (q%d, r%d, %s, %d bytes", w.QoS, bit(w.Retain), shown(w.Topic), len(w.Payload))
		d.properties(w.Properties).add(")")
	}
	return d.properties(c.Properties).end()
}

func (c *Connack) String() string {
	return newDump(TypeConnack).add(", s%d, %s", bit(c.SessionPresent), c.ReasonCode).properties(c.Properties).end()
}

func (p *Publish) String() string {
	d := newDump(TypePublish).add(", d%d, q%d, r%d", bit(p.Dup), p.QoS, bit(p.Retain))
	if p.QoS > 0 {
		d.add(", m%d", p.PacketID)
	}
	return d.add(", %s, %d bytes", shown(p.Topic), len(p.Payload)).properties(p.Properties).end()
}

func (a *Puback) String() string  { return a.dump(TypePuback) }
func (a *Pubrec) String() string  { return a.dump(TypePubrec) }
func (a *Pubrel) String() string  { return a.dump(TypePubrel) }
func (a *Pubcomp) String() string { return a.dump(TypePubcomp) }

func (a *Ack) dump(t Type) string {
	return newDump(t).add(", m%d", a.PacketID).reason(a.ReasonCode).properties(a.Properties).end()
}

func (s *Subscribe) String() string {
	d := newDump(TypeSubscribe).add(", m%d", s.PacketID)
	for i := range s.Subscriptions {
		sub := &s.Subscriptions[i]
		d.add(", %s q%d", shown(sub.Filter), sub.QoS)
		if sub.NoLocal {
			d.add(" no-local")
		}
		if sub.RetainAsPublished {
			d.add(" retain-as-published")
		}
		if sub.RetainHandling > 0 {
			d.add(" retain-handling=%d", sub.RetainHandling)
		}
	}
	return d.properties(s.Properties).end()
}

func (s *Suback) String() string {
	return newDump(TypeSuback).add(", m%d", s.PacketID).reasons(s.ReasonCodes).properties(s.Properties).end()
}

func (u *Unsubscribe) String() string {
	d := newDump(TypeUnsubscribe).add(", m%d", u.PacketID)
	for _, f := range u.Filters {
		d.add(", %s", shown(f))
	}
	return d.properties(u.Properties).end()
}

func (u *Unsuback) String() string {
	return newDump(TypeUnsuback).add(", m%d", u.PacketID).reasons(u.ReasonCodes).properties(u.Properties).end()
}

func (*Pingreq) String() string  { return newDump(TypePingreq).end() }
func (*Pingresp) String() string { return newDump(TypePingresp).end() }

func (d *Disconnect) String() string {
	return newDump(TypeDisconnect).reason(d.ReasonCode).properties(d.Properties).end()
}

func (a *Auth) String() string {
	return newDump(TypeAuth).add(", %s", a.ReasonCode).properties(a.Properties).end()
}

// dump builds "NAME (a, b, c)"; every part brings its comma.
type dump struct {
	name  string
	parts []byte
}

func newDump(t Type) *dump { return &dump{name: t.String()} }

func (d *dump) add(format string, args ...any) *dump {
	d.parts = fmt.Appendf(d.parts, format, args...)
	return d
}

// reason adds a Reason Code that says something.
func (d *dump) reason(r ReasonCode) *dump {
	if r == Success {
		return d
	}
	return d.add(", %s", r)
}

// reasons adds the codes of a SUBACK or UNSUBACK: the granted QoS as they are,
// the rest by name.
func (d *dump) reasons(codes []ReasonCode) *dump {
	for _, r := range codes {
		if r <= GrantedQoS2 {
			d.add(", %d", r)
		} else {
			d.add(", %s", r)
		}
	}
	return d
}

func (d *dump) properties(ps Properties) *dump {
	for i := range ps {
		switch p := &ps[i]; {
		case p.ID == UserProperty:
			d.add(", %s: %s=%s", p.ID, shown(p.Key), shown(p.Value))
		case p.ID == AuthenticationData:
			d.add(", %s", p.ID)
		case p.ID.IsNumber():
			d.add(", %s: %d", p.ID, p.Number)
		case p.ID.IsBinary():
			d.add(", %s: %d bytes", p.ID, len(p.Value))
		default:
			d.add(", %s: %s", p.ID, shown(p.Value))
		}
	}
	return d
}

func (d *dump) end() string {
	if len(d.parts) == 0 {
		return d.name
	}
	return d.name + " (" + string(d.parts[len(", "):]) + ")"
}

// shown quotes a text from the peer, so that it cannot reach the terminal as
// control characters, and cuts what is long.
func shown[S ~string | ~[]byte](s S) string {
	if len(s) <= maxShown {
		return strconv.Quote(string(s))
	}
	return strconv.Quote(string(s[:maxShown])) + "…"
}
