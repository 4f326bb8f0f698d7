package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mqt/mqtt"
	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// swap puts another file under the descriptor of the store's, as if its disk had
// changed its nature. With /dev/full every write finds the disk full; with
// /dev/null every write succeeds and every sync fails; with a file that is open
// for reading every write fails.
type swap struct {
	t    *testing.T
	name string
	file *os.File
	own  int // the descriptor of the real one, kept
}

func (s *swap) open(name string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(name, flag, mode)
	if err == nil && filepath.Base(name) == s.name {
		s.file = f
	}
	return f, err
}

func (s *swap) dup(to int) {
	s.t.Helper()
	if err := syscall.Dup3(to, int(s.file.Fd()), syscall.O_CLOEXEC); err != nil {
		s.t.Fatal(err)
	}
}

func (s *swap) become(path string, flag int) {
	s.t.Helper()
	own, err := syscall.Dup(int(s.file.Fd()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.own = own
	other, err := syscall.Open(path, flag|syscall.O_CLOEXEC, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	s.dup(other)
	_ = syscall.Close(other)
}

// heal gives the file back.
func (s *swap) heal() {
	s.dup(s.own)
	_ = syscall.Close(s.own)
}

func openSwap(t *testing.T, dir, name string) (*store.Disk, *swap) {
	t.Helper()
	s := &swap{t: t, name: name}
	return openDisk(t, dir, store.Options{Linger: 5 * time.Millisecond}.WithHooks(s.open, nil)), s
}

// direct adds something that goes to the database, with all that is in the journal, for a session ends with it.
func direct(d *store.Disk, id store.SessionID, at store.Position) error {
	return storetest.Write(d, func(b *store.Batch) {
		b.Enqueue(id, at, store.Delivery{Message: payloadFor(id, at), QoS: 1})
		b.EndSession(999)
	})
}

// TestFullDisk: what does not fit is refused, nothing is lost, and when there
// is room again all goes on. What the journal has taken is there, though the
// database has no room for it.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	d, s := openSwap(t, dir, "store.db")
	id, m := begin(t, d)
	reserved := func(want bool) {
		t.Helper()
		if info, err := os.Stat(filepath.Join(dir, "reserve")); (err == nil && info.Size() == 1<<20) != want {
			t.Errorf("the reserve: %v, want %t", err, want)
		}
	}
	reserved(true)
	s.become("/dev/full", os.O_RDWR)
	if err := storetest.Write(d, func(b *store.Batch) { b.Receive(id, 9) }); err != nil {
		t.Fatal(err)
	}
	before := dump(t, d)
	if !strings.Contains(before, "9") {
		t.Fatalf("there is\n%s", before)
	}
	if err := direct(d, id, 3); !errors.Is(err, store.ErrFull) {
		t.Fatal(err)
	}
	for range 3 {
		err := storetest.Write(d, func(b *store.Batch) {
			b.Enqueue(id, 3, store.Delivery{Message: m, QoS: 1})
			b.Enqueue(id, 4, store.Delivery{Message: payloadFor(1, 4), QoS: 1})
		})
		if !errors.Is(err, store.ErrFull) || !errors.Is(err, syscall.ENOSPC) || d.Err() != nil {
			t.Fatalf("a full disk: %v, %v", err, d.Err())
		}
	}
	if now := dump(t, d); now != before {
		t.Fatalf("there is\n%s\nwant\n%s", now, before)
	}
	// What only removes waits for room.
	lazy, waits := &store.Batch{}, &store.Batch{}
	lazy.Done(id, 1)
	lazy.PutSession(id, &store.Session{ClientID: "c", Left: time.UnixMilli(5)})
	d.Commit(lazy, nil)
	waits.Release(id, 1)
	released := make(chan error, 1)
	d.Commit(waits, func(err error) { released <- err })
	fresh := payloadFor(1, 5)
	if err := storetest.Write(d, func(b *store.Batch) { b.Retain(fresh) }); !errors.Is(err, store.ErrFull) {
		t.Fatal(err)
	}
	reserved(false) // given up for what only removes
	if q, err := d.ReadQueue(id, 0, 10, 1<<20); err != nil || len(q) != 2 {
		t.Errorf("%d messages, %v", len(q), err)
	}
	if n := d.Stats().Full; n < 4 {
		t.Errorf("%d batches were refused", n)
	}
	s.heal()
	if err := <-released; err != nil {
		t.Fatal(err)
	}
	err := storetest.Write(d, func(b *store.Batch) { b.Enqueue(id, 6, store.Delivery{Message: fresh, QoS: 1}) })
	if err != nil {
		t.Fatal(err)
	}
	reserved(true)
	for x, err := range d.Sessions() {
		if err != nil || x.Left.UnixMilli() != 5 {
			t.Errorf("%+v, %v", x, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if x := checkSound(t, dir); x.Queued != 2 || x.Messages != 2 || x.Retained != 0 {
		t.Errorf("%+v", x)
	}
}

// TestShort: a disk is full until there is room for the reserve or, where that is there, beside it; whether anybody asks for
// some or not.
func TestShort(t *testing.T) {
	for _, name := range []string{"reserve", "reserve.new"} {
		dir := t.TempDir()
		d := openDisk(t, dir, store.Options{})
		id, _ := begin(t, d)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		taken := filepath.Join(dir, name) // nothing can be written under this name
		if err := errors.Join(os.RemoveAll(taken), os.MkdirAll(filepath.Join(taken, "x"), 0o700)); err != nil {
			t.Fatal(err)
		}
		d, s := openSwap(t, dir, "store.db")
		s.become("/dev/full", os.O_RDWR)
		if err := direct(d, id, 3); !errors.Is(err, store.ErrFull) {
			t.Fatal(err)
		}
		s.heal()
		time.Sleep(300 * time.Millisecond) // it is looked for some times
		if !d.Stats().Short {
			t.Errorf("%s: there is room", name)
		}
		if err := os.RemoveAll(taken); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); d.Stats().Short && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		err := direct(d, id, 3)
		if err := errors.Join(err, d.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "reserve.new")); err == nil {
			t.Error("what was tried with is left")
		}
		checkSound(t, dir)
	}
}

// TestReserveInPart: where the disk has no room for all of the reserve, and the database has not as many pages free, both
// together are enough for additions.
func TestReserveInPart(t *testing.T) {
	dir := t.TempDir()
	var room atomic.Int64 // on the disk, for the reserve
	little := func(name string, flag int, mode os.FileMode) (*os.File, error) {
		if filepath.Base(name) != "reserve" {
			return os.OpenFile(name, flag, mode)
		}
		fd, err := unix.MemfdCreate(name, unix.MFD_ALLOW_SEALING|unix.MFD_CLOEXEC)
		if err == nil {
			err = errors.Join(unix.Ftruncate(fd, room.Load()), func() error { _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_GROW); return err }())
		}
		return os.NewFile(uintptr(fd), name), err
	}
	room.Store(2 << 20)
	d := openDisk(t, dir, store.Options{}.WithHooks(little, nil))
	retain := func(topic string, n int) error {
		return storetest.Write(d, func(b *store.Batch) {
			b.Retain(&store.Message{Topic: topic, Payload: make([]byte, n), QoS: 1})
		})
	}
	closing := func() {
		t.Helper()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{400 << 10, 0} { // what it leaves behind are free pages
		if err := retain("large", n); err != nil {
			t.Fatal(err)
		}
	}
	closing()

	room.Store(1<<20 - 1)
	d = openDisk(t, dir, store.Options{}.WithHooks(little, nil))
	for k := range 50 {
		if err := retain(fmt.Sprint(k), 100); err != nil {
			t.Fatalf("with a part of the reserve: %v", err)
		}
	}
	closing()

	room.Store(300 << 10)
	d = openDisk(t, dir, store.Options{}.WithHooks(little, nil))
	if err := retain("more", 100); !errors.Is(err, store.ErrFull) {
		t.Errorf("with too little: %v", err)
	}
	if err := storetest.Write(d, func(b *store.Batch) { b.Clear("0") }); err != nil {
		t.Errorf("removing: %v", err)
	}
	closing()
	checkSound(t, dir)
}

// TestSyncFails: an error of a sync is final, nothing is acknowledged after it,
// and what was durable before is there at the next start. It would not be seen
// if no sync were made.
func TestSyncFails(t *testing.T) { testFinal(t, "/dev/null", os.O_RDWR) }

// TestWriteFails: so is an error of a write that is not a full disk's.
func TestWriteFails(t *testing.T) { testFinal(t, "/dev/null", os.O_RDONLY) }

func testFinal(t *testing.T, path string, flag int) {
	for _, name := range []string{"store.db", "journal"} {
		t.Run(name, func(t *testing.T) { testFinalIn(t, name, path, flag) })
	}
}

func testFinalIn(t *testing.T, name, path string, flag int) {
	dir := t.TempDir()
	d, s := openSwap(t, dir, name)
	id, m := begin(t, d)
	before := dump(t, d)
	s.become(path, flag)
	var first error
	if name == "journal" {
		first = storetest.Write(d, func(b *store.Batch) { b.Receive(id, 7) })
	} else {
		first = direct(d, id, 7)
	}
	s.heal() // too late
	second := storetest.Write(d, func(b *store.Batch) { b.Enqueue(id, 3, store.Delivery{Message: m, QoS: 1}) })
	for _, err := range []error{first, second, d.Err()} {
		if !errors.Is(err, store.ErrFailed) {
			t.Errorf("after a fault: %v", err)
		}
	}
	if _, err := d.ReadQueue(id, 0, 1, 1); !errors.Is(err, store.ErrFailed) {
		t.Errorf("ReadQueue: %v", err)
	}
	if _, err := storetest.Dump(d); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Sessions: %v", err)
	}
	if err := d.Close(); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Close: %v", err)
	}
	checkSound(t, dir)
	d = openDisk(t, dir, store.Options{})
	if now := dump(t, d); now != before {
		t.Errorf("there is\n%s\nwant\n%s", now, before)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMaxBytes: Options.MaxBytes is a full disk.
func TestMaxBytes(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, store.Options{MaxBytes: 1 << 20})
	id, _ := begin(t, d)
	var err error
	n := store.Position(10)
	for ; err == nil && n < 10_000; n++ {
		err = storetest.Write(d, func(b *store.Batch) {
			b.Enqueue(id, n, store.Delivery{Message: &store.Message{Topic: "t", Payload: make([]byte, 4000), QoS: 1}, QoS: 1})
		})
	}
	if !errors.Is(err, store.ErrFull) || d.Err() != nil {
		t.Fatalf("%v, %v", err, d.Err())
	}
	if size := d.Stats().FileBytes; size > 1<<20 {
		t.Errorf("the file has %d bytes", size)
	}
	// What is taken out makes room.
	if err := storetest.Write(d, func(b *store.Batch) {
		for at := store.Position(1); at < n; at++ {
			b.Done(id, at)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err = storetest.Write(d, func(b *store.Batch) { b.Receive(id, mqtt.PacketID(1)); b.Retain(payloadFor(1, 1)) })
	}
	if err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if x := checkSound(t, dir); x.Queued != 0 || x.Retained != 1 {
		t.Errorf("%+v", x)
	}
}

// TestCloseFull: a store whose disk stays full can be closed. What waits for room is refused then, and what the journal has is
// there at the next start.
func TestCloseFull(t *testing.T) {
	dir := t.TempDir()
	d, s := openSwap(t, dir, "store.db")
	id, _ := begin(t, d)
	s.become("/dev/full", os.O_RDWR)
	if err := storetest.Write(d, func(b *store.Batch) { b.Receive(id, 9) }); err != nil {
		t.Fatal(err)
	}
	if err := direct(d, id, 3); !errors.Is(err, store.ErrFull) {
		t.Fatal(err)
	}
	before := dump(t, d)
	released, closed := make(chan error, 1), make(chan error, 1)
	b := &store.Batch{}
	b.Release(id, 9)
	d.Commit(b, func(err error) { released <- err })
	go func() { closed <- d.Close() }()
	select {
	case err := <-closed:
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Close: %v", err)
		}
	case <-time.After(time.Minute):
		s.heal()
		t.Fatal("Close does not end")
	}
	if err := <-released; !errors.Is(err, store.ErrFull) {
		t.Errorf("what waited: %v", err)
	}
	_ = syscall.Close(s.own)
	d = openDisk(t, dir, store.Options{})
	if now := dump(t, d); now != before {
		t.Errorf("there is\n%s\nwant\n%s", now, before)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReadFull: what is read while the database has no room for what is in the journal has no place there yet. It gets one when
// it has, and not what that of another may be by then.
func TestReadFull(t *testing.T) {
	d, s := openSwap(t, t.TempDir(), "store.db")
	id, _ := begin(t, d)
	dump(t, d) // it is in the database
	s.become("/dev/full", os.O_RDWR)
	for at := store.Position(3); at < 6; at++ {
		if err := storetest.Write(d, func(b *store.Batch) {
			b.Enqueue(id, at, store.Delivery{Message: payloadFor(id, at), QoS: 1})
		}); err != nil {
			t.Fatal(err)
		}
	}
	read := func(known int) []store.Queued {
		t.Helper()
		q, err := d.ReadQueue(id, 0, 10, 1<<20)
		if err != nil || len(q) != 5 {
			t.Fatalf("%d messages, %v", len(q), err)
		}
		n := 0
		for _, m := range q {
			if store.Known(m.Message) {
				n++
			}
		}
		if n != known {
			t.Errorf("%d messages have a place, want %d", n, known)
		}
		return q
	}
	early := read(0)
	s.heal()
	read(5)
	other := d.NewSession()
	if err := storetest.Write(d, func(b *store.Batch) {
		b.PutSession(other, &store.Session{ClientID: "other"})
		for _, q := range early {
			b.Enqueue(other, q.Position, q.Delivery)
		}
	}); err != nil {
		t.Fatal(err)
	}
	q, err := d.ReadQueue(other, 0, 10, 1<<20)
	if err != nil || len(q) != len(early) {
		t.Fatalf("%d messages, %v", len(q), err)
	}
	for i, m := range q {
		if string(m.Payload) != string(early[i].Payload) {
			t.Errorf("message %d is %.20q", i, m.Payload)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
