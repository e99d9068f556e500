package store

import (
	"context"
	"errors"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/livefn/livefn/internal/fault"
)

// Op is one record of a write.
type Op struct {
	Key, Value []byte
	Delete     bool
	TTL        time.Duration // 0: for ever
}

// write is what Enqueue took: records that are committed together.
type write struct {
	ops     []Op
	size    int64
	done    func(error)
	refused error // set: nothing is written, done is told in its turn
}

// perOp is what a record weighs beside key and value, in bytes.
const perOp = 64

// Enqueue hands over a write; its ops are committed together or not at all, and must not be changed
// any more. It never blocks. Writes are committed in the order of Enqueue. done, if not nil, is called
// on the committer's goroutine once the write is on disk, in the same order, or with a fault
// storage_unavailable or payload_too_large; it must not block.
func (s *Store) Enqueue(ops []Op, done func(error)) {
	w := write{ops: ops, done: done}
	for _, op := range ops {
		w.size += int64(len(op.Key)+len(op.Value)) + perOp
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		if done != nil { // not here: the caller may hold what done wants
			go done(fault.New(fault.StorageUnavailable, "The store is closed: the hub is shutting down."))
		}
		return
	}
	if s.bytes+w.size > s.opts.MaxQueued {
		w = write{done: done, refused: fault.New(fault.StorageUnavailable, "More than %d bytes wait to be written.", s.opts.MaxQueued)}
	}
	s.queue = append(s.queue, w)
	s.records += len(w.ops)
	s.bytes += w.size
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Commit enqueues a write and waits until it is on disk. If ctx ends first, the write may still happen.
func (s *Store) Commit(ctx context.Context, ops ...Op) error {
	done := make(chan error, 1)
	s.Enqueue(ops, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// OnCommitted has f called on the committer after the done callbacks of each group, so that what they
// put together can be sent at once.
func (s *Store) OnCommitted(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onCommitted = append(s.onCommitted, f)
}

// Queued says how much waits to be committed.
func (s *Store) Queued() (records int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records, s.bytes
}

func (s *Store) commitAll(ctx context.Context) error {
	for {
		select {
		case <-s.wake:
			s.commitQueued()
		case <-ctx.Done():
			s.mu.Lock()
			s.closed = true
			s.mu.Unlock()
			s.commitQueued()
			return nil
		}
	}
}

// commitQueued commits groups until the queue is empty. While one group is synced the next gathers.
func (s *Store) commitQueued() {
	for {
		s.mu.Lock()
		queue := s.queue
		s.queue = nil
		hooks := s.onCommitted
		s.mu.Unlock()
		if len(queue) == 0 {
			return
		}
		for len(queue) > 0 {
			n := s.commitGroup(queue)
			for _, f := range hooks {
				f()
			}
			queue = queue[n:]
		}
	}
}

// commitGroup commits a transaction of as many writes as it holds, from the first on, and gives their
// number. A write that no transaction holds fails alone.
func (s *Store) commitGroup(queue []write) (n int) {
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	records := 0
	var err error
	for n < len(queue) && (n == 0 || records+len(queue[n].ops) <= s.opts.GroupRecords) {
		if err = set(txn, queue[n].ops); err != nil {
			break
		}
		records += len(queue[n].ops)
		n++
	}
	if err != nil && n == 0 {
		s.finish(queue[:1], tooLarge(err))
		return 1
	}
	if err != nil { // the last write is in txn by half: make the group again without it
		txn.Discard()
		txn = s.db.NewTransaction(true)
		for _, w := range queue[:n] {
			if err := set(txn, w.ops); err != nil {
				s.finish(queue[:n], unavailable(err))
				return n
			}
		}
	}
	if err := txn.Commit(); err != nil {
		s.finish(queue[:n], unavailable(err))
		return n
	}
	s.finish(queue[:n], nil)
	return n
}

func set(txn *badger.Txn, ops []Op) error {
	for _, op := range ops {
		var err error
		if op.Delete {
			err = txn.Delete(op.Key)
		} else {
			e := badger.NewEntry(op.Key, op.Value)
			if op.TTL > 0 {
				e = e.WithTTL(op.TTL)
			}
			err = txn.SetEntry(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finish tells writes how they ended and takes them off the account of what is queued.
func (s *Store) finish(ws []write, err error) {
	s.mu.Lock()
	for _, w := range ws {
		s.records -= len(w.ops)
		s.bytes -= w.size
	}
	s.mu.Unlock()
	for _, w := range ws {
		switch {
		case w.done == nil:
		case w.refused != nil:
			w.done(w.refused)
		default:
			w.done(err)
		}
	}
}

func unavailable(err error) error {
	return fault.Because(err, fault.StorageUnavailable, "The hub could not write to its store.")
}

func tooLarge(err error) error {
	if errors.Is(err, badger.ErrTxnTooBig) {
		return fault.Because(err, fault.PayloadTooLarge, "What is to be kept at once is larger than the store can write at once.")
	}
	return unavailable(err)
}
