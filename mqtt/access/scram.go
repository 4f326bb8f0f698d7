package access

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/xdg-go/scram"
)

// The Authentication Methods of section 4.12 that there are.
const (
	ScramSHA256 = "SCRAM-SHA-256" // RFC 7677
	ScramSHA512 = "SCRAM-SHA-512"
)

// Bounds of a verifier's work, and what a new one has. The client does the
// work, once for each connection.
const (
	minIterations     = 4096 // RFC 7677, 4
	DefaultIterations = 100_000
	saltSize          = 16
	maxSalt           = 64
)

// maxScram bounds a message of the client, which has a name and a nonce.
const maxScram = 4 << 10

// Verifier is what a server keeps of a password in order to authenticate by
// SCRAM (RFC 5802): neither the password nor anything to log in with.
type Verifier struct {
	Method                     string
	Iterations                 int
	Salt, StoredKey, ServerKey []byte
}

// scramHash returns the hash of a method, nil for one that is not known.
func scramHash(method string) scram.HashGeneratorFcn {
	switch method {
	case ScramSHA256:
		return scram.SHA256
	case ScramSHA512:
		return scram.SHA512
	}
	return nil
}

// NewVerifier makes one with a new salt. The password is prepared by SASLprep
// (RFC 4013), which refuses some characters, as clients do.
func NewVerifier(method, password string, iterations int) (Verifier, error) {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // it never fails
	return deriveVerifier(method, password, salt, iterations)
}

func deriveVerifier(method, password string, salt []byte, iterations int) (Verifier, error) {
	hash := scramHash(method)
	if hash == nil {
		return Verifier{}, fmt.Errorf("access: no method %q", method)
	}
	if iterations < minIterations || iterations > MaxIterations {
		return Verifier{}, fmt.Errorf("access: %d iterations, it has %d to %d", iterations, minIterations, MaxIterations)
	}
	c, err := hash.NewClient("", password, "")
	if err != nil {
		return Verifier{}, fmt.Errorf("access: %w", err)
	}
	k, err := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iterations})
	if err != nil {
		return Verifier{}, fmt.Errorf("access: %w", err)
	}
	return Verifier{method, iterations, salt, k.StoredKey, k.ServerKey}, nil
}

// String writes the verifier as RFC 5803 does:
// method$iterations:salt$StoredKey:ServerKey.
func (v Verifier) String() string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s$%d:%s$%s:%s", v.Method, v.Iterations, b64(v.Salt), b64(v.StoredKey), b64(v.ServerKey))
}

// ParseVerifier reads what String writes. Its error does not repeat it.
func ParseVerifier(s string) (Verifier, error) {
	fault := func(what string) (Verifier, error) { return Verifier{}, fmt.Errorf("access: SCRAM verifier: %s", what) }
	parts := strings.Split(s, "$")
	if len(parts) != 3 {
		return fault("it is method$iterations:salt$StoredKey:ServerKey")
	}
	v := Verifier{Method: parts[0]}
	hash := scramHash(v.Method)
	if hash == nil {
		return fault("the method is " + ScramSHA256 + " or " + ScramSHA512)
	}
	work, salt, _ := strings.Cut(parts[1], ":")
	n, err := strconv.ParseUint(work, 10, 32)
	if err != nil || n < minIterations || n > MaxIterations || work[0] == '0' {
		return fault(fmt.Sprintf("the iterations are from %d to %d", minIterations, MaxIterations))
	}
	v.Iterations = int(n)
	stored, server, _ := strings.Cut(parts[2], ":")
	for _, f := range []struct {
		dst      *[]byte
		text     string
		low, top int
	}{
		{&v.Salt, salt, 1, maxSalt}, {&v.StoredKey, stored, hash().Size(), hash().Size()}, {&v.ServerKey, server, hash().Size(), hash().Size()},
	} {
		b, err := base64.StdEncoding.Strict().DecodeString(f.text)
		if err != nil || len(b) < f.low || len(b) > f.top || strings.ContainsAny(f.text, "\r\n") {
			return fault("a part is not the base64 of as many bytes as it has")
		}
		*f.dst = b
	}
	return v, nil
}

// Matches reports whether password is the one that v was made from, in
// constant time but for the work itself. It is slow by design.
func (v Verifier) Matches(password string) bool {
	k, err := deriveVerifier(v.Method, password, v.Salt, v.Iterations)
	return err == nil && hmac.Equal(k.StoredKey, v.StoredKey)
}

// cost is what a client is told of a verifier, but for the salt itself.
func (v Verifier) cost() string {
	return fmt.Sprintf("%s %d,%d", v.Method, v.Iterations, len(v.Salt))
}

