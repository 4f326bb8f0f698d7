package mqtt_test

import (
	"fmt"
	"strings"

	"mqt/mqtt"
)

// render writes all that a packet holds on one line, in words that do not change: the meaning in testdata/packets.
// Two packets that differ in anything but nil and empty render differently.
func render(p mqtt.Packet) string {
	var b strings.Builder
	b.WriteString(p.Type().String())
	add := func(format string, args ...any) { fmt.Fprintf(&b, " "+format, args...) }
	var ps mqtt.Properties
	switch p := p.(type) {
	case *mqtt.Connect:
		renderConnect(p, add)
		ps = p.Properties
	case *mqtt.Connack:
		add("session-present=%d reason=0x%02x", bit(p.SessionPresent), byte(p.ReasonCode))
		ps = p.Properties
	case *mqtt.Publish:
		add("dup=%d qos=%d retain=%d topic=%q", bit(p.Dup), p.QoS, bit(p.Retain), p.Topic)
		if p.QoS > 0 {
			add("id=%d", p.PacketID)
		}
		add("payload=%q", p.Payload)
		ps = p.Properties
	case *mqtt.Puback:
		ps = renderAck(&p.Ack, add)
	case *mqtt.Pubrec:
		ps = renderAck(&p.Ack, add)
	case *mqtt.Pubrel:
		ps = renderAck(&p.Ack, add)
	case *mqtt.Pubcomp:
		ps = renderAck(&p.Ack, add)
	case *mqtt.Subscribe:
		add("id=%d", p.PacketID)
		for _, s := range p.Subscriptions {
			add("%q qos=%d nl=%d rap=%d rh=%d", s.Filter, s.QoS, bit(s.NoLocal), bit(s.RetainAsPublished), s.RetainHandling)
		}
		ps = p.Properties
	case *mqtt.Suback:
		ps = renderCodes(p.PacketID, p.ReasonCodes, p.Properties, add)
	case *mqtt.Unsubscribe:
		add("id=%d", p.PacketID)
		for _, f := range p.Filters {
			add("%q", f)
		}
		ps = p.Properties
	case *mqtt.Unsuback:
		ps = renderCodes(p.PacketID, p.ReasonCodes, p.Properties, add)
	case *mqtt.Pingreq, *mqtt.Pingresp:
	case *mqtt.Disconnect:
		add("reason=0x%02x", byte(p.ReasonCode))
		ps = p.Properties
	case *mqtt.Auth:
		add("reason=0x%02x", byte(p.ReasonCode))
		ps = p.Properties
	default:
		panic(fmt.Sprintf("%T", p))
	}
	if len(ps) > 0 {
		add("%s", renderProperties(ps))
	}
	return b.String()
}

func renderConnect(c *mqtt.Connect, add func(string, ...any)) {
	add("%s clean-start=%d keep-alive=%d client-id=%q", c.Version, bit(c.CleanStart), c.KeepAlive, c.ClientID)
	if c.HasUsername {
		add("username=%q", c.Username)
	}
	if c.HasPassword {
		add("password=%q", c.Password)
	}
	if w := c.Will; w != nil {
		add("will-topic=%q will-payload=%q will-qos=%d will-retain=%d", w.Topic, w.Payload, w.QoS, bit(w.Retain))
		if len(w.Properties) > 0 {
			add("will%s", renderProperties(w.Properties))
		}
	}
}

func renderAck(a *mqtt.Ack, add func(string, ...any)) mqtt.Properties {
	add("id=%d reason=0x%02x", a.PacketID, byte(a.ReasonCode))
	return a.Properties
}

func renderCodes(id mqtt.PacketID, codes []mqtt.ReasonCode, ps mqtt.Properties, add func(string, ...any)) mqtt.Properties {
	add("id=%d", id)
	for _, r := range codes {
		add("0x%02x", byte(r))
	}
	return ps
}

func renderProperties(ps mqtt.Properties) string {
	words := make([]string, len(ps))
	for i, p := range ps {
		switch {
		case p.ID.IsNumber():
			words[i] = fmt.Sprintf("%s=%d", p.ID, p.Number)
		case p.ID == mqtt.UserProperty:
			words[i] = fmt.Sprintf("%s=%q:%q", p.ID, p.Key, p.Value)
		default:
			words[i] = fmt.Sprintf("%s=%q", p.ID, p.Value)
		}
	}
	return "{" + strings.Join(words, " ") + "}"
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
