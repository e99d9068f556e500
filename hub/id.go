package hub

import (
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"github.com/oklog/ulid/v2"
)

// ids makes the ids of executions: ULIDs (github.com/ulid/spec), so that they sort by the time of their
// making. In place of 80 random bits an id has 32 that this process drew and a counter of 48 that began
// at a random place: ids of one process also sort within a millisecond, and making one takes no lock.
type ids struct {
	process [4]byte
	counter atomic.Uint64
}

func newIDs() *ids {
	g := &ids{}
	var start [8]byte
	_, _ = rand.Read(g.process[:]) // never fails (Go 1.24)
	_, _ = rand.Read(start[2:])
	start[2] &= 0x7f // room to count up
	g.counter.Store(binary.BigEndian.Uint64(start[:]))
	return g
}

// next writes the id made at ms into text, and gives it as a string that shares text's memory: text
// must not be changed any more.
func (g *ids) next(ms int64, text *[26]byte) string {
	var id ulid.ULID
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], g.counter.Add(1))
	_ = id.SetTime(uint64(ms)) //nolint:gosec // not before 1970, nor after 10889
	copy(id[6:10], g.process[:])
	copy(id[10:], n[2:])
	_ = id.MarshalTextTo(text[:])             // 26 bytes are enough
	return unsafe.String(&text[0], len(text)) //nolint:gosec // never written again
}