// decoy is the verifier of a user who has none: as it would look if there were
// one, always the same for the same name, and fulfilled by no password. So
// that the same question is not answered differently tomorrow, it depends on
// like, the verifier of somebody else.
func decoy(user string, like Verifier) Verifier {
	hash := scramHash(like.Method)
	derive := func(what string) []byte {
		mac := hmac.New(hash, like.StoredKey)
		mac.Write(like.ServerKey)
		mac.Write([]byte(what))
		mac.Write([]byte(user))
		return mac.Sum(nil)
	}
	salt := slices.Concat(derive("salt"), derive("more salt"))[:len(like.Salt)]
	return Verifier{like.Method, like.Iterations, salt, derive("stored"), derive("server")}
}

// ErrProof is a password that is wrong, or a user that does not exist; ErrScram
// is a message that is none of SCRAM, or not the next one.
var (
	ErrProof = errors.New("access: the proof is wrong")
	ErrScram = errors.New("access: not a SCRAM message that belongs here")
)

// Scram is one authentication, of which the server's side is here.
type Scram struct {
	conv   *scram.ServerConversation
	failed bool
}

// Scram begins an authentication. ok is false for a method that no user has a
// verifier for. A user who has none is answered like one who has, and fails at
// the end.
func (u *Users) Scram(method string) (s *Scram, ok bool) {
	server, ok := u.scramServer(method)
	if !ok {
		return nil, false
	}
	return &Scram{conv: server.NewConversation()}, true
}

func (u *Users) scramServer(method string) (*scram.Server, bool) {
	decoys, ok := u.scram[method]
	if !ok {
		return nil, false
	}
	server, err := scramHash(method).NewServer(func(user string) (scram.StoredCredentials, error) {
		like, _ := decoys.pick(user)
		v := decoy(user, like) // always, so that it takes as long
		for _, have := range u.verifiers(user) {
			if have.Method == method {
				v = have
			}
		}
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations},
			StoredKey:  v.StoredKey, ServerKey: v.ServerKey,
		}, nil
	})
	return server, err == nil
}

// Step takes a message of the client and returns the server's next one. user is
// "" until it has been proved, with the last message. The error is ErrProof or
// ErrScram, and nothing is taken after it.
func (s *Scram) Step(message []byte) (answer []byte, user string, err error) {
	if s.failed {
		return nil, "", ErrScram
	}
	answer, user, err = s.step(message)
	s.failed = err != nil
	return answer, user, err
}

func (s *Scram) step(message []byte) (answer []byte, user string, err error) {
	if len(message) > maxScram || !nonceFits(message) {
		return nil, "", ErrScram
	}
	out, err := s.conv.Step(string(message))
	name := s.conv.Username()
	switch {
	case err != nil && out == scram.ErrInvalidProof:
		return nil, "", ErrProof
	case err != nil || !validUser(name):
		return nil, "", ErrScram
	case s.conv.AuthzID() != "" && s.conv.AuthzID() != name: // nobody may act for somebody else
		return nil, "", ErrProof
	case !s.conv.Valid():
		name = ""
	}
	return []byte(out), name, nil
}

// nonceFits tells that a nonce has one character or more, all of them printable
// ASCII, and that what is behind its comma is no more of it but another attribute
// (RFC 5802, 7). A message without a nonce is left to who reads it.
func nonceFits(message []byte) bool {
	fields := bytes.Split(message, []byte(","))
	i := slices.IndexFunc(fields, func(f []byte) bool { return bytes.HasPrefix(f, []byte("r=")) })
	if i < 0 {
		return true
	}
	nonce := fields[i][len("r="):]
	if len(nonce) == 0 || bytes.ContainsFunc(nonce, func(r rune) bool { return r < '!' || r > '~' }) {
		return false
	}
	return !slices.ContainsFunc(fields[i+1:], func(f []byte) bool {
		return len(f) < len("x=y") || f[1] != '=' || !unicode.IsLetter(rune(f[0])) || f[0] > unicode.MaxASCII
	})
}

// scramHashes are the verifiers of one user, one of them for each method.
type scramHashes []Verifier

// parseVerifiers reads them, parted by spaces.
func parseVerifiers(s string) (hashed, error) {
	var all scramHashes
	for text := range strings.FieldsSeq(s) {
		v, err := ParseVerifier(text)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(all, func(have Verifier) bool { return have.Method == v.Method }) {
			return nil, fmt.Errorf("%s is there twice", v.Method)
		}
		all = append(all, v)
	}
	return all, nil
}

func (h scramHashes) verify(password []byte) bool { return h[0].Matches(string(password)) }

func (h scramHashes) cost() string { return h[0].cost() }

// verifiers are those of a user, nil if there are none.
func (u *Users) verifiers(user string) scramHashes {
	h, _ := u.byName[user].(scramHashes)
	return h
}

// HashScram returns verifiers of both methods as a line of the file holds them.
// They serve for a password in CONNECT as well. The error is SASLprep's.
func HashScram(password string, iterations int) (string, error) {
	one, err := NewVerifier(ScramSHA256, password, iterations)
	if err != nil {
		return "", err
	}
	other, err := NewVerifier(ScramSHA512, password, iterations)
	if err != nil {
		return "", err
	}
	return one.String() + " " + other.String(), nil
}
