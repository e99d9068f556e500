package hub

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

// How a journal is kept. Each record begins with streamFormat; a record of another format is refused.
// An event lies under its stream and offset; the log has, under the event's number, where that is, so
// that a pattern reads what it matches alone.
const streamFormat = 1

// numbersReserved is how many numbers of a journal are reserved by one write.
const numbersReserved = 1 << 20

// journalRecord is the JSON of a journal.
type journalRecord struct {
	Epoch    string   `json:"epoch"`
	Reserved uint64   `json:"reserved"`        // the next process gives higher numbers only
	Bases    []uint64 `json:"bases"`           // where each process's numbers began
	Floor    uint64   `json:"floor,omitempty"` // streams in memory whose names are not kept had numbers up to this
	All      bool     `json:"all,omitempty"`   // the last process had too many streams in memory to mark each
}

// streamRecord is the JSON of a stream whose retention was set.
type streamRecord struct {
	Epoch string `json:"epoch"` // of a durable stream
	Retention
}

// trimRecord is the JSON of what a durable stream's history has lost.
type trimRecord struct {
	First   uint64 `json:"first"`   // offset of the oldest event there may be
	Lost    uint64 `json:"lost"`    // number of the last one that was deleted
	Dropped int64  `json:"dropped"` // bytes of all that were deleted
}

// storedBody is the JSON of an event, behind its number and the bytes of its stream up to and with it.
type storedBody struct {
	Type       string          `json:"type"`
	Time       int64           `json:"time"`
	Data       json.RawMessage `json:"data,omitempty"`
	CloudEvent json.RawMessage `json:"cloudevent,omitempty"`
}

func encodeRecordJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // strings, numbers and checked JSON
		panic(err)
	}
	return append([]byte{streamFormat}, b...)
}

func decodeRecordJSON(b []byte, v any) error {
	if err := checkFormat(b, 1); err != nil {
		return err
	}
	return json.Unmarshal(b[1:], v)
}

func checkFormat(b []byte, n int) error {
	if len(b) < n || b[0] != streamFormat {
		return fault.New(fault.Internal, "A stream's record has a format that this version of livefn does not know.")
	}
	return nil
}

// eventOps writes an event and its place in the log.
func (s *tenantStream) eventOps(ev *Event, written int64) []store.Op {
	v := make([]byte, 17, 17+len(ev.Data)+len(ev.Type)+len(ev.CloudEvent)+64)
	v[0] = streamFormat
	binary.BigEndian.PutUint64(v[1:], ev.number)
	binary.BigEndian.PutUint64(v[9:], uint64(written))
	v = append(v, encodeRecordJSON(storedBody{ev.Type, ev.Time, ev.Data, ev.CloudEvent})[1:]...)
	at := binary.BigEndian.AppendUint64([]byte{streamFormat}, ev.Offset)
	return []store.Op{
		{Key: streamEventKey(s.j.t.name, s.name, ev.Offset), Value: v},
		{Key: logKey(s.j.t.name, ev.number), Value: append(at, s.name...)},
	}
}

// decodeStreamEvent reads an event, and the bytes of its stream up to and with it.
func decodeStreamEvent(stream string, offset uint64, b []byte) (ev *Event, written int64, err error) {
	if err := checkFormat(b, 17); err != nil {
		return nil, 0, err
	}
	var body storedBody
	if err := json.Unmarshal(b[17:], &body); err != nil {
		return nil, 0, fmt.Errorf("decode event %d of %s: %w", offset, stream, err)
	}
	return &Event{
		Stream: stream, Offset: offset, Type: body.Type, Time: body.Time, Data: body.Data, CloudEvent: body.CloudEvent,
		number: binary.BigEndian.Uint64(b[1:]), stored: true,
	}, int64(binary.BigEndian.Uint64(b[9:])), nil
}

