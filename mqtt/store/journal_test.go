package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// files are those of a store as they are at a moment.
type files struct{ db, journal []byte }

func readFiles(t *testing.T, dir string) (f files) {
	t.Helper()
	var err error
	if f.db, err = os.ReadFile(filepath.Join(dir, "store.db")); err == nil {
		f.journal, err = os.ReadFile(filepath.Join(dir, "journal"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// transactions is how many there have been, by the two meta pages.
func (f files) transactions() (n uint64) {
	for page := range 2 {
		n = max(n, binary.NativeEndian.Uint64(f.db[page*pageSize+64:]))
	}
	return n
}

// noted runs random lives, beside a model that tells what is durable, and calls f after each step, with how many
// transactions that took. A step that takes none is in the journal.
func noted(t *testing.T, n, steps int, f func(r *rand.Rand, before, after files, held, holds string, moves int)) {
	t.Helper()
	for seed := range uint64(n) {
		dir, model := fastDir(t), storetest.NewMemory()
		life, r := storetest.NewLife(seed), rand.New(rand.NewPCG(seed, 3))
		d := openDisk(t, dir, store.Options{})
		now := readFiles(t, dir)
		text := dump(t, model)
		for range steps {
			b, same := &store.Batch{}, &store.Batch{}
			life.Step(b, d.NewSession)
			if err := b.Replay(same); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(storetest.Commit(model, same), storetest.Commit(d, b)); err != nil {
				t.Fatal(err)
			}
			if r.IntN(5) == 0 {
				if _, err := d.ReadQueue(1, 0, 1, 1); err != nil {
					t.Fatal(err)
				}
			}
			for d.Stats().DeadSessions > 0 {
				time.Sleep(time.Millisecond)
			}
			before, held := now, text
			now, text = readFiles(t, dir), dump(t, model)
			f(r, before, now, held, text, int(now.transactions()-before.transactions()))
		}
		last := dump(t, d)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if last != text {
			t.Fatalf("there is\n%s\nwant\n%s", last, text)
		}
		if have, err := look(t, readFiles(t, dir).db); err != nil || have != text {
			t.Fatalf("without the journal of a store that was closed: %v\n%s\nwant\n%s", err, have, text)
		}
	}
}

// TestJournalPowerCut: what was durable is there, from whichever of the two files. A cut in the write of a frame leaves any part
// of it; a cut while the database takes what is in the journal leaves any part of what is written there.
func TestJournalPowerCut(t *testing.T) {
	n := 4
	if testing.Short() || raceEnabled {
		n = 2
	}
	frames, moves, old := 0, 0, 0
	noted(t, n, 40, func(r *rand.Rand, before, after files, held, holds string, transactions int) {
		if have, err := look(t, after.db, after.journal); err != nil || have != holds {
			t.Fatalf("what was durable is\n%s\nwant\n%s\n%v", have, holds, err)
		}
		if transactions > 1 {
			return
		}
		if transactions == 1 {
			moves++
			file := disk{before.db, after.db}
			for _, meta := range []bool{false, true} {
				have, err := look(t, file.cut(r, meta), after.journal)
				if err != nil || have != holds && (have != held || !bytes.Equal(before.journal, after.journal)) {
					t.Fatalf("a cut while the database is written leaves\n%s\nwant\n%s\n%v", have, holds, err)
				}
			}
			return
		}
		for range 2 {
			torn := bytes.Clone(before.journal)
			for at := 0; at < len(torn); at += 512 {
				if r.IntN(2) == 0 {
					copy(torn[at:at+512], after.journal[at:at+512])
				}
			}
			have, err := look(t, after.db, torn)
			if err != nil || have != held && have != holds {
				t.Fatalf("a cut while the journal is written leaves\n%s\nwant\n%s\nor\n%s\n%v", have, held, holds, err)
			}
			if frames++; have == held && held != holds {
				old++
			}
		}
	})
	if moves == 0 || old == 0 || old == frames {
		t.Errorf("%d cuts of frames, %d of them left the state before; %d moves", frames, old, moves)
	}
}

// left makes a store with frames in its journal, and tells what it holds.
func left(t *testing.T) (f files, text string) {
	t.Helper()
	dir := fastDir(t)
	d := openDisk(t, dir, store.Options{})
	begin(t, d)
	for at := store.Position(3); at < 6; at++ {
		if err := storetest.Write(d, func(b *store.Batch) {
			b.Enqueue(1, at, store.Delivery{Message: payloadFor(1, at), QoS: 1})
		}); err != nil {
			t.Fatal(err)
		}
	}
	f, text = readFiles(t, dir), dump(t, d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return f, text
}

// TestJournalChecked: what is only in the journal is counted, and nothing is changed.
func TestJournalChecked(t *testing.T) {
	f, text := left(t)
	dir := t.TempDir()
	for name, p := range map[string][]byte{"store.db": f.db, "journal": f.journal} {
		if err := os.WriteFile(filepath.Join(dir, name), p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s := checkSound(t, dir); s.Sessions != 1 || s.Queued != 5 || s.Messages != 4 || len(s.Notes) != 1 {
		t.Errorf("%+v", s)
	}
	if now := readFiles(t, dir); !bytes.Equal(now.db, f.db) || !bytes.Equal(now.journal, f.journal) {
		t.Error("the check has changed something")
	}
	if have, err := look(t, f.db, f.journal); err != nil || have != text {
		t.Errorf("%v, there is\n%s\nwant\n%s", err, have, text)
	}
}

// TestJournalReadOnly: to look at a store that was not closed needs no right to change it.
func TestJournalReadOnly(t *testing.T) {
	f, _ := left(t)
	dir, refused := t.TempDir(), 0
	for name, p := range map[string][]byte{"store.db": f.db, "journal": f.journal} {
		if err := os.WriteFile(filepath.Join(dir, name), p, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.CheckWith(dir, func(name string, flag int, mode os.FileMode) (*os.File, error) {
		if flag&(os.O_WRONLY|os.O_RDWR) != 0 { // root would be let
			refused++
			return nil, fs.ErrPermission
		}
		return os.OpenFile(name, flag, mode)
	})
	if err != nil || s.Queued != 5 || len(s.Problems) > 0 || refused == 0 {
		t.Errorf("%+v, %v, refused %d times", s, err, refused)
	}
}

// TestJournalDamaged: only the last frame may be torn.
func TestJournalDamaged(t *testing.T) {
	f, _ := left(t)
	for frame := range 4 {
		hit := bytes.Clone(f.journal)
		hit[frame*pageSize+30] ^= 1
		text, err := look(t, f.db, hit)
		if last := frame == 3; last != (err == nil) || !last && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("frame %d was hit: %v\n%s", frame, err, text)
		}
	}
	for name, p := range map[string][]byte{"short": f.journal[:1000], "empty": {}} {
		if _, err := look(t, f.db, p); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := look(t, f.db); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("without its journal: %v", err)
	}
}

// TestJournalFull: a start that has no room for what is in the journal leaves it to one that has.
func TestJournalFull(t *testing.T) {
	dir := fastDir(t)
	d := openDisk(t, dir, store.Options{})
	id, _ := begin(t, d)
	for at := store.Position(3); at < 153; at++ {
		m := &store.Message{Topic: "t", Payload: bytes.Repeat([]byte{byte(at)}, 3000), QoS: 1}
		if err := storetest.Write(d, func(b *store.Batch) { b.Enqueue(id, at, store.Delivery{Message: m, QoS: 1}) }); err != nil {
			t.Fatal(err)
		}
	}
	f, text := readFiles(t, dir), dump(t, d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	dir = fastDir(t)
	for name, p := range map[string][]byte{"store.db": f.db, "journal": f.journal} {
		if err := os.WriteFile(filepath.Join(dir, name), p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.OpenDisk(dir, store.Options{MaxBytes: int64(len(f.db))}); !errors.Is(err, store.ErrFull) {
		t.Errorf("without room: %v", err)
	}
	d = openDisk(t, dir, store.Options{})
	if have := dump(t, d); have != text {
		t.Errorf("there is\n%.500s\nwant\n%.500s", have, text)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestJournalOld: what another opening has left there is not taken for what this one has.
func TestJournalOld(t *testing.T) {
	f, _ := left(t)
	other, text := left(t)
	if have, err := look(t, other.db, f.journal); err != nil || have == text {
		t.Errorf("%v, there is\n%s", err, have)
	}
}

// TestReused: a process that runs for long uses the place of what was drained again, and the file does not grow with what goes
// through it.
func TestReused(t *testing.T) {
	d := openDisk(t, fastDir(t), store.Options{})
	id := d.NewSession()
	if err := storetest.Write(d, func(b *store.Batch) { b.PutSession(id, &store.Session{ClientID: "c"}) }); err != nil {
		t.Fatal(err)
	}
	at, first := d.First(), int64(0)
	for round := range 10 {
		from := at
		for range 20 {
			err := storetest.Write(d, func(b *store.Batch) {
				for range 500 {
					b.Enqueue(id, at, store.Delivery{Message: payloadFor(id, at), QoS: 1})
					at++
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for ; from < at; from += 500 {
			err := storetest.Write(d, func(b *store.Batch) {
				for i := range store.Position(500) {
					b.Done(id, from+i)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		size := d.Stats().FileBytes
		if round == 1 {
			first = size
		}
		if round > 1 && size > first+first/4 {
			t.Fatalf("after %d rounds the file has %d bytes, after two it had %d", round+1, size, first)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
