package broker

import (
	"bytes"
	"errors"
	"net"

	"mqt/mqtt"
	"mqt/mqtt/access"
)

// Anonymous is who may connect without a user name that was proved.
type Anonymous byte

// The zero value is a default that can be put on a network.
const (
	// Over loopback, Unix sockets and within the process, as long as there are neither
	// users nor tokens nor names in certificates.
	AnonymousLocal Anonymous = iota
	AnonymousAll
	AnonymousNone
)

// CertificateUser is what a client's verified certificate says of its user.
type CertificateUser byte

// The Subject Alternative Name is the first DNS name, else the first e-mail
// address, else the first URI.
const (
	CertificateNone CertificateUser = iota // nothing
	CertificateCN                          // the Common Name is the user name
	CertificateSAN                         // the Subject Alternative Name is
)

// SetUsers replaces the users; nil: nobody has a password. Who is connected
// stays.
func (b *Broker) SetUsers(u *access.Users) { b.users.Store(u) }

// SetACL replaces the access control list; nil: everything is allowed. It holds
// at once, also for what is queued: who is connected stays and keeps its
// subscriptions, which deliver what the new list allows.
func (b *Broker) SetACL(a *access.ACL) { b.acl.Store(a) }

// errChecking says that a CONNECT has to wait for its verdict.
var errChecking = errors.New("broker: the credentials are being checked")

// authenticate finds out who sent the CONNECT: the user name that was proved,
// "" for an anonymous client that may come in. errChecking: that takes a while;
// the connection is paused, and the same CONNECT will be presented again.
// errExchange: the client is asked for more, by AUTH.
func (c *conn) authenticate(t *turn, p *mqtt.Connect) (user string, err error) {
	if k := c.checking.Load(); k != nil {
		if !k.done.Load() {
			return "", errChecking
		}
		c.checking.Store(nil)
		return k.user, k.err
	}
	if p.Properties.Has(mqtt.AuthenticationMethod) {
		return "", c.beginAuth(t, p)
	}
	user, proved, err := c.certified()
	if err != nil || proved {
		return user, err
	}
	users := c.b.users.Load()
	if k := c.b.tokens.Load(); k != nil && p.HasPassword && (users == nil || access.LooksLikeToken(p.Password)) {
		return "", c.checkToken(k, p)
	}
	if users == nil || !p.HasUsername {
		return "", c.b.admitAnonymous(c.tc.LocalAddr(), c.tc.RemoteAddr())
	}
	name, password := p.Username, bytes.Clone(p.Password)
	return "", c.check(nil, func() (string, error) {
		defer clear(password)
		if !users.Verify(name, password) {
			return "", refuse(mqtt.BadUserNameOrPassword, "5.4.1", "the user name and password do not fit")
		}
		return name, nil
	})
}

// certified is the user that the client's certificate names.
func (c *conn) certified() (user string, ok bool, err error) {
	as := c.b.opt.CertificateUser
	if as == CertificateNone {
		return "", false, nil
	}
	state := c.tc.TLS()
	if state == nil || len(state.VerifiedChains) == 0 {
		return "", false, nil
	}
	leaf := state.VerifiedChains[0][0]
	switch {
	case as == CertificateCN:
		user = leaf.Subject.CommonName
	case len(leaf.DNSNames) > 0:
		user = leaf.DNSNames[0]
	case len(leaf.EmailAddresses) > 0:
		user = leaf.EmailAddresses[0]
	case len(leaf.URIs) > 0:
		user = leaf.URIs[0].String()
	}
	if user == "" {
		return "", false, refuse(mqtt.NotAuthorized, "5.4.1", "the certificate has no name for a user")
	}
	return user, true, nil
}

// admitAnonymous judges a client that has proved nothing by where it is.
func (b *Broker) admitAnonymous(here, there net.Addr) error {
	switch a := b.opt.Anonymous; {
	case a == AnonymousAll:
		return nil
	case a == AnonymousLocal && !b.knowsNames() && isLocal(here) && isLocal(there):
		return nil
	}
	return refuse(mqtt.NotAuthorized, "5.4.1", "a user name and password are required")
}

// knowsNames reports whether there is something that clients could prove who they
// are with. Those of this machine may be a proxy's then, with anybody behind it.
func (b *Broker) knowsNames() bool {
	return b.users.Load() != nil || b.tokens.Load() != nil || b.opt.CertificateUser != CertificateNone
}

// isLocal tells that an address is of this machine only.
func isLocal(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}

// judgement is what the ACL said of the last topic: publishers repeat theirs.
type judgement struct {
	rights *access.Rights
	topic  string
	ok     bool
}

// mayPublish asks the ACL about an inbound PUBLISH.
func (c *conn) mayPublish(topic string) bool {
	acl := c.b.acl.Load()
	if acl == nil {
		return true
	}
	rights := c.s.rightsBy(acl)
	judged := &c.notes().judged
	if judged.rights == rights && judged.topic == topic {
		if !judged.ok {
			c.b.count.deniedPublish.Add(1)
		}
		return judged.ok
	}
	ok := rights.MayPublish(topic)
	if len(topic) <= longTopic {
		*judged = judgement{rights, topic, ok}
	}
	if !ok {
		c.b.count.deniedPublish.Add(1)
		c.b.opt.Log.Info("publish denied", "client", c.s.clientID, "user", c.s.owner.name, "topic", topic)
	}
	return ok
}

// mayLeaveWill asks the ACL about the will of a CONNECT.
func (b *Broker) mayLeaveWill(p access.Principal, w *mqtt.Will) error {
	acl := b.acl.Load()
	if acl == nil || w == nil || acl.For(p).MayPublish(w.Topic) {
		return nil
	}
	b.count.deniedPublish.Add(1)
	return refuse(mqtt.NotAuthorized, "3.1.2.5", "the will may not be published to its topic")
}

// rightsBy returns what the ACL grants to the session's client.
func (s *session) rightsBy(acl *access.ACL) *access.Rights {
	r := s.rights.Load()
	if r == nil || r.ACL() != acl {
		r = acl.For(access.Principal{Username: s.owner.name, ClientID: s.clientID})
		s.rights.Store(r)
	}
	return r
}

// mayReceive asks about a delivery, wherever a message is bound to a session
// and before it leaves a queue.
func (s *session) mayReceive(acl *access.ACL, topic string) bool {
	return acl == nil || s.rightsBy(acl).MayReceive(topic)
}

// maySubscribe asks whether a subscription could deliver anything.
func (s *session) maySubscribe(filter string) bool {
	acl := s.owner.b.acl.Load()
	if acl == nil || s.rightsBy(acl).MaySubscribe(filter) {
		return true
	}
	s.owner.b.count.deniedSubscribe.Add(1)
	s.owner.b.opt.Log.Info("subscribe denied", "client", s.clientID, "user", s.owner.name, "filter", filter)
	return false
}
