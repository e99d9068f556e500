package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// Outage is a time in which the store cannot write. Reads go on, from what was committed before; after a
// commit that failed they may also show what it held, which is decided, and on disk once the outage ends.
type Outage struct {
	Since  time.Time
	Reason string
}

// Unavailable gives the outage there is now.
func (s *Store) Unavailable() (o Outage, ok bool) {
	if p := s.outage.Load(); p != nil {
		return *p, true
	}
	return Outage{}, false
}

// Check is what durable work is to pass before it is accepted: one atomic load. It gives a fault
// storage_unavailable during an outage.
func (s *Store) Check() error {
	o := s.outage.Load()
	if o == nil {
		return nil
	}
	f := fault.New(fault.StorageUnavailable, "The hub cannot write to its store since %s: %s. Nothing was accepted; calls go on working.",
		o.Since.UTC().Format(time.RFC3339), o.Reason)
	f.RetryAfter = s.opts.RetryMax
	return f
}

// retryFirst is the pause before the first try to get well again; each further one is twice as long.
const retryFirst = 100 * time.Millisecond

// begin opens the engine: to read alone if the disk has no room for writes.
func (s *Store) begin() error {
	if err := checkFormat(s.dir); err != nil {
		return err
	}
	if err := check(s.dir); err != nil {
		return err
	}
	if err := s.room(s.opts.MinFree); err != nil {
		var full diskFull
		if !errors.As(err, &full) {
			return fmt.Errorf("open the store in %s: %w", s.dir, err)
		}
		if _, err := os.Stat(s.dir + "/MANIFEST"); err != nil {
			return fmt.Errorf("open the store in %s: %w", s.dir, full)
		}
		if err := s.reopen(true); err != nil { // a crash left what only a store that writes can read
			return fmt.Errorf("open the store in %s: %w; the hub ended without closing it, and needs that room to open it again: %w", s.dir, full, err)
		}
		s.suffer(full)
		return nil
	}
	if err := s.reopen(false); err != nil {
		return err
	}
	if err := noteFormat(s.dir); err != nil {
		return errors.Join(fmt.Errorf("note the store's format: %w", err), s.engine.db.Close())
	}
	return nil
}

// room says whether the disk has as much room as is needed. Badger writes into files without blocks,
// through memory: on a full disk that ends the process, so that it must never come to it.
func (s *Store) room(need int64) error {
	if s.opts.MinFree < 0 {
		return nil
	}
	free, err := s.disk.free()
	switch {
	case errors.Is(err, fs.ErrNotExist): // before the folder is made
		return nil
	case err != nil:
		return fmt.Errorf("ask for the disk's free space: %w", err)
	case free < need:
		return diskFull{free, need}
	}
	return nil
}

// diskFull is the error of a disk with too little room.
type diskFull struct{ free, need int64 }

func (e diskFull) Error() string {
	return fmt.Sprintf("the disk is full: %d MiB are free, %d MiB are needed", e.free>>20, (e.need+1<<20-1)>>20)
}

// suffer notes why the store cannot write, and refuses what may be refused.
func (s *Store) suffer(err error) {
	o := Outage{Since: time.Now(), Reason: plainly(err)}
	if before := s.outage.Load(); before != nil {
		o.Since = before.Since
	} else {
		s.pause = retryFirst
		s.opts.Log.Error("the store is unavailable: durable work is refused, calls go on", "reason", o.Reason, "error", err)
	}
	s.outage.Store(&o)
	s.refuseOffers(true)
	var full diskFull
	if errors.As(err, &full) && !s.readOnly && !s.doubtful && full.free > 4*s.opts.MemTableSize {
		if err := s.reopen(true); err != nil { // so that no compaction fills what is left
			s.opts.Log.Error("open the store for reading", "error", err)
		}
	}
}

// plainly says what an error means to the operator.
func plainly(err error) string {
	var full diskFull
	switch {
	case errors.As(err, &full):
		return full.Error()
	case errors.Is(err, errFaulted), errors.Is(err, errStuck):
		return "the disk failed, and the hub must be started again once it is well"
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full"
	case errors.Is(err, syscall.EDQUOT):
		return "the disk quota is used up"
	case errors.Is(err, syscall.EROFS):
		return "the disk is read-only"
	case errors.Is(err, syscall.EIO):
		return "the disk fails (I/O error)"
	}
	return "a write failed; the hub's log has the error"
}

// repair tries to make the store writable again.
func (s *Store) repair() error {
	if err := s.room(s.opts.MinFree + s.opts.MinFree/4); err != nil { // not at the edge, to fall back at once
		return err
	}
	if err := s.disk.probe(); err != nil {
		return fmt.Errorf("write a file beside the store: %w", err)
	}
	s.engine.mu.Lock()
	open := s.engine.db != nil
	s.engine.mu.Unlock()
	if open && !s.readOnly && !s.doubtful {
		return nil
	}
	return s.reopen(false)
}

// recovered ends the outage.
func (s *Store) recovered() {
	o := s.outage.Swap(nil)
	if o == nil {
		return
	}
	s.pause = 0
	s.opts.Log.Warn("the store is available again", "reason", o.Reason, "after", time.Since(o.Since).Round(time.Millisecond))
}