// markLocked gives the record that a stream in memory has had events: they are lost when the process ends.
func (j *journal) markLocked(s *tenantStream) []store.Op {
	if j.marks++; j.marks > maxGhosts {
		j.all = true
		return []store.Op{j.recordLocked(j.reserved)}
	}
	return []store.Op{j.ghostOp(s.name, j.base, never)}
}

// ghostOp remembers what of a stream is gone: all up to the number lost; or, if that is never, all that it
// had in the process whose numbers begin at base, once that has ended.
func (j *journal) ghostOp(stream string, base, lost uint64) store.Op {
	if lost == 0 {
		return store.Op{Key: markKey(j.t.name, stream), Delete: true}
	}
	v := binary.BigEndian.AppendUint64([]byte{streamFormat}, base)
	return store.Op{Key: markKey(j.t.name, stream), Value: binary.BigEndian.AppendUint64(v, lost)}
}

func (j *journal) recordLocked(reserved uint64) store.Op {
	return store.Op{Key: journalKey(j.t.name), Value: encodeRecordJSON(journalRecord{j.epoch, reserved, j.bases, j.floor, j.all})}
}

// reserveLocked has the store know of further numbers before they are used.
func (j *journal) reserveLocked() {
	j.reserve = true
	reserved := j.reserved + numbersReserved
	j.t.hub.store.Offer([]store.Op{j.recordLocked(reserved)}, func(err error) {
		j.mu.Lock()
		j.reserve = false
		if err == nil {
			j.reserved = max(j.reserved, reserved)
		}
		j.mu.Unlock()
	})
}

// maxBases is the number of processes whose streams in memory are told apart.
const maxBases = 1_000

// open reads the journal from the store when it is first needed.
func (j *journal) open() error {
	j.mu.Lock()
	opened := j.opened
	j.mu.Unlock()
	if opened {
		return nil
	}
	j.opening.Lock() // not mu, which those take who never block
	defer j.opening.Unlock()
	j.mu.Lock()
	opened, closed := j.opened, j.closed
	j.mu.Unlock()
	if opened {
		return nil
	}
	if owner, err := j.t.hub.registry.Tenant(j.t.name); closed || err != nil || owner != j.t.owner {
		return errTenantDeleted
	}
	st := j.t.hub.store
	var r journalRecord
	b, err := st.Get(journalKey(j.t.name))
	switch {
	case errors.Is(err, store.ErrNotFound):
		r.Epoch = newEpoch()
	case err != nil:
		return fault.Because(err, fault.StorageUnavailable, "The hub could not read its store.")
	default:
		if err := decodeRecordJSON(b, &r); err != nil {
			return fmt.Errorf("read the journal of %s: %w", j.t.name, err)
		}
	}
	base := r.Reserved
	j.epoch, j.floor, j.bases = r.Epoch, r.Floor, append(r.Bases, base)
	if r.All {
		j.floor = base
	}
	if n := len(j.bases); n > maxBases {
		j.bases = j.bases[n-maxBases:]
		j.floor = max(j.floor, j.bases[0])
	}
	streams, ghosts, err := j.readStreams()
	if err != nil {
		return fmt.Errorf("read the streams of %s: %w", j.t.name, err)
	}
	ops := []store.Op{}
	if len(ghosts) > maxGhosts {
		for name := range ghosts {
			ops = append(ops, store.Op{Key: markKey(j.t.name, name), Delete: true})
		}
		ghosts, j.floor = map[string]uint64{}, base
	}
	if err := st.Commit(context.Background(), append(ops, j.recordLocked(base+numbersReserved))...); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return errTenantDeleted
	}
	j.base, j.last, j.top, j.cached, j.reserved = base, base, base, base+1, base+numbersReserved
	j.ghosts = ghosts
	j.lost = j.floor
	for name, lost := range ghosts {
		if s := streams[name]; s != nil {
			s.lost = max(s.lost, lost)
			delete(ghosts, name)
		}
		j.lostLocked(lost)
	}
	for name, s := range streams {
		j.streams[name] = s
		j.lostLocked(s.lost)
		if s.Durable {
			j.durables++
		}
	}
	j.opened = true
	return nil
}

