package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"

	"github.com/livefn/livefn/internal/crash"
	"github.com/livefn/livefn/internal/fault"
)

// Op is one record of a write.
type Op struct {
	Key, Value []byte
	Delete     bool
	TTL        time.Duration // 0: for ever; else it goes at the first full second after
}

// write is what Enqueue or Offer took: records that are committed together.
type write struct {
	ops     []Op
	size    int64
	done    func(error)
	offered bool  // may be refused
	tried   bool  // a commit that failed held it: it may be on disk, and must not be refused any more
	refused error // set: nothing is written, done is told in its turn
}

// perOp is what a record weighs beside key and value, in bytes.
const perOp = 64

// Enqueue hands over a write that is decided: what follows from it has begun, so it cannot be refused.
// Its ops are committed together or not at all, and must not be changed any more. Enqueue never blocks.
// Writes are committed in the order in which they come. done, if not nil, is called on the committer's
// goroutine once the write is on disk, in the same order, however long an outage lasts; or with
// payload_too_large. It must not block. Once Run is ending every write fails with storage_unavailable;
// done is never called from within Enqueue, since the caller may hold what done wants.
//
// Who enqueues bounds how much: what is decided while the disk takes nothing is kept in memory.
func (s *Store) Enqueue(ops []Op, done func(error)) { s.enqueue(write{ops: ops, done: done}) }

// Offer is Enqueue for a write from which nothing follows before it is done: when the store is
// unavailable, or too much waits already, done is told storage_unavailable soon, and nothing is written.
func (s *Store) Offer(ops []Op, done func(error)) {
	s.enqueue(write{ops: ops, done: done, offered: true})
}

func (s *Store) enqueue(w write) {
	for _, op := range w.ops {
		w.size += int64(len(op.Key)+len(op.Value)) + perOp
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		w = write{done: w.done, refused: fault.New(fault.StorageUnavailable, "The store is closed: the hub is shutting down.")}
	case w.offered && s.bytes+w.size > s.opts.MaxQueued:
		w = write{done: w.done, refused: fault.New(fault.StorageUnavailable, "More than %d bytes wait to be written.", s.opts.MaxQueued)}
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
			queue := s.queue
			s.queue = nil
			if len(queue) == 0 {
				s.refusing = false
				s.mu.Unlock()
				return nil
			}
			s.mu.Unlock()
			s.finish(queue, nil)
			s.flush()
		}
	})
}

