package cmd

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // the default of PBKDF2 in PKCS #5, which old files have
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"hash"
)

// loadCertificate reads a chain and its key, which may be encrypted.
func loadCertificate(certFile, keyFile, passphrase string) (tls.Certificate, error) {
	chain, err := readFile("--cert", certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readFile("--key", keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	if key, err = decryptKey(key, passphrase); err != nil {
		if errors.Is(err, errPassphrase) && passphrase == "" {
			err = errors.New("it is encrypted")
		}
		return tls.Certificate{}, &tlsFileError{text: "--key: " + keyFile + ": " + err.Error(), hint: "give its passphrase with --keypass"}
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		text, _ := explainTLS(err)
		return cert, &tlsFileError{text: "--cert " + certFile + ", --key " + keyFile + ": " + text, hint: "both must be PEM, and belong together"}
	}
	return cert, nil
}

var errPassphrase = errors.New("the passphrase does not fit")

// decryptKey returns the key in PEM without encryption.
func decryptKey(file []byte, passphrase string) ([]byte, error) {
	for rest := file; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return file, nil // nothing encrypted; the reader of the key will say if there is none
		}
		var der []byte
		var err error
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY":
			der, err = decryptPKCS8(block.Bytes, passphrase)
			block = &pem.Block{Type: "PRIVATE KEY", Bytes: der}
		//nolint:staticcheck // weak, and in use: openssl genrsa wrote such files up to version 1.1
		case x509.IsEncryptedPEMBlock(block):
			der, err = x509.DecryptPEMBlock(block, []byte(passphrase)) //nolint:staticcheck // as above
			if err != nil {
				err = errPassphrase
			}
			block = &pem.Block{Type: block.Type, Bytes: der}
		default:
			continue
		}
		if err == nil && passphrase == "" {
			err = errPassphrase
		}
		return pem.EncodeToMemory(block), err
	}
}

// The structures of PKCS #8 with PBES2, RFC 8018 appendix A.
type encryptedKey struct {
	Algorithm struct {
		ID     asn1.ObjectIdentifier
		Params struct {
			KDF    pkix.AlgorithmIdentifier
			Cipher pkix.AlgorithmIdentifier
		}
	}
	Data []byte
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

const maxIterations = 10_000_000

func decryptPKCS8(der []byte, passphrase string) ([]byte, error) {
	unknown := errors.New("encrypted in a way that is not known here: it must be PBKDF2 with AES-CBC")
	var k encryptedKey
	var kdf pbkdf2Params
	if _, err := asn1.Unmarshal(der, &k); err != nil || k.Algorithm.ID.String() != "1.2.840.113549.1.5.13" {
		return nil, unknown
	}
	p := &k.Algorithm.Params
	if p.KDF.Algorithm.String() != "1.2.840.113549.1.5.12" {
		return nil, unknown
	}
	if _, err := asn1.Unmarshal(p.KDF.Parameters.FullBytes, &kdf); err != nil || kdf.Iterations < 1 || kdf.Iterations > maxIterations {
		return nil, unknown
	}
	prf := prfHash(kdf.PRF.Algorithm)
	size := map[string]int{"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.22": 24, "2.16.840.1.101.3.4.1.42": 32}[p.Cipher.Algorithm.String()]
	var iv []byte
	if _, err := asn1.Unmarshal(p.Cipher.Parameters.FullBytes, &iv); err != nil || size == 0 || prf == nil || len(iv) != aes.BlockSize {
		return nil, unknown
	}
	if len(k.Data) == 0 || len(k.Data)%aes.BlockSize != 0 {
		return nil, errors.New("the encrypted key is cut off")
	}
	secret, err := pbkdf2.Key(prf, passphrase, kdf.Salt, kdf.Iterations, size)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	out := bytes.Clone(k.Data)
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, out)
	return unpad(out)
}

// unpad takes off the padding, which tells whether the passphrase was right.
func unpad(b []byte) ([]byte, error) {
	n := int(b[len(b)-1])
	if n == 0 || n > aes.BlockSize || !bytes.Equal(b[len(b)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, errPassphrase
	}
	return b[:len(b)-n], nil
}

func prfHash(id asn1.ObjectIdentifier) func() hash.Hash {
	switch id.String() {
	case "", "1.2.840.113549.2.7":
		return sha1.New
	case "1.2.840.113549.2.9":
		return sha256.New
	case "1.2.840.113549.2.11":
		return sha512.New
	}
	return nil
}
