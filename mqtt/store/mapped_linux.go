package store

import (
	"syscall"
	"unsafe"

	"go.etcd.io/bbolt"
)

// unmap gives back the pages of the file that reading has mapped. They stay in
// the system's cache, but the process no longer looks as if they were its own.
// tx keeps the mapping where it is.
func unmap(tx *bbolt.Tx) {
	db := tx.DB()
	info, size := db.Info(), min(tx.Size(), fileSize(db.Path()))
	data := *(*unsafe.Pointer)(unsafe.Pointer(&info.Data))
	_ = syscall.Madvise(unsafe.Slice((*byte)(data), size), syscall.MADV_DONTNEED) // no harm if it does nothing
}
