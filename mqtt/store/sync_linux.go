package store

import (
	"os"
	"syscall"
)

// syncData makes what was written into a file durable, and not when it was.
func syncData(f *os.File) error {
	return os.NewSyscallError("fdatasync", syscall.Fdatasync(int(f.Fd())))
}
