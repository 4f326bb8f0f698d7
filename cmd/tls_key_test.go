package cmd

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
)

// One P-256 key as openssl 3.0 writes it, plain and encrypted with "secret". It protects nothing.
const (
	plainKey = `-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIIOmkUl5qQFQaWulx8gfVdFpw3vNgWmHlSabqmMDpgx8oAoGCCqGSM49
AwEHoUQDQgAEefFkby1ja6Mgv11fBr2YNMGa5jAFdJkiulMEbCNz39HQpfT2fHJQ
bfhlt+OKxKZ26Qg0o8QXgipEgxv6oItD+g==
-----END EC PRIVATE KEY-----
`
	aes256SHA256 = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjyXFH3QHDCNAICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEG6rapdmDYQNT64tTdDx5isEgZDn
X8NtWHeHicdmatAPrA07F7EQfkU65iswLo85MXp6vOtX75e9+DKP+AlOkLEUBEhJ
sPxRUjZafIwEAKsGNAjPn+eBiXxVlnL798kxfKHbX5YatETV4pe4qUp0gasDb0NX
C/gG7t3M9EnxOUJ02h9uSnkDBqKYq5jTYeSRtUWrFoynoYLaSuzbhPGJuMIj78E=
-----END ENCRYPTED PRIVATE KEY-----
`
	aes128SHA1 = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHeMEkGCSqGSIb3DQEFDTA8MBsGCSqGSIb3DQEFDDAOBAhMN2UWJGXHnwICCAAw
HQYJYIZIAWUDBAECBBBIOUOSLNgLTbzL6bJNmV9tBIGQz3Kr86tpMlu28UGjX40d
E+cSgjrx8I/vTqm9HJR9VtkOStLyfT1jBOcAifU6aK4STPFRL9D/vbmjOKILbpI9
ULyZfe2N9vnQlDYVskdTjCy3cbT1vdPkjbXeR70m5nzD3Y2q8h951HVa9tqh+M7a
0vrTlD74gtgKRI7hI5pnM5KKhjfd5Oz+UjKDmO6Ttb/u
-----END ENCRYPTED PRIVATE KEY-----
`
	scrypt = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAgYN4tWKtNwEwICQAAC
AQgCAQEwHQYJYIZIAWUDBAEqBBBloeNE21DNWH/iJ1TkrNSpBIGQSZxjL7p1BEke
h+cBXr594MhUM+GEHnfAcv8uhuVOSJgxDXRqQnmtkgoLl3QLMBWcDIit/8+hNyZJ
SZkiCNHTvFtanvezbyuWGOv6JYppVeYhJh2ITQPuq/X1wDM2+CSahCowKSmlbvbN
PKimK17s/QbOXbv4paaudNbgt4r2VPRFQkWhIsRcZCILxndfPOaf
-----END ENCRYPTED PRIVATE KEY-----
`
	legacy = `-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,FD0AA1D6E0F95B23EB5117296D660185

7dDNyK52aHkLIr/wvswHKsWY0Bsz64zPlH9l2/6GqDmMUpfYLHvC4xMVORAlhPYe
zCwZ7pEQBo7MGfkSglayvflMU/HQNGz8vWgTE72NwHyytaGUe8cjBktKtqmg2j8d
pB/gik9Ff4lcScUmKMT1I/cFH6uQI/rEtSnoutVi1Iw=
-----END EC PRIVATE KEY-----
`
)

func TestDecryptKey(t *testing.T) {
	block, _ := pem.Decode([]byte(plainKey))
	for name, file := range map[string]string{"aes256": aes256SHA256, "aes128": aes128SHA1, "legacy": legacy, "plain": plainKey} {
		out, err := decryptKey([]byte(file), "secret")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, _ := pem.Decode(out)
		der := got.Bytes
		if got.Type == "PRIVATE KEY" { // PKCS #8 around the same key
			key, err := x509.ParsePKCS8PrivateKey(der)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			want, err := x509.ParseECPrivateKey(block.Bytes)
			if err != nil || !want.Equal(key) {
				t.Errorf("%s: another key, %v", name, err)
			}
			continue
		}
		if !bytes.Equal(der, block.Bytes) {
			t.Errorf("%s: another key", name)
		}
	}
	for name, file := range map[string]string{"aes256": aes256SHA256, "aes128": aes128SHA1, "legacy": legacy} {
		for _, wrong := range []string{"", "Secret"} {
			if _, err := decryptKey([]byte(file), wrong); !errors.Is(err, errPassphrase) {
				t.Errorf("%s with passphrase %q: %v", name, wrong, err)
			}
		}
	}
	if _, err := decryptKey([]byte(scrypt), "secret"); err == nil || !strings.Contains(err.Error(), "PBKDF2") {
		t.Errorf("scrypt: %v", err)
	}
}

// FuzzDecryptKey holds that a damaged key is an error, not a crash.
func FuzzDecryptKey(f *testing.F) {
	for _, file := range []string{plainKey, aes256SHA256, aes128SHA1, scrypt, legacy} {
		block, _ := pem.Decode([]byte(file))
		f.Add(block.Bytes)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		if bytes.Count(der, []byte{2, 3}) > 0 {
			return // an iteration count of three bytes takes seconds
		}
		if out, err := decryptPKCS8(der, "secret"); err == nil && len(out) >= len(der) {
			t.Errorf("%d bytes of key in %d", len(out), len(der))
		}
	})
}
