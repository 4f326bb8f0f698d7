package transport

import (
	"syscall"
	"unsafe"
)

// RawSyscall, because these calls never sleep: the scheduler need not be told, which saves a fifth of the CPU of an
// isolated message.

func sysRead(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), errno
}

func sysWrite(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), errno
}

const maxVector = 64

// vector is the scratch space of a writev.
type vector struct {
	pieces [maxVector][]byte
	iov    [maxVector]syscall.Iovec
}

// write sends the next pieces of o with one call.
func (v *vector) write(fd int, o *outbuf) (int, syscall.Errno) {
	pieces := o.pieces(v.pieces[:0], maxVector)
	size := 0
	count := 0
	for i, p := range pieces {
		if size += len(p); size > maxWrite && i > 0 {
			break
		}
		p = p[:min(len(p), maxWrite)]
		v.iov[i].Base = unsafe.SliceData(p)
		v.iov[i].SetLen(len(p))
		count++
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&v.iov[0])), uintptr(count))
	clear(v.iov[:count])
	clear(pieces)
	return int(n), errno
}
