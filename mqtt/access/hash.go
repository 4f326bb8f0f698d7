package access

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// hashed is a password's hash.
type hashed interface {
	// verify compares in constant time. It takes long, by intent.
	verify(password []byte) bool
	// cost tells apart what takes verify more or less time.
	cost() string
}

// The cost of a new argon2id hash: RFC 9106 with the memory that OWASP asks of
// a server which checks many, some 20 ms.
const (
	argonTime    = 2
	argonMemory  = 19 << 10 // KiB
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32
)

// Bounds on what a line may ask for, so that no file makes the server stand
// still.
const (
	maxArgonTime   = 64
	maxArgonMemory = 1 << 20 // KiB
	MaxIterations  = 10_000_000
	maxBcryptCost  = 20
)

// Hash returns the hash of a password as a line of the file holds it: argon2id
// with a salt of its own.
func Hash(password []byte) string {
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // it never fails
	key := argon2.IDKey(password, salt, argonTime, argonMemory, argonThreads, argonKey)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, b64(salt), b64(key))
}

var errHash = errors.New("the hash is none of argon2id, bcrypt, SCRAM, $7$ and $6$; mqt passwd writes one")

// parseHash reads the second half of a line.
func parseHash(s string) (hashed, error) {
	if strings.HasPrefix(s, "SCRAM-") {
		return parseVerifiers(s)
	}
	parts := strings.Split(s, "$")
	if len(parts) < 3 || parts[0] != "" {
		return nil, errHash
	}
	switch parts[1] {
	case "argon2id":
		return parseArgon(parts[2:])
	case "2a", "2b", "2y":
		cost, err := bcrypt.Cost([]byte(s))
		if err != nil || len(s) != 60 {
			return nil, errors.New("the bcrypt hash is broken")
		}
		if cost > maxBcryptCost {
			return nil, fmt.Errorf("a bcrypt cost of %d is more than %d", cost, maxBcryptCost)
		}
		return bcryptHash(s), nil
	case "7":
		return parsePBKDF2(parts[2:])
	case "6":
		if len(parts) == 4 {
			salt, err1 := base64.StdEncoding.DecodeString(parts[2])
			key, err2 := base64.StdEncoding.DecodeString(parts[3])
			if err1 == nil && err2 == nil && len(key) == sha512.Size {
				return saltedSHA512{salt, key}, nil
			}
		}
		return nil, errors.New("the $6$ hash is broken")
	}
	return nil, errHash
}

// argonHash is argon2id, RFC 9106, in the PHC format.
type argonHash struct {
	time, memory uint32
	threads      uint8
	salt, key    []byte
}

func parseArgon(parts []string) (hashed, error) {
	broken := errors.New("the argon2id hash is broken")
	if len(parts) != 4 || parts[0] != "v=19" {
		return nil, broken
	}
	var n [3]uint64
	settings := strings.Split(parts[1], ",")
	if len(settings) != len(n) {
		return nil, broken
	}
	for i, prefix := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(settings[i], prefix)
		v, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil {
			return nil, broken
		}
		n[i] = v
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[2])
	key, err2 := base64.RawStdEncoding.DecodeString(parts[3])
	if err1 != nil || err2 != nil || len(key) < 16 || len(key) > 128 || len(salt) < 8 || len(salt) > 128 {
		return nil, broken
	}
	if n[0] < 8*n[2] || n[0] > maxArgonMemory || n[1] < 1 || n[1] > maxArgonTime || n[2] < 1 || n[2] > 64 {
		return nil, errors.New("the argon2id hash asks for a cost out of bounds")
	}
	return argonHash{uint32(n[1]), uint32(n[0]), uint8(n[2]), salt, key}, nil
}

func (h argonHash) verify(password []byte) bool {
	key := argon2.IDKey(password, h.salt, h.time, h.memory, h.threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

func (h argonHash) cost() string {
	return fmt.Sprintf("argon2id m=%d,t=%d,p=%d,%d", h.memory, h.time, h.threads, len(h.key))
}

// bcryptHash is the whole text.
type bcryptHash string

func (h bcryptHash) cost() string { return "bcrypt " + strings.Split(string(h), "$")[2] }

// A NUL ends the password for bcrypt, which then begins again.
func (h bcryptHash) verify(password []byte) bool {
	return bcrypt.CompareHashAndPassword([]byte(h), password) == nil && !bytes.ContainsRune(password, 0)
}

// pbkdf2Hash is mosquitto's $7$: PBKDF2 with HMAC-SHA-512.
type pbkdf2Hash struct {
	iterations int
	salt, key  []byte
}

func parsePBKDF2(parts []string) (hashed, error) {
	broken := errors.New("the $7$ hash is broken")
	if len(parts) != 3 {
		return nil, broken
	}
	n, err := strconv.Atoi(parts[0])
	salt, err1 := base64.StdEncoding.DecodeString(parts[1])
	key, err2 := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || err1 != nil || err2 != nil || n < 1 || n > MaxIterations || len(key) != sha512.Size {
		return nil, broken
	}
	return pbkdf2Hash{n, salt, key}, nil
}

// NULs at the end of a password count for nothing in HMAC's key: with them it is
// another password all the same.
func (h pbkdf2Hash) verify(password []byte) bool {
	key, err := pbkdf2.Key(sha512.New, string(password), h.salt, h.iterations, len(h.key))
	return err == nil && !bytes.HasSuffix(password, []byte{0}) && subtle.ConstantTimeCompare(key, h.key) == 1
}

func (h pbkdf2Hash) cost() string { return "$7$ " + strconv.Itoa(h.iterations) }

// saltedSHA512 is mosquitto's $6$, from before version 2.
type saltedSHA512 struct{ salt, key []byte }

func (h saltedSHA512) verify(password []byte) bool {
	sum := sha512.New()
	sum.Write(password)
	sum.Write(h.salt)
	return subtle.ConstantTimeCompare(sum.Sum(nil), h.key) == 1
}

func (h saltedSHA512) cost() string { return "$6$" }