// Commit offers a write and waits until it is on disk, or refused. If ctx ends first, the write may still
// happen; and one that was tried when the disk failed waits until it can be known what became of it.
func (s *Store) Commit(ctx context.Context, ops ...Op) error {
	done := make(chan error, 1)
	s.Offer(ops, func(err error) { done <- err })
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

// commitAll commits what is queued until ctx ends. While the store is unavailable it tries again and
// again, and what comes meanwhile waits behind what was decided before.
func (s *Store) commitAll(ctx context.Context) error {
	watch := time.NewTicker(s.opts.WatchEvery)
	defer watch.Stop()
	retry := time.NewTimer(0)
	defer retry.Stop()
	for waiting := true; ; { // for retry
		now := s.Check() == nil
		select {
		case <-s.wake:
		case <-watch.C: // a disk that fills while nothing is written shows here
			if err := s.room(s.opts.MinFree); err != nil && now {
				s.suffer(err)
				now = false
			}
		case <-retry.C:
			waiting, now = false, true
		case <-ctx.Done():
			s.end()
			return nil
		}
		if now {
			s.commitPending()
		} else {
			s.refuseOffers(false)
		}
		if s.Check() != nil && !waiting {
			retry.Reset(s.pause)
			waiting, s.pause = true, min(2*s.pause, s.opts.RetryMax)
		}
	}
}

// end commits what it can a last time, and refuses the rest.
func (s *Store) end() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.commitPending()
	if o, ok := s.Unavailable(); ok {
		s.finish(s.pending, fault.New(fault.StorageUnavailable, "The hub ended before its store could be written again: %s.", o.Reason))
		s.flush()
		s.pending = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.refuseLocked() // what came meanwhile
}

// take empties the queue.
func (s *Store) take() []write {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue := s.queue
	s.queue = nil
	return queue
}

// commitPending commits all that waits, group by group; while one is synced the next gathers. It stops at
// an error that time can heal.
func (s *Store) commitPending() {
	if s.Check() != nil {
		if err := s.repair(); err != nil {
			s.suffer(err)
			return
		}
	}
	for {
		if s.pending = append(s.pending, s.take()...); len(s.pending) == 0 {
			break
		}
		n, err := s.commitGroup(s.pending)
		if err != nil {
			s.suffer(err)
			return
		}
		s.recovered()
		s.flush()
		clear(s.pending[:n])
		s.pending = s.pending[n:]
	}
	s.pending = nil // not the array that a burst filled
	s.recovered()
}

// refuseOffers tells the offers that came, or all that wait, and were not tried, that nothing can be
// written now.
func (s *Store) refuseOffers(all bool) {
	waiting := s.take()
	if all {
		waiting, s.pending = append(s.pending, waiting...), nil
	}
	var refused []write
	for _, w := range waiting {
		switch {
		case w.refused != nil:
			refused = append(refused, w)
		case w.offered && !w.tried:
			w.refused = s.Check()
			refused = append(refused, w)
		default:
			s.pending = append(s.pending, w)
		}
	}
	if len(refused) > 0 {
		s.finish(refused, nil)
		s.flush()
	}
}

// flush lets those send who put together what the done callbacks gave them.
func (s *Store) flush() {
	s.mu.Lock()
	hooks := s.onCommitted
	s.mu.Unlock()
	for _, f := range hooks {
		f()
	}
}

// commitGroup commits a transaction of as many writes as it holds, from the first on, and gives their
// number. A write that no transaction holds fails alone. On an error, which time can heal, the writes that
// were tried may be on disk or not: trying them again is the same as doing them once.
func (s *Store) commitGroup(queue []write) (n int, err error) {
	if queue[0].refused != nil {
		s.finish(queue[:1], nil)
		return 1, nil
	}
	if err := s.room(s.opts.MinFree); err != nil {
		return 0, err
	}
	db := s.engine.db // changed by this goroutine alone
	txn := db.NewTransaction(true)
	defer func() { txn.Discard() }()
	records := 0
	for n < len(queue) && queue[n].refused == nil && (n == 0 || records+len(queue[n].ops) <= s.opts.GroupRecords) {
		if err = s.set(txn, queue[n].ops); err != nil {
			break
		}
		records += len(queue[n].ops)
		n++
	}
	if err != nil && n == 0 {
		if refusal := refusal(err); refusal != nil {
			s.finish(queue[:1], refusal)
			return 1, nil
		}
		return 0, err
	}
	if err != nil { // the last write is in txn by half: make the group again without it
		txn.Discard()
		txn = db.NewTransaction(true)
		for _, w := range queue[:n] {
			if err := s.set(txn, w.ops); err != nil {
				return 0, err
			}
		}
	}
	crash.At(crash.StoreBegin)
	if err := s.sync(txn); err != nil {
		s.doubtful = true
		for i := range queue[:n] {
			queue[i].tried = true
		}
		return 0, err
	}
	crash.At(crash.StoreCommitted)
	s.finish(queue[:n], nil)
	return n, nil
}

// sync commits a transaction; when it returns nil all of it is on disk.
func (s *Store) sync(txn *badger.Txn) error {
	if err := s.disk.commit(); err != nil {
		return err
	}
	if err := txn.Commit(); err != nil {
		return err
	}
	if err := s.disk.synced(); err != nil {
		return err
	}
	if unreturned := s.trouble.Load(); unreturned != nil {
		return *unreturned
	}
	return s.files.sync(s.dir)
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
			crash.At(crash.StoreTold)
		}
	}
}

// refusal is the fault of a write that no transaction ever takes; nil if another time may do.
func refusal(err error) error {
	switch {
	case errors.Is(err, badger.ErrTxnTooBig):
		return fault.Because(err, fault.PayloadTooLarge, "What is to be kept at once is larger than the store can write at once.")
	case errors.Is(err, badger.ErrEmptyKey), errors.Is(err, badger.ErrInvalidKey):
		return fmt.Errorf("write to the store: %w", err) // a key that we should not have made
	}
	return nil
}