// readStreams reads the streams whose retention was set, and what is remembered of others.
func (j *journal) readStreams() (streams map[string]*tenantStream, ghosts map[string]uint64, err error) {
	st := j.t.hub.store
	streams, ghosts = map[string]*tenantStream{}, map[string]uint64{}
	err = st.Scan(store.Range{Prefix: streamsPrefix(j.t.name)}, func(k, v []byte) (bool, error) {
		_, name := lastTwo(string(k))
		var r streamRecord
		if err := decodeRecordJSON(v, &r); err != nil {
			return false, err
		}
		if !r.Durable {
			r.Epoch = newEpoch()
		}
		s := newTenantStream(j, name, r.Epoch, r.Retention)
		s.defined = true
		streams[name] = s
		return true, nil
	})
	if err != nil {
		return nil, nil, err
	}
	for _, s := range streams {
		if s.Durable {
			if err := s.read(); err != nil {
				return nil, nil, fmt.Errorf("read stream %s: %w", s.name, err)
			}
		}
	}
	err = st.Scan(store.Range{Prefix: marksPrefix(j.t.name)}, func(k, v []byte) (bool, error) {
		_, name := lastTwo(string(k))
		if err := checkFormat(v, 17); err != nil {
			return false, err
		}
		base, lost := binary.BigEndian.Uint64(v[1:]), binary.BigEndian.Uint64(v[9:])
		if lost == never {
			lost = j.nextBase(base)
		}
		ghosts[name] = lost
		return true, nil
	})
	return streams, ghosts, err
}

// nextBase gives where the numbers began of the process after the one that began at base.
func (j *journal) nextBase(base uint64) uint64 {
	for _, b := range j.bases {
		if b > base {
			return b
		}
	}
	return j.bases[len(j.bases)-1]
}

// read finds where a durable stream stands.
func (s *tenantStream) read() error {
	st, tenant := s.j.t.hub.store, s.j.t.name
	switch b, err := st.Get(trimKey(tenant, s.name)); {
	case err == nil:
		var r trimRecord
		if err := decodeRecordJSON(b, &r); err != nil {
			return err
		}
		s.first, s.lost, s.dropped = r.First, r.Lost, r.Dropped
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	s.top, s.erased, s.written = s.first-1, s.first-1, s.dropped
	prefix := streamEventsPrefix(tenant, s.name)
	one := func(r store.Range, f func(ev *Event, written int64)) error {
		return st.Scan(r, func(k, v []byte) (bool, error) {
			ev, written, err := decodeStreamEvent(s.name, offsetOfEventKey(k), v)
			if err == nil {
				f(ev, written)
			}
			return false, err
		})
	}
	err := one(store.Range{Prefix: prefix, Reverse: true}, func(ev *Event, written int64) {
		s.top, s.topNum, s.written = ev.Offset, ev.number, written
	})
	if err == nil {
		err = one(store.Range{Prefix: prefix, Start: streamEventKey(tenant, s.name, s.first)}, func(ev *Event, _ int64) {
			s.oldest, s.oldestNum = ev.Time, ev.number
		})
	}
	s.last = s.top
	return err
}

// page reads events of a durable stream after an offset, up to another, and gives how far it came.
func (s *tenantStream) page(after, upto uint64) (evs []*Event, at uint64, err error) {
	tenant, size := s.j.t.name, 0
	start := streamEventKey(tenant, s.name, after+1)
	at = upto
	err = s.j.t.hub.store.Scan(store.Range{Prefix: streamEventsPrefix(tenant, s.name), Start: start}, func(k, v []byte) (bool, error) {
		offset := offsetOfEventKey(k)
		if offset > upto {
			return false, nil
		}
		ev, _, err := decodeStreamEvent(s.name, offset, v)
		if err != nil {
			return false, err
		}
		evs, size = append(evs, ev), size+ev.size()
		if len(evs) == historyPage || size > pageBytes {
			at = offset
			return false, nil
		}
		return true, nil
	})
	return evs, at, err
}
