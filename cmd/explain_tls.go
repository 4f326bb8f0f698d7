package cmd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// explainTLS puts into words why there is no trust. It returns "" for what is
// not TLS's matter.
func explainTLS(err error) (text, hint string) {
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("the server's certificate is for %s, not for %s", namesOn(e.Certificate), e.Host),
			"connect by one of its names, or tell it with --tls-sni"
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		by := "an unknown authority"
		if e.Cert != nil {
			by = fmt.Sprintf("%q, which is not trusted here", e.Cert.Issuer.String())
		}
		return "the server's certificate is signed by " + by + sentChain(err), "give its CA with --cafile, or skip the check with --insecure"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return explainInvalid(&e)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the server does not speak TLS on this port", "try mqtt:// instead of mqtts://, or another port"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return explainAlert(strings.TrimPrefix(op.Err.Error(), "tls: "))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return "the server closed the connection during the handshake", "does this port speak TLS?"
	}
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Error(), "the file of --tls-keylog cannot be written"
	}
	s := err.Error()
	switch {
	case strings.Contains(s, "selected unsupported protocol version"), strings.Contains(s, "server selected TLS"):
		return "the server's TLS is older than 1.2, which nobody should trust any more", "update the server"
	case strings.HasPrefix(s, "tls: "), strings.HasPrefix(s, "x509: "):
		return strings.TrimPrefix(strings.TrimPrefix(s, "tls: "), "x509: "), ""
	}
	return "", ""
}

// explainInvalid is for a certificate that is wrong by itself.
func explainInvalid(e *x509.CertificateInvalidError) (text, hint string) {
	if e.Reason != x509.Expired {
		return "the server's certificate is not valid: " + e.Error(), ""
	}
	whose := "the server's certificate"
	if e.Cert.IsCA {
		whose = fmt.Sprintf("the certificate of the CA %q", e.Cert.Subject.String())
	}
	what, hint := "has expired", "renew it, or check this machine's clock"
	if time.Now().Before(e.Cert.NotBefore) {
		what, hint = "is not valid yet", "is this machine's clock right?"
	}
	return fmt.Sprintf("%s %s: it is valid from %s to %s", whose, what, day(e.Cert.NotBefore), day(e.Cert.NotAfter)), hint
}

func day(t time.Time) string { return t.Format("2006-01-02 15:04") }

// namesOn are the names that a certificate is for.
func namesOn(c *x509.Certificate) string {
	names := c.DNSNames
	for _, ip := range c.IPAddresses {
		names = append(names[:len(names):len(names)], ip.String())
	}
	if len(names) == 0 {
		return "no name at all"
	}
	return strings.Join(names, ", ")
}

// maxChain bounds what is shown of a chain.
const maxChain = 5

// sentChain lists the certificates that could not be verified, "" for one alone.
func sentChain(err error) string {
	e, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok || len(e.UnverifiedCertificates) == 0 {
		return ""
	}
	var parts []string
	for _, c := range e.UnverifiedCertificates[:min(len(e.UnverifiedCertificates), maxChain)] {
		parts = append(parts, fmt.Sprintf("%q to %s", c.Subject.String(), day(c.NotAfter)))
	}
	return "; it sent " + strings.Join(parts, ", ")
}

// explainAlert says what a server means that refuses (RFC 8446, section 6.2).
func explainAlert(alert string) (text, hint string) {
	text = "the server refused: " + alert
	switch alert {
	case "no application protocol":
		return text, "it speaks none of what --tls-alpn offers; leave that out, or try --tls-alpn mqtt"
	case "protocol version not supported":
		return text, "it does not speak this version of TLS: leave --tls-version out; if it is older than 1.2, update the server"
	case "unrecognized name":
		return text, "it does not know the host's name: tell it another with --tls-sni"
	case "unknown certificate authority":
		return text, "it does not trust the CA of --cert"
	case "expired certificate", "revoked certificate", "bad certificate", "unsupported certificate", "unknown certificate":
		return text, "it does not take the certificate of --cert"
	case "handshake failure":
		return text, "does it want a client certificate? Give --cert and --key. Or there is no version and cipher in common"
	}
	return text, "does it want a client certificate? Give --cert and --key"
}

// showTLS is what -d says of a handshake that succeeded.
func showTLS(s tls.ConnectionState) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s", tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite))
	if s.NegotiatedProtocol != "" {
		fmt.Fprintf(&b, ", ALPN %q", s.NegotiatedProtocol)
	}
	if s.DidResume {
		b.WriteString(", resumed")
	}
	for i, c := range s.PeerCertificates[:min(len(s.PeerCertificates), maxChain)] {
		if i == 0 {
			fmt.Fprintf(&b, "; %q for %s", c.Subject.String(), namesOn(c))
		} else {
			fmt.Fprintf(&b, "; %q", c.Subject.String())
		}
		fmt.Fprintf(&b, ", %s to %s", day(c.NotBefore), day(c.NotAfter))
	}
	if n := len(s.PeerCertificates); n > 0 {
		fmt.Fprintf(&b, ", signed by %q", s.PeerCertificates[n-1].Issuer.String())
	}
	return b.String()
}
