package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"os"
)

// The database trusts its pages: what is wrong with one may end the process, or
// have it write over another. So they are read here first, in the format of bbolt's
// version 2 and the byte order of the machine, as bbolt has them.
const (
	pageHeader  = 16 // id 8, flags 2, count 2, overflow 4
	pageElement = 16 // branch: pos 4, key 4, page 8; leaf: flags 4, pos 4, key 4, value 4
	inBucket    = 16 // root 8, sequence 8; of a bucket within another's page root is 0, and its page follows

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	metaSize   = 64
	metaMagic  = 0xED0CDAED
	noFreelist = 1<<64 - 1
	maxDepth   = 64
)

// meta is one of the two pages that say which tree is valid.
type meta struct{ root, freelist, high, txid uint64 }

// parseMeta reads one; false: it is damaged.
func parseMeta(page []byte) (m meta, ok bool) {
	if len(page) < pageHeader+metaSize {
		return m, false
	}
	b, n := page[pageHeader:pageHeader+metaSize], binary.NativeEndian
	h := fnv.New64a()
	_, _ = h.Write(b[:metaSize-8])
	m = meta{root: n.Uint64(b[16:]), freelist: n.Uint64(b[32:]), high: n.Uint64(b[40:]), txid: n.Uint64(b[48:])}
	return m, n.Uint32(b) == metaMagic && n.Uint64(b[56:]) == h.Sum64()
}

// verifier walks one file.
type verifier struct {
	f        io.ReaderAt
	pageSize int64
	high     uint64 // pages
	seen     []uint64
}

// verify reads every page that is in use. The error is one of the file, or
// ErrCorrupt. halved: one of the two meta pages is damaged; nothing else is, but the
// last transaction may be lost.
func verify(path string, pageSize int) (halved bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	var now meta
	valid := 0
	for i := range int64(2) {
		page := make([]byte, pageHeader+metaSize)
		if _, err := f.ReadAt(page, i*int64(pageSize)); err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if m, ok := parseMeta(page); ok {
			if valid++; m.txid >= now.txid {
				now = m
			}
		}
	}
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if valid == 0 || now.high > uint64(info.Size())/uint64(pageSize) {
		return false, corrupt("meta pages")
	}
	v := &verifier{f: f, pageSize: int64(pageSize), high: now.high, seen: make([]uint64, now.high/64+1)}
	v.see(0)
	v.see(1)
	if err := v.walk(now.root, nil, nil, 0); err != nil {
		return false, err
	}
	return valid == 1, v.free(now.freelist)
}

// see marks a page; false: it is none, or was seen before.
func (v *verifier) see(id uint64) bool {
	if id >= v.high || v.seen[id/64]&(1<<(id%64)) != 0 {
		return false
	}
	v.seen[id/64] |= 1 << (id % 64)
	return true
}

// page reads a page with all that belongs to it.
func (v *verifier) page(id uint64) (p []byte, flags uint16, err error) {
	if !v.see(id) {
		return nil, 0, corrupt("page %d is out of place", id)
	}
	p = make([]byte, v.pageSize)
	if _, err := v.f.ReadAt(p, int64(id)*v.pageSize); err != nil {
		return nil, 0, err
	}
	n := binary.NativeEndian
	overflow := uint64(n.Uint32(p[12:]))
	if n.Uint64(p) != id || overflow >= v.high-id {
		return nil, 0, corrupt("head of page %d", id)
	}
	for i := range overflow {
		if !v.see(id + 1 + i) {
			return nil, 0, corrupt("page %d overlaps another", id)
		}
	}
	if overflow > 0 {
		p = append(p, make([]byte, overflow*uint64(v.pageSize))...)
		if _, err := v.f.ReadAt(p[v.pageSize:], (int64(id)+1)*v.pageSize); err != nil {
			return nil, 0, err
		}
	}
	return p, n.Uint16(p[8:]), nil
}

// walk reads the tree below a page, whose keys are from low on and below high.
func (v *verifier) walk(id uint64, low, high []byte, depth int) error {
	p, flags, err := v.page(id)
	if err != nil {
		return err
	}
	if depth > maxDepth || flags != branchPage && flags != leafPage {
		return corrupt("kind of page %d", id)
	}
	items, err := pageItems(p, flags)
	if err != nil || flags == branchPage && len(items) == 0 {
		return errors.Join(err, corrupt("page %d", id))
	}
	for i := range items {
		x := &items[i]
		if bytes.Compare(x.key, low) < 0 || i > 0 && bytes.Equal(x.key, low) || high != nil && bytes.Compare(x.key, high) >= 0 {
			return corrupt("order of page %d", id)
		}
		low = x.key
		switch {
		case flags == branchPage:
			end := high
			if i+1 < len(items) {
				end = items[i+1].key
			}
			err = v.walk(x.child, x.key, end, depth+1)
		case x.bucket:
			err = v.bucket(x.value, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket reads one, which may be within the value.
func (v *verifier) bucket(value []byte, depth int) error {
	if len(value) < inBucket {
		return corrupt("bucket")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return v.walk(root, nil, nil, depth+1)
	}
	p := value[inBucket:]
	if len(p) < pageHeader || binary.NativeEndian.Uint16(p[8:]) != leafPage {
		return corrupt("bucket within a page")
	}
	items, err := pageItems(p, leafPage)
	for i := range items {
		if items[i].bucket || i > 0 && bytes.Compare(items[i-1].key, items[i].key) >= 0 {
			return corrupt("bucket within a page")
		}
	}
	return err
}

// item is an element of a page.
type item struct {
	key, value []byte
	child      uint64
	bucket     bool
}

func pageItems(p []byte, flags uint16) ([]item, error) {
	n := binary.NativeEndian
	count := int(n.Uint16(p[10:]))
	if len(p) < pageHeader+count*pageElement {
		return nil, corrupt("number of elements")
	}
	items := make([]item, count)
	for i := range items {
		at := pageHeader + i*pageElement
		e := p[at:]
		pos, key, value := int(n.Uint32(e)), int(n.Uint32(e[4:])), 0
		if flags == leafPage {
			if kind := n.Uint32(e); kind > 1 {
				return nil, corrupt("kind of element %d", i)
			}
			pos, key, value = int(n.Uint32(e[4:])), int(n.Uint32(e[8:])), int(n.Uint32(e[12:]))
		}
		if key == 0 || pos < pageElement || at+pos+key+value > len(p) {
			return nil, corrupt("place of element %d", i)
		}
		x := &items[i]
		x.key = p[at+pos : at+pos+key]
		if flags == leafPage {
			x.value, x.bucket = p[at+pos+key:at+pos+key+value], n.Uint32(e) == 1
		} else {
			x.child = n.Uint64(e[8:])
		}
	}
	return items, nil
}

// free reads the list of free pages: these and the others are all there are.
func (v *verifier) free(id uint64) error {
	if id == noFreelist {
		return nil // it is found by a walk
	}
	p, flags, err := v.page(id)
	if err != nil {
		return err
	}
	n := binary.NativeEndian
	count, ids := uint64(n.Uint16(p[10:])), p[pageHeader:]
	if count == 0xFFFF {
		count, ids = n.Uint64(ids), ids[8:]
	}
	if flags != freelistPage || count > uint64(len(ids)/8) {
		return corrupt("list of free pages")
	}
	for i := range count {
		if !v.see(n.Uint64(ids[8*i:])) {
			return corrupt("a free page is in use")
		}
	}
	for id := range v.high {
		if v.see(id) {
			return corrupt("page %d is neither free nor in use", id)
		}
	}
	return nil
}
