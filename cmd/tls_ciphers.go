package cmd

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// readCiphers reads a list of cipher suites, named as OpenSSL or the standards
// name them, for TLS 1.2; those of TLS 1.3 cannot be chosen.
func (o *tlsOptions) readCiphers(s string) error {
	known := make(map[string]uint16)
	var names []string
	for _, suite := range tls.CipherSuites() {
		if slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
			name := openSSLName(suite.Name)
			names = append(names, name)
			known[name], known[suite.Name] = suite.ID, suite.ID
		}
	}
	for _, name := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(": ,", r) }) {
		id, ok := known[name]
		switch {
		case ok:
			o.ciphers = append(o.ciphers, id)
		case !slices.Contains([]string{"DEFAULT", "HIGH"}, name): // which are what there is
			return fmt.Errorf("there is no %s; there are %s", name, strings.Join(names, ":"))
		}
	}
	return nil
}

// openSSLName makes ECDHE-RSA-AES128-GCM-SHA256 of
// TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256.
func openSSLName(name string) string {
	name = strings.TrimPrefix(name, "TLS_")
	name = strings.NewReplacer("_WITH", "", "AES_", "AES", "_CBC", "", "POLY1305_SHA256", "POLY1305").Replace(name)
	return strings.ReplaceAll(name, "_", "-")
}
