package store_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// The power cuts. What a transaction writes is the difference between the file
// before and after it. It goes to the disk in this order, as the database's
// source has it: pages that were free; sync; one of the two meta pages; sync. A
// cut before the first sync leaves any part of the pages, a cut between the two
// all of them and any part of the meta page. What is made of that must be the
// state before or the one after, and after the second sync the one after.
//
// That the syncs are really made is not shown here, but by TestSyncFails.

// disk is a file at two moments.
type disk struct{ before, after []byte }

const pageSize = 4096

// cut returns the file as the power left it.
func (d *disk) cut(r *rand.Rand, metaToo bool) []byte {
	f := make([]byte, len(d.after))
	copy(f, d.before)
	if metaToo {
		copy(f, d.after)
		copy(f, d.before[:2*pageSize])
		for page := range 2 {
			at := page * pageSize
			n := r.IntN(128) // the record is at the beginning
			copy(f[at:at+n], d.after[at:at+n])
		}
		return f
	}
	for at := 2 * pageSize; at < len(f); at += 512 {
		if r.IntN(2) == 0 {
			copy(f[at:at+512], d.after[at:at+512])
		}
	}
	if r.IntN(4) == 0 && len(d.before) < len(f) {
		f = f[:len(d.before)] // it had not grown yet
	}
	return f
}

// fastDir is a directory where a sync costs nothing, if there is one: the power
// is cut in our head.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "store")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// look opens a file, with a journal or without, in a directory of its own and tells what it holds.
func look(t *testing.T, file []byte, journal ...[]byte) (string, error) {
	t.Helper()
	dir := filepath.Join(fastDir(t), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "store.db"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range journal {
		if err := os.WriteFile(filepath.Join(dir, "journal"), p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.Check(dir)
	if err != nil {
		return "", err
	}
	if len(s.Problems) > 0 {
		return "", fmt.Errorf("problems %q", s.Problems)
	}
	d, err := store.OpenDisk(dir, store.Options{})
	if err != nil {
		return "", err
	}
	text, err := storetest.Dump(d)
	if e := d.Close(); err == nil {
		err = e
	}
	_ = os.RemoveAll(dir)
	return text, err
}

// lives runs random lives and calls f after each transaction with the file
// before and after it, and what it held.
func lives(t *testing.T, n, steps int, f func(r *rand.Rand, d *disk, before, after string)) {
	for seed := range uint64(n) {
		dir := fastDir(t)
		life, r := storetest.NewLife(seed), rand.New(rand.NewPCG(seed, 2))
		var file disk
		var written atomic.Int32
		read := func() {
			p, err := os.ReadFile(filepath.Join(dir, "store.db"))
			if err != nil {
				t.Error(err)
			}
			file.before, file.after = file.after, p
			written.Add(1)
		}
		d := openDisk(t, dir, store.Options{}.WithHooks(os.OpenFile, read))
		read()
		held := ""
		for range steps {
			b := &store.Batch{}
			life.Step(b, d.NewSession)
			if b.Empty() {
				continue
			}
			if err := storetest.Commit(d, b); err != nil {
				t.Fatal(err)
			}
			for d.Stats().DeadSessions > 0 {
				time.Sleep(time.Millisecond)
			}
			if written.Swap(0) != 1 {
				held = "" // the rest was done in other transactions
			}
			now, err := storetest.Dump(d)
			if err != nil {
				t.Fatal(err)
			}
			if held != "" {
				f(r, &file, held, now)
			}
			held = now
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPowerCut(t *testing.T) {
	n := 30
	if testing.Short() || raceEnabled {
		n = 3
	}
	cuts, old := 0, 0
	lives(t, n, 30, func(r *rand.Rand, d *disk, before, after string) {
		for _, metaToo := range []bool{false, true, true} {
			text, err := look(t, d.cut(r, metaToo))
			switch {
			case err != nil:
				t.Fatal(err)
			case text != before && (text != after || !metaToo):
				t.Fatalf("after a power cut (sync was made: %v) there is\n%s\nbefore it was\n%s\nto be\n%s", metaToo, text, before, after)
			}
			cuts++
			if text == before {
				old++
			}
		}
		if text, err := look(t, d.after); err != nil || text != after {
			t.Fatalf("%v: what was durable is\n%s\nwant\n%s", err, text, after)
		}
	})
	t.Logf("%d power cuts, %d of them left the state before", cuts, old)
}

// TestPowerCutIsSeen: were the first sync not made, the test would find out.
func TestPowerCutIsSeen(t *testing.T) {
	seen := false
	lives(t, 2, 20, func(r *rand.Rand, d *disk, before, after string) {
		if seen {
			return
		}
		f := d.cut(r, false)
		if len(f) < len(d.after) {
			return
		}
		copy(f[:2*pageSize], d.after)
		text, err := look(t, f)
		seen = err != nil || text != before && text != after
	})
	if !seen {
		t.Error("a meta page that came before its data was not noticed")
	}
}
