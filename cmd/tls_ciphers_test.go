package cmd

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"
)

// The names are those of openssl ciphers.
func TestCiphers(t *testing.T) {
	var o tlsOptions
	list := "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-SHA TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
	want := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
	if err := o.readCiphers(list); err != nil || !slices.Equal(o.ciphers, want) {
		t.Errorf("%v, %v", o.ciphers, err)
	}
	o = tlsOptions{}
	if err := o.readCiphers("DEFAULT"); err != nil || o.ciphers != nil {
		t.Errorf("%v, %v", o.ciphers, err)
	}
	err := o.readCiphers("RC4-MD5")
	if err == nil || !strings.Contains(err.Error(), "ECDHE-ECDSA-AES256-GCM-SHA384:") {
		t.Error(err)
	}
}
