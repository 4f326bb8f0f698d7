package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// memory returns what the process has of its own and what it has mapped, in
// bytes.
func memory(t testing.TB) (own, mapped int64) {
	t.Helper()
	runtime.GC()
	p, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) int64 {
		_, rest, _ := bytes.Cut(p, []byte(name+":"))
		n, err := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n << 10
	}
	return read("RssAnon"), read("RssFile")
}

// TestMillion queues a million messages for clients that are away, starts with
// them, and drains them. -short has a twentieth of that.
func TestMillion(t *testing.T) {
	n, sessions := 1_000_000, 1000
	if testing.Short() || os.Getenv("MQT_STORE_MILLION") == "" {
		n = 50_000
	}
	dir := t.TempDir()
	ownBefore, _ := memory(t)
	d := openDisk(t, dir, store.Options{})
	begin := time.Now()
	ids := fill(t, d, n, sessions)
	own, mapped := memory(t)
	t.Logf("%d messages queued in %v, %d MB on disk, memory +%d MB of its own, %d MB mapped", n, time.Since(begin).Round(time.Millisecond),
		d.Stats().FileBytes>>20, (own-ownBefore)>>20, mapped>>20)
	if own-ownBefore > 200<<20 && !raceEnabled {
		t.Errorf("%d MB of memory", (own-ownBefore)>>20)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = load(t, dir, n)
	peak := drain(t, d, ids, n)
	killed(t, dir, ids)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openDisk(t, dir, store.Options{})
	small := d.Stats().FileBytes
	t.Logf("drained: at most %d MB, %d MB after the next start", peak>>20, small>>20)
	if small > 8<<20 {
		t.Errorf("the file has still %d bytes", small)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if s := checkSound(t, dir); s.Queued+s.Messages != 0 || s.Sessions != sessions {
		t.Errorf("%+v", s)
	}
}

// killed starts with the files as they are, of which most is empty: what is has to
// be found, for it was not written.
func killed(t *testing.T, dir string, ids []store.SessionID) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(dir, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	journal, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := look(t, file, journal); err != nil || bytes.Count([]byte(text), []byte("session ")) != len(ids) {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// load starts with what is queued.
func load(t *testing.T, dir string, n int) *store.Disk {
	t.Helper()
	begin := time.Now()
	d := openDisk(t, dir, store.Options{})
	opened := time.Since(begin)
	queued := 0
	for x, err := range d.Sessions() {
		if err != nil {
			t.Fatal(err)
		}
		queued += x.Count
	}
	loaded := time.Since(begin)
	own, mapped := memory(t)
	t.Logf("opened in %v, loaded in %v, memory %d MB of its own, %d MB mapped", opened.Round(time.Millisecond),
		loaded.Round(time.Millisecond), own>>20, mapped>>20)
	if mapped > 64<<20 && !raceEnabled {
		t.Errorf("%d MB are mapped", mapped>>20)
	}
	if queued != n {
		t.Fatalf("%d messages are there", queued)
	}
	return d
}

// drain reads all queues window by window, as their clients would, and fills
// half of them again meanwhile: the file does not grow. It returns its size.
func drain(t *testing.T, d *store.Disk, ids []store.SessionID, n int) int64 {
	t.Helper()
	before, begin, got := d.Stats().FileBytes, time.Now(), 0
	for _, id := range ids {
		for from := store.Position(0); ; {
			q, err := d.ReadQueue(id, from, 100, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if len(q) == 0 {
				break
			}
			b := &store.Batch{}
			for _, m := range q {
				b.Done(id, m.Position)
			}
			d.Commit(b, nil)
			got += len(q)
			from = q[len(q)-1].Position + 1
		}
	}
	if got != n {
		t.Errorf("%d messages were drained", got)
	}
	if err := storetest.Write(d, func(b *store.Batch) { b.Clear("t") }); err != nil {
		t.Fatal(err)
	}
	t.Logf("drained in %v", time.Since(begin).Round(time.Millisecond))
	fill(t, d, n/2, 10)
	size := d.Stats().FileBytes
	if size > before+before/2 {
		t.Errorf("the file grew from %d to %d bytes", before, size)
	}
	for x, err := range d.Sessions() {
		if err != nil {
			t.Fatal(err)
		}
		if x.Count == 0 {
			continue
		}
		b := &store.Batch{}
		b.EndSession(x.ID)
		if err := storetest.Commit(d, b); err != nil {
			t.Fatal(err)
		}
	}
	for d.Stats().DeadSessions > 0 {
		time.Sleep(time.Millisecond)
	}
	return size
}

// TestCompactBeyond: what the file has beyond the last page that was ever used is empty too, though no list of free pages
// has it. The database sets 16 MiB at a time aside.
func TestCompactBeyond(t *testing.T) {
	dir, text := filled(t)
	path := filepath.Join(dir, "store.db")
	if err := os.Truncate(path, 33<<20); err != nil {
		t.Fatal(err)
	}
	d := openDisk(t, dir, store.Options{})
	if now := dump(t, d); now != text {
		t.Errorf("there is\n%s\nwant\n%s", now, text)
	}
	if s := d.Stats(); s.FileBytes > 1<<20 {
		t.Errorf("the file has still %d bytes", s.FileBytes)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	checkSound(t, dir)
}

// TestCompactLeftover: one that was cut short is no hindrance.
func TestCompactLeftover(t *testing.T) {
	dir, text := filled(t)
	if err := os.WriteFile(filepath.Join(dir, "store.db.new"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := openDisk(t, dir, store.Options{})
	if now := dump(t, d); now != text {
		t.Errorf("there is\n%s\nwant\n%s", now, text)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
