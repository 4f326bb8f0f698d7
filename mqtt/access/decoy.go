package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math"
)

// lookalikes are what users have, by kind: what there is to tell of it from
// outside, such as its cost. A user who does not exist is given one of them, so
// that it looks like anybody.
type lookalikes[T any] struct {
	kinds []*kind[T] // in the file's order
	byKey map[string]*kind[T]
}

// kind is those that look the same.
type kind[T any] struct {
	first  T
	secret []byte // what nobody knows who has not read the file
	n      float64
}

// add counts one of a kind. secret is what it has of its own.
func (l *lookalikes[T]) add(key string, one T, secret []byte) {
	k := l.byKey[key]
	if k == nil {
		if l.byKey == nil {
			l.byKey = make(map[string]*kind[T])
		}
		k = &kind[T]{first: one, secret: secret}
		l.byKey[key] = k
		l.kinds = append(l.kinds, k)
	}
	k.n++
}

// pick returns one for a name, always the same and of each kind as often as
// users have it. A change of the file moves few names to another kind: this is
// rendezvous hashing with weights. ok is false where there are none.
func (l *lookalikes[T]) pick(name string) (one T, ok bool) {
	best := math.Inf(-1)
	for _, k := range l.kinds {
		mac := hmac.New(sha256.New, k.secret)
		mac.Write([]byte(name))
		u := (float64(binary.BigEndian.Uint64(mac.Sum(nil))>>11) + 0.5) / (1 << 53) // between 0 and 1
		if score := -k.n / math.Log(u); score > best {
			best, one, ok = score, k.first, true
		}
	}
	return one, ok
}
