package cmd_test

import (
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mqt/mqtt"
)

// behaviour is what a scripted server does.
type behaviour struct {
	kind string
	code mqtt.ReasonCode
}

// startServer serves one behaviour until the script ends: refuse, deny-publish, deny-subscribe, deny-some, deny-unsubscribe, disconnect
// (behind the SUBACK or instead of the PUBACK), each with a reason code; drop (the connection instead of the PUBACK);
// auth (enhanced authentication by any method); accept-close (behind the CONNACK); silent (no CONNACK); close (instead of
// it); 311 (refuses 5.0 as a server of 3.1.1 does); ok; tls-old (TLS 1.1 at most) and tls-alpn (the protocol mqtt alone),
// with c/server.pem, MQTT_URL being one of mqtts.
func startServer(ts *testscript.TestScript, _ bool, args []string) {
	b := behaviour{kind: args[0]}
	if len(args) > 1 {
		n, err := strconv.ParseUint(args[1], 0, 8)
		ts.Check(err)
		b.code = mqtt.ReasonCode(n)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv("MQTT_URL", "mqtt://"+l.Addr().String())
	if strings.HasPrefix(b.kind, "tls-") {
		cert, err := tls.LoadX509KeyPair(ts.MkAbs("c/server.pem"), ts.MkAbs("c/server.key"))
		ts.Check(err)
		c := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"mqtt"}}
		if b.kind == "tls-old" {
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}
		ts.Setenv("MQTT_URL", "mqtts://"+l.Addr().String())
		l = tls.NewListener(l, c)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(c)
		}
	}()
}

func (b behaviour) serve(c net.Conn) {
	defer c.Close()
	if b.kind == "close" {
		return
	}
	r := mqtt.Reader{From: mqtt.Client}
	var buf []byte
	version := mqtt.V50
	for chunk := make([]byte, 4096); ; {
		n, err := c.Read(chunk)
		if err != nil || b.kind == "silent" {
			time.Sleep(time.Millisecond)
			if err != nil {
				return
			}
			continue
		}
		buf = append(buf, chunk[:n]...)
		for {
			p, n, err := r.Read(buf)
			if err != nil {
				return
			}
			if n == 0 {
				break
			}
			if connect, ok := p.(*mqtt.Connect); ok {
				version, r.Version = connect.Version, connect.Version
			}
			for _, answer := range b.answer(p, version) {
				if answer == nil {
					return
				}
				out, err := answer.Append(nil, version)
				if err == nil {
					_, err = c.Write(out)
				}
				if err != nil {
					return
				}
			}
			buf = buf[n:]
		}
	}
}

// answer returns the packets to send; nil among them closes the connection.
func (b behaviour) answer(p mqtt.Packet, v mqtt.Version) []mqtt.Packet {
	switch p := p.(type) {
	case *mqtt.Connect:
		switch {
		case b.kind == "refuse":
			return []mqtt.Packet{&mqtt.Connack{ReasonCode: b.code}, nil}
		case b.kind == "311" && v == mqtt.V50:
			return []mqtt.Packet{&mqtt.Connack{ReasonCode: mqtt.UnsupportedProtocolVersion}, nil}
		case b.kind == "auth":
			method, _ := p.Properties.Text(mqtt.AuthenticationMethod)
			return []mqtt.Packet{&mqtt.Connack{Properties: mqtt.Properties{mqtt.Str(mqtt.AuthenticationMethod, method)}}}
		case b.kind == "accept-close":
			return []mqtt.Packet{&mqtt.Connack{}, nil}
		}
		return []mqtt.Packet{&mqtt.Connack{}}
	case *mqtt.Auth:
		method, _ := p.Properties.Text(mqtt.AuthenticationMethod)
		return []mqtt.Packet{&mqtt.Auth{Properties: mqtt.Properties{mqtt.Str(mqtt.AuthenticationMethod, method)}}}
	case *mqtt.Publish:
		switch {
		case b.kind == "mute":
		case b.kind == "drop":
			return []mqtt.Packet{nil}
		case b.kind == "disconnect":
			return []mqtt.Packet{&mqtt.Disconnect{ReasonCode: b.code}, nil}
		case p.QoS == mqtt.QoS1:
			return []mqtt.Packet{&mqtt.Puback{Ack: mqtt.Ack{PacketID: p.PacketID, ReasonCode: b.denies("deny-publish")}}}
		case p.QoS == mqtt.QoS2:
			return []mqtt.Packet{&mqtt.Pubrec{Ack: mqtt.Ack{PacketID: p.PacketID, ReasonCode: b.denies("deny-publish")}}}
		}
	case *mqtt.Pubrel:
		return []mqtt.Packet{&mqtt.Pubcomp{Ack: mqtt.Ack{PacketID: p.PacketID}}}
	case *mqtt.Subscribe:
		s := &mqtt.Suback{PacketID: p.PacketID}
		for i := range p.Subscriptions {
			code := b.denies("deny-subscribe")
			if b.kind == "deny-some" && i > 0 {
				code = b.code
			}
			s.ReasonCodes = append(s.ReasonCodes, code)
		}
		if b.kind == "disconnect" {
			return []mqtt.Packet{s, &mqtt.Disconnect{ReasonCode: b.code}, nil}
		}
		return []mqtt.Packet{s}
	case *mqtt.Unsubscribe:
		u := &mqtt.Unsuback{PacketID: p.PacketID}
		for range p.Filters {
			u.ReasonCodes = append(u.ReasonCodes, b.denies("deny-unsubscribe"))
		}
		return []mqtt.Packet{u}
	case *mqtt.Pingreq:
		return []mqtt.Packet{&mqtt.Pingresp{}}
	case *mqtt.Disconnect:
		return []mqtt.Packet{nil}
	}
	return nil
}

func (b behaviour) denies(kind string) mqtt.ReasonCode {
	if b.kind == kind {
		return b.code
	}
	return mqtt.Success
}
