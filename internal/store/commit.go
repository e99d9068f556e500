package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"

	"github.com/livefn/livefn/internal/fault"
)

// Op is one record of a write.
type Op struct {
	Key, Value []byte
	Delete     bool
	TTL        time.Duration // 0: for ever; else it goes at the first full second after
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
// storage_unavailable or payload_too_large; it must not block. Once Run is ending every write fails
// with storage_unavailable, in order too; done is never called from within Enqueue, since the caller
// may hold what done wants.
func (s *Store) Enqueue(ops []Op, done func(error)) {
	w := write{ops: ops, done: done}
	for _, op := range ops {
		w.size += int64(len(op.Key)+len(op.Value)) + perOp
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		w = write{done: done, refused: fault.New(fault.StorageUnavailable, "The store is closed: the hub is shutting down.")}
	case s.bytes+w.size > s.opts.MaxQueued:
		w = write{done: done, refused: fault.New(fault.StorageUnavailable, "More than %d bytes wait to be written.", s.opts.MaxQueued)}
	}
	s.queue = append(s.queue, w)
	s.records += len(w.ops)
	s.bytes += w.size
	if s.ended {
		s.refuseLocked()
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// refuseLocked sees to it that somebody tells the writes in the queue that they came too late.
func (s *Store) refuseLocked() {
	if s.refusing || len(s.queue) == 0 {
		return
	}
	s.refusing = true
	s.late = new(errgroup.Group) // Close waits for it
	s.late.Go(func() error {
		for {
			s.mu.Lock()
			queue, hooks := s.queue, s.onCommitted
			s.queue = nil
			if len(queue) == 0 {
				s.refusing = false
				s.mu.Unlock()
				return nil
			}
			s.mu.Unlock()
			s.finish(queue, nil)
			for _, f := range hooks {
				f()
			}
		}
	})
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
			for queue := s.take(false); len(queue) > 0; queue = s.take(false) {
				s.commitQueue(queue) // while one group is synced the next gathers
			}
		case <-ctx.Done():
			s.commitQueue(s.take(true))
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ended = true
			s.refuseLocked() // what came meanwhile
			return nil
		}
	}
}

// take empties the queue; the last time is when no further write is accepted.
func (s *Store) take(last bool) []write {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = s.closing || last
	queue := s.queue
	s.queue = nil
	return queue
}

// commitQueue commits writes, group by group.
func (s *Store) commitQueue(queue []write) {
	for len(queue) > 0 {
		n := s.commitGroup(queue)
		s.mu.Lock()
		hooks := s.onCommitted
		s.mu.Unlock()
		for _, f := range hooks {
			f()
		}
		queue = queue[n:]
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
		if err = s.set(txn, queue[n].ops); err != nil {
			break
		}
		records += len(queue[n].ops)
		n++
	}
	if err != nil && n == 0 {
		s.finish(queue[:1], refusal(err))
		return 1
	}
	if err != nil { // the last write is in txn by half: make the group again without it
		txn.Discard()
		txn = s.db.NewTransaction(true)
		for _, w := range queue[:n] {
			if err := s.set(txn, w.ops); err != nil {
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

// maxKey is Badger's bound on a key, in bytes.
const maxKey = 65_000

func (s *Store) set(txn *badger.Txn, ops []Op) error {
	for _, op := range ops {
		if len(op.Key) > maxKey || int64(len(op.Value)) > s.opts.ValueLogFileSize {
			return badger.ErrTxnTooBig // Badger's own error would quote the value, and with it what is secret
		}
		var err error
		if op.Delete {
			err = txn.Delete(op.Key)
		} else {
			e := badger.NewEntry(op.Key, op.Value)
			if op.TTL > 0 { // Badger counts full seconds, and WithTTL rounds down
				e.ExpiresAt = uint64(time.Now().Add(op.TTL + time.Second - 1).Unix())
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

// refusal is the fault of a write that no transaction takes.
func refusal(err error) error {
	switch {
	case errors.Is(err, badger.ErrTxnTooBig):
		return fault.Because(err, fault.PayloadTooLarge, "What is to be kept at once is larger than the store can write at once.")
	case errors.Is(err, badger.ErrEmptyKey), errors.Is(err, badger.ErrInvalidKey):
		return fmt.Errorf("write to the store: %w", err) // a key that we should not have made
	}
	return unavailable(err)
}
