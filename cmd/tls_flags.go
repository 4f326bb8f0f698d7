package cmd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mqt/mqtt/transport"
)

// tlsOptions are the flags of TLS.
type tlsOptions struct {
	on, off, insecure         bool
	cafile, capath, cert, key string
	keypass, sni, keylog      string
	keypassFile, keypassEnv   string
	version                   uint16
	ciphers                   []uint16 // none: all that are safe
	alpn                      []string
}

func (o *tlsOptions) flags() []*option {
	const g = groupTLS
	return []*option{
		g.toggle("tls tls-use-os-certs", "use TLS, with the system's CAs unless others are given", &o.on),
		g.toggle("no-tls", "no TLS, whatever port or files are given", &o.off),
		g.text("cafile ca", "`FILE` with the CAs to trust (PEM); turns TLS on, as do --capath and --cert", &o.cafile).notEmpty(),
		g.text("capath", "`DIRECTORY` with such files", &o.capath).notEmpty(),
		g.text("cert", "`FILE` with our certificate (PEM)", &o.cert).notEmpty(),
		g.text("key", "`FILE` with its private key (PEM)", &o.key).notEmpty(),
		g.text("keypass", "`PASSPHRASE` of the key; others can see it", &o.keypass),
		g.text("keypass-file", "`FILE` with the passphrase on its first line", &o.keypassFile).notEmpty(),
		g.text("keypass-env", "`VARIABLE` with the passphrase", &o.keypassEnv),
		g.toggle("insecure", "do not check the server's certificate: for tests", &o.insecure),
		g.value("tls-version", "only this `VERSION`, tlsv1.2 or tlsv1.3", o.readVersion).oneOf("tlsv1.2", "tlsv1.3"),
		g.value("ciphers", "`LIST` of the cipher suites for TLS 1.2, as OpenSSL names them, with colons between (default: all that are safe)", o.readCiphers),
		g.list("tls-alpn", "`PROTOCOL` to offer by ALPN; may be repeated", &o.alpn),
		g.text("tls-sni", "`NAME` to ask for and to check, if not the host's", &o.sni).notEmpty(),
		g.text("tls-keylog", "`FILE` to append the session's keys to, for Wireshark", &o.keylog).from("SSLKEYLOGFILE").notEmpty(),
	}
}

func (o *tlsOptions) readVersion(s string) error {
	switch s {
	case "tlsv1.2", "1.2":
		o.version = tls.VersionTLS12
	case "tlsv1.3", "1.3":
		o.version = tls.VersionTLS13
	default:
		return errors.New("it is tlsv1.2 or tlsv1.3")
	}
	return nil
}

// wanted tells that TLS is asked for, if only by what it needs.
func (o *tlsOptions) wanted(port uint16) bool {
	return !o.off && (o.on || o.cafile != "" || o.capath != "" || o.cert != "" || port == 8883)
}

func (o *tlsOptions) config() (*tls.Config, error) {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: o.sni, NextProtos: o.alpn, CipherSuites: o.ciphers,
		InsecureSkipVerify: o.insecure, //nolint:gosec // asked for
	}
	if o.version != 0 {
		c.MinVersion, c.MaxVersion = o.version, o.version
	}
	if o.cafile != "" || o.capath != "" {
		c.RootCAs = x509.NewCertPool()
		if err := o.trust(c.RootCAs); err != nil {
			return nil, err
		}
	}
	if (o.cert == "") != (o.key == "") {
		return nil, &usageError{text: "--cert and --key belong together", hint: "give both"}
	}
	if o.cert != "" {
		keypass, err := o.passphrase()
		if err != nil {
			return nil, err
		}
		cert, err := loadCertificate(o.cert, o.key, keypass)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{cert}
	}
	if o.keylog != "" {
		f, err := os.OpenFile(o.keylog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("--tls-keylog: %w", err)
		}
		c.KeyLogWriter = f // open until the process ends
	}
	return c, nil
}

// proxy is for a proxy of https.
func (o *tlsOptions) proxy() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.insecure} //nolint:gosec // asked for
	if o.cafile == "" && o.capath == "" {
		return c, nil
	}
	var err error
	if c.RootCAs, err = x509.SystemCertPool(); err != nil {
		c.RootCAs = x509.NewCertPool()
	}
	return c, o.trust(c.RootCAs)
}

// passphrase is that of the key, "" for none.
func (o *tlsOptions) passphrase() (string, error) {
	switch {
	case o.keypass != "":
		return o.keypass, nil
	case o.keypassFile != "":
		b, err := readFile("--keypass-file", o.keypassFile)
		return string(firstLine(b)), err
	case o.keypassEnv != "":
		b, err := secretEnv("--keypass-env", o.keypassEnv)
		return string(b), err
	}
	return "", nil
}

// trust reads the CAs.
func (o *tlsOptions) trust(pool *x509.CertPool) error {
	if o.cafile != "" {
		if err := addCAs(pool, o.cafile); err != nil {
			return err
		}
	}
	if o.capath == "" {
		return nil
	}
	entries, err := os.ReadDir(o.capath)
	if err != nil {
		return fmt.Errorf("--capath: %w", err)
	}
	found := false
	for _, e := range entries {
		if pem, err := os.ReadFile(filepath.Join(o.capath, e.Name())); err == nil {
			found = pool.AppendCertsFromPEM(pem) || found
		}
	}
	if !found {
		return &tlsFileError{text: "--capath: no certificate in " + o.capath, hint: "its files must be PEM"}
	}
	return nil
}

// observePlain tells on stderr that flags of TLS are without effect: the connection is not as safe as they look.
func (o *connectOptions) observePlain(s *Stdio, e *transport.Endpoint) {
	for _, name := range []string{"key", "insecure", "tls-version", "ciphers", "tls-alpn", "tls-sni"} {
		if f := o.flag[name]; f.origin == fromArgs && !o.tls.off {
			fmt.Fprintf(s.Err, "mqt: %s is without effect: %s has no TLS; --tls or mqtts:// turns it on\n", f.typed, e)
		}
	}
}

// observeTLS tells on stderr of handshakes, with -d, and that keys are written.
func (o *connectOptions) observeTLS(c *tls.Config, s *Stdio) {
	if o.tls.keylog != "" {
		fmt.Fprintf(s.Err, "mqt: %s: whoever has %s can read the connection\n", o.flag["tls-keylog"].typed, o.tls.keylog)
	}
	if o.debug {
		c.VerifyConnection = func(state tls.ConnectionState) error {
			fmt.Fprintf(s.Err, "%s -- %s\n", time.Now().Format(debugTime), visible(showTLS(state)))
			return nil
		}
	}
}
