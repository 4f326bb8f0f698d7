package store_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, dir string) store.Store {
	t.Helper()
	return openDisk(t, dir, store.Options{})
}

func openDisk(t testing.TB, dir string, o store.Options) *store.Disk {
	t.Helper()
	d, err := store.OpenDisk(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDisk is the suite, and what it leaves is sound.
func TestDisk(t *testing.T) {
	storetest.Run(t, func(t testing.TB, dir string) store.Store {
		if _, err := os.Stat(dir + "/store.db"); err == nil {
			checkSound(t, dir)
		}
		return open(t, dir)
	})
}

func checkSound(t testing.TB, dir string) *store.Summary {
	t.Helper()
	s, err := store.Check(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Problems {
		t.Error("check: ", p)
	}
	return s
}

// TestMemory is the suite for the model.
func TestMemory(t *testing.T) {
	kept := map[string]*storetest.Memory{}
	storetest.Run(t, func(_ testing.TB, dir string) store.Store {
		m := kept[dir]
		if m == nil {
			m = storetest.NewMemory()
			kept[dir] = m
		}
		m.Reopen()
		return m
	})
}

// TestFaulty is the suite for the one that fails at will, as long as it does
// not.
func TestFaulty(t *testing.T) {
	storetest.Run(t, func(t testing.TB, dir string) store.Store { return storetest.NewFaulty(open(t, dir)) })
}
