package mqtt

// Reader turns received bytes into packets. It keeps no bytes: what a call
// does not consume is presented again. The zero value reads CONNECT from a
// client; a Reader is not safe for concurrent use.
type Reader struct {
	// From is the side whose packets are read; the zero value is Client.
	From Side
	// Version is that of the Network Connection. A CONNECT sets nothing here:
	// whoever accepts it does. 0 is "before CONNECT", when a client may send
	// nothing else [MQTT-3.1.0-1].
	Version Version
	// MaximumPacketSize is the largest packet accepted, fixed header included
	// [MQTT-3.1.2-24], [MQTT-3.2.2-15]; 0 is the 256 MiB of the standard.
	MaximumPacketSize uint32

	publish Publish
	puback  Puback
	pubrec  Pubrec
	pubrel  Pubrel
	pubcomp Pubcomp
	pingreq Pingreq
	pingres Pingresp
}

// Read decodes the packet at the start of p. n is its length; n is 0 without
// an error when more bytes are needed. The packet is checked against the limit
// and the sender's rights as soon as its fixed header is there. PUBLISH and
// the acknowledgements are valid until the next Read and alias p. The error is
// an *Error; an unsupported CONNECT comes beside it.
func (r *Reader) Read(p []byte) (pkt Packet, n int, err error) {
	h, ok, err := ParseHeader(p, r.Version)
	if err != nil || !ok {
		return nil, 0, err
	}
	from := r.From
	if from == 0 {
		from = Client
	}
	n = h.Size + h.Length
	if e := r.admit(h, n, from); e != nil {
		return nil, 0, e
	}
	if len(p) < n {
		return nil, 0, nil
	}
	pkt, err = r.decode(h, p[h.Size:n:n], from)
	return pkt, n, err
}

// Need returns how many bytes the packet at the start of p has in all, 0 when
// its fixed header is not complete.
func Need(p []byte, v Version) int {
	h, ok, err := ParseHeader(p, v)
	if err != nil || !ok {
		return 0
	}
	return h.Size + h.Length
}

func (r *Reader) admit(h Header, size int, from Side) *Error {
	if senders[h.Type]&from == 0 {
		return protocolError("2.1.2", h.Type.String()+" from the wrong side")
	}
	if h.Type != TypeConnect && from == Client && r.Version == 0 {
		return protocolError("MQTT-3.1.0-1", h.Type.String()+" before CONNECT")
	}
	if h.Type == TypeDisconnect && from == Server && r.Version != 0 && r.Version < V50 {
		return protocolError("3.1.1: 3.14", "DISCONNECT from a server before 5.0")
	}
	if r.MaximumPacketSize > 0 && uint64(size) > uint64(r.MaximumPacketSize) {
		statement := "MQTT-3.2.2-15"
		if from == Server {
			statement = "MQTT-3.1.2-24"
		}
		return &Error{PacketTooLarge, statement, h.Type.String() + " is larger than the maximum packet size"}
	}
	return nil
}

func (r *Reader) decode(h Header, body []byte, from Side) (Packet, error) {
	v := r.Version
	switch h.Type {
	case TypePublish:
		return &r.publish, r.publish.decode(h, body, v, from)
	case TypePuback:
		return &r.puback, r.puback.decode(body, TypePuback, v, from)
	case TypePubrec:
		return &r.pubrec, r.pubrec.decode(body, TypePubrec, v, from)
	case TypePubrel:
		return &r.pubrel, r.pubrel.decode(body, TypePubrel, v, from)
	case TypePubcomp:
		return &r.pubcomp, r.pubcomp.decode(body, TypePubcomp, v, from)
	case TypePingreq:
		return &r.pingreq, (&cursor{p: body}).end()
	case TypePingresp:
		return &r.pingres, (&cursor{p: body}).end()
	case TypeConnect:
		return decodeConnect(body)
	case TypeConnack:
		return decodeConnack(body, v)
	case TypeSubscribe:
		return decodeSubscribe(body, v)
	case TypeSuback:
		return decodeSuback(body, v)
	case TypeUnsubscribe:
		return decodeUnsubscribe(body, v)
	case TypeUnsuback:
		return decodeUnsuback(body, v)
	case TypeDisconnect:
		return decodeDisconnect(body, v, from)
	}
	return decodeAuth(body, from)
}

// Release forgets the last packet, so that an idle Reader keeps no received
// bytes alive. What Read returned is not valid any more.
func (r *Reader) Release() {
	r.publish.Topic, r.publish.Payload = nil, nil
	for _, ps := range [...]*Properties{&r.publish.Properties, &r.puback.Properties, &r.pubrec.Properties,
		&r.pubrel.Properties, &r.pubcomp.Properties} {
		ps.forget()
	}
}
