package store

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Badger's log format, as far as it must be read to tell damage from what a crash leaves: Badger itself
// takes either for the log's end, and forgets what comes after. A file has a header of 20 bytes, entries,
// and zeros. An entry is meta, user meta, varints (key's length, value's length, expiry), key, value, and
// the CRC-32C of all that. A key ends with its version, as the complement in 8 bytes.
const (
	logHeader = 20

	metaPointer = 1 << 1 // the value is a pointer into the value log
	metaTxn     = 1 << 6 // the entry belongs to a transaction, which an entry with metaFin ends
	metaFin     = 1 << 7
)

// entry is one of a log.
type entry struct {
	meta       byte
	key, value []byte
	size       int
}

func (e *entry) version() uint64 {
	if len(e.key) < 8 {
		return 0
	}
	return math.MaxUint64 - binary.BigEndian.Uint64(e.key[len(e.key)-8:])
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entryAt reads the entry at b's beginning; ok says that it is whole.
func entryAt(b []byte) (e entry, ok bool) {
	if len(b) < 2 {
		return e, false
	}
	e.meta = b[0]
	at := 2
	var lengths [3]uint64 // of the key, of the value; the expiry
	for i := range lengths {
		n, size := binary.Uvarint(b[at:])
		if size <= 0 {
			return e, false
		}
		lengths[i] = n
		at += size
	}
	left := uint64(len(b) - at) //nolint:gosec // not negative: Uvarint read no further
	if lengths[0] == 0 || lengths[0] > left || lengths[1] > left || lengths[0]+lengths[1]+crc32.Size > left {
		return e, false
	}
	end := at + int(lengths[0]) + int(lengths[1]) //nolint:gosec // within b
	e.key, e.value = b[at:at+int(lengths[0])], b[at+int(lengths[0]):end]
	e.size = end + crc32.Size
	return e, crc32.Checksum(b[:end], castagnoli) == binary.BigEndian.Uint32(b[end:])
}

// walk gives f the entries of whole transactions, as Badger takes them at a start, and says where they end.
func walk(log []byte, f func(*entry)) (end int) {
	var open []entry
	end = min(logHeader, len(log))
	for at := end; ; {
		e, ok := entryAt(log[at:])
		if !ok {
			return end
		}
		at += e.size
		switch {
		case e.meta&metaTxn != 0:
			if len(open) > 0 && open[0].version() != e.version() {
				return end
			}
			open = append(open, e)
			continue
		case e.meta&metaFin != 0:
			for i := range open {
				f(&open[i])
			}
			open = open[:0]
		case len(open) > 0:
			return end
		default:
			f(&e)
		}
		end = at
	}
}

// later counts the transactions of which there are whole entries behind the place where a log's valid part
// ends. One may be what was being written when the power went; two mean that the first was acknowledged.
func later(log []byte, end int) (transactions int) {
	log = bytes.TrimRight(log, "\x00")
	var last uint64
	for at := end; at < len(log); {
		e, ok := entryAt(log[at:])
		if !ok {
			at++
			continue
		}
		if v := e.version(); e.meta&metaTxn != 0 && v != last {
			last = v
			transactions++
		}
		at += e.size
	}
	return transactions
}
