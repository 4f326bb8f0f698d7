package store_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// filled makes a store with something of everything and closes it.
func filled(t testing.TB) (dir, text string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	d := openDisk(t, dir, store.Options{})
	life := storetest.NewLife(3)
	for range 60 {
		b := &store.Batch{}
		life.Step(b, d.NewSession)
		if err := storetest.Commit(d, b); err != nil {
			t.Fatal(err)
		}
	}
	text, err := storetest.Dump(d)
	if err == nil {
		err = d.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, text
}

// edit changes the database behind the store's back.
func edit(t *testing.T, dir string, f func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, "store.db"), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// both opens and checks a store that must be refused.
func both(t *testing.T, dir string, want error) {
	t.Helper()
	path := filepath.Join(dir, "store.db")
	before, _ := os.ReadFile(path)
	_, err := store.Check(dir)
	d, openErr := store.OpenDisk(dir, store.Options{LockTimeout: time.Millisecond})
	if openErr == nil {
		_ = d.Close()
	}
	for _, err := range []error{err, openErr} {
		if e := new(store.Error); !errors.Is(err, want) || !errors.As(err, &e) || !strings.HasPrefix(e.Path, dir) {
			t.Errorf("error %v, want %v", err, want)
		}
		if n := strings.Count(err.Error(), want.Error()); n != 1 {
			t.Errorf("%d times in %q: what to do", n, err)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
}

func TestNewerVersion(t *testing.T) {
	dir, _ := filled(t)
	edit(t, dir, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("version"), []byte{3}) })
	both(t, dir, store.ErrVersion)
}

func TestForeign(t *testing.T) {
	dir, _ := filled(t)
	edit(t, dir, func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("meta")) })
	both(t, dir, store.ErrForeign)
}

func TestNotADatabase(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "short": "x", "text": strings.Repeat("hello ", 10_000), "zeros": strings.Repeat("\x00", 1<<16),
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := filled(t)
			if err := os.WriteFile(filepath.Join(dir, "store.db"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			both(t, dir, store.ErrCorrupt)
		})
	}
}

// TestTorn cuts the file off anywhere.
func TestTorn(t *testing.T) {
	dir, _ := filled(t)
	path := filepath.Join(dir, "store.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(whole)/2; n += 4001 {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		both(t, dir, store.ErrCorrupt)
	}
}

// TestFlipped damages bytes at random, in pages that are in use, with the list of
// free pages in the file and without. Nothing panics, errors are of a kind, and what
// is lost is never called sound.
func TestFlipped(t *testing.T) {
	for _, listed := range []bool{true, false} {
		dir, text := filled(t)
		path := filepath.Join(dir, "store.db")
		used := usedPages(t, path, listed)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		found := 0
		for i := range 80 {
			file := bytes.Clone(whole)
			page := used[i%len(used)] * pageSize
			for range 1 + r.IntN(3) {
				file[page+r.IntN(pageSize>>r.IntN(5))] ^= byte(1 + r.IntN(255)) // its head above all
			}
			have, err := look(t, file)
			switch {
			case err == nil && have != text:
				t.Errorf("page %d was hit, and %q is called sound", page, have)
			case err != nil && !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrForeign) &&
				!errors.Is(err, store.ErrVersion) && !strings.HasPrefix(err.Error(), "problems"):
				t.Fatalf("damage is called %v", err)
			case err != nil:
				found++
			}
		}
		if found < 40 {
			t.Errorf("of 80 files %d were found damaged; the others were hit where nothing is", found)
		}
	}
}

// usedPages lists the pages in use but for the two that say which these are. listed:
// the list of free pages stays in the file.
func usedPages(t *testing.T, path string, listed bool) (used []int) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: !listed})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("x"), []byte("y")) })
	if err == nil {
		err = db.View(func(tx *bbolt.Tx) error {
			for i := 2; ; i++ {
				p, err := tx.Page(i)
				if err != nil || p == nil {
					return err
				}
				if p.Type != "free" {
					used = append(used, p.ID)
					i += p.OverflowCount
				}
			}
		})
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return used
}

