// Package backup writes what a hub keeps into one file while it runs, and makes a data folder of such a
// file again. docs/storage.md has the format.
//
//	livefn backup 1\n                          the line that says what it is
//	zstd( head, records, files, end )          each a length and its bytes
//	SHA-256 of all before                      32 bytes, at the file's very end
//
// The invariant: a restored folder holds every record as it was at one moment, which is after the backup
// began, and the files of every version that is visible in those records. It holds because a version's
// folder is complete before its record is written, and folders are read after the records: more of them
// do no harm (the hub sweeps away what no record owns). The one exception is a tenant that is deleted
// meanwhile: its records may be there without its folders.
//
// Nothing of a file is believed, nor shown in its place, before its checksum is right. Where to look next:
// write.go, restore.go.
package backup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// format is the number in the first line. A reader refuses a later one.
const format = 1

const magic = "livefn backup "

// storeDir is the store's folder within the data folder.
const storeDir = "store"

// head says where a backup is from.
type head struct {
	CreatedAt time.Time `json:"createdAt"`
	Program   string    `json:"program"` // version of livefn
}

// The kinds of what follows the head. Numbers are unsigned varints, strings have their length before them.
const (
	kindRecord = 'r' // u expires (s since 1970; 0: never), key, value
	kindFolder = 'd' // path, u mode
	kindLink   = 'l' // path, target
	kindFile   = 'f' // path, u mode; pieces follow: u length, bytes; one of length 0 is the last
	kindEnd    = 'z' // u records, u files, folders and links; nothing follows
)

// Bounds of what a reader takes into memory for a file that claims it.
const (
	maxString = 256 << 20
	piece     = 64 << 10
)

var errCut = errors.New("the backup ends too early or is damaged")

// encoder writes the parts of a backup; the first error stays.
type encoder struct {
	w   io.Writer
	err error
}

func (e *encoder) bytes(b []byte) {
	e.number(uint64(len(b)))
	e.raw(b)
}

func (e *encoder) number(n uint64) { e.raw(binary.AppendUvarint(nil, n)) }

func (e *encoder) raw(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

// decoder reads them; the first error stays, and then all is empty.
type decoder struct {
	r interface {
		io.Reader
		io.ByteReader
	}
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %w", errCut, err)
	}
}

func (d *decoder) kind() byte {
	b, err := d.r.ReadByte()
	if err != nil {
		d.fail(err)
		return 0
	}
	return b
}

func (d *decoder) number() uint64 {
	if d.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(d.r)
	if err != nil {
		d.fail(err)
		return 0
	}
	return n
}

func (d *decoder) bytes() []byte {
	n := d.number()
	if d.err != nil {
		return nil
	}
	if n > maxString {
		d.fail(fmt.Errorf("a part of %d bytes", n))
		return nil
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(d.r, b); err != nil {
		d.fail(err)
		return nil
	}
	return b
}