// TestHalved: one of the two pages that say what is valid may be torn by a power
// cut, so it is noted, and no more.
func TestHalved(t *testing.T) {
	for page := range 2 {
		dir, _ := filled(t)
		path := filepath.Join(dir, "store.db")
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file[page*pageSize+40] ^= 1
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := store.Check(dir); err != nil || len(s.Problems) > 0 || len(s.Notes) != 1 {
			t.Errorf("%v, %+v", err, s)
		}
	}
}

// TestHitMessage: a payload that has changed is never delivered.
func TestHitMessage(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, store.Options{})
	id, m := d.NewSession(), payloadFor(1, 1)
	err := storetest.Write(d, func(b *store.Batch) {
		b.PutSession(id, &store.Session{ClientID: "c"})
		b.Enqueue(id, 1, store.Delivery{Message: m, QoS: 1})
	})
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "store.db")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file = bytes.ReplaceAll(file, m.Payload, append([]byte("X"), m.Payload[1:]...))
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := store.Check(dir); err != nil || len(s.Problems) != 1 || strings.Count(s.Problems[0], "restore") != 1 {
		t.Errorf("check: %v, %+v", err, s)
	}
	d = openDisk(t, dir, store.Options{})
	if q, err := d.ReadQueue(id, 0, 1, 1); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("%v, %v", q, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCheckFinds: faults that the database knows nothing of.
func TestCheckFinds(t *testing.T) {
	first := func(tx *bbolt.Tx, bucket string) (*bbolt.Bucket, []byte) {
		b := tx.Bucket([]byte(bucket))
		k, _ := b.Cursor().First()
		return b, bytes.Clone(k)
	}
	for _, c := range []struct{ name, bucket, want string }{
		{"message gone", "messages", "is not there|missing"},
		{"references lost", "refs", "recorded are 1"},
		{"nobody refers", "queue", "referred to by"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, _ := filled(t)
			edit(t, dir, func(tx *bbolt.Tx) error {
				b, k := first(tx, c.bucket)
				return b.Delete(k)
			})
			s, err := store.Check(dir)
			if err != nil {
				t.Fatal(err)
			}
			found := strings.Join(s.Problems, "\n")
			for _, want := range strings.Split(c.want, "|") {
				if strings.Contains(found, want) {
					return
				}
			}
			t.Errorf("problems %q", found)
		})
	}
}

func TestCheckSummary(t *testing.T) {
	dir := t.TempDir()
	if _, err := store.Check(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no store: %v", err)
	}
	d := openDisk(t, dir, store.Options{})
	begin := d.First()
	id := d.NewSession()
	m := payloadFor(1, 1)
	err := storetest.Write(d, func(b *store.Batch) {
		b.PutSession(id, &store.Session{ClientID: "c"})
		b.Enqueue(id, begin, store.Delivery{Message: m, QoS: 2})
		b.Enqueue(id, begin+1, store.Delivery{Message: m, QoS: 2})
		b.Pubrec(id, begin)
		b.Retain(m)
		b.Receive(id, 3)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Check(dir); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a store in use: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	s := checkSound(t, dir)
	if s.Sessions != 1 || s.Queued != 1 || s.QueuedBytes != int64(m.Size()) || s.Released != 1 || s.Received != 1 ||
		s.Retained != 1 || s.Messages != 1 || s.Leftover != 0 {
		t.Errorf("%+v", s)
	}
}

// TestLocked: one process at a time, whatever the other is.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, store.Options{})
	if _, err := store.OpenDisk(dir, store.Options{LockTimeout: 10 * time.Millisecond}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a second: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenDisk(dir, store.Options{LockTimeout: 10 * time.Millisecond}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("beside another process: %v", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err := openDisk(t, dir, store.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
}

// TestModes: nobody else may read what clients say.
func TestModes(t *testing.T) {
	dir, _ := filled(t)
	for name, want := range map[string]fs.FileMode{".": 0o700, "store.db": 0o600, "lock": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o", name, got)
		}
	}
}

// TestHalfMade: a start that was cut short left files behind.
func TestHalfMade(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"store.db.new", "lock"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 5000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := openDisk(t, dir, store.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	checkSound(t, dir)
}
