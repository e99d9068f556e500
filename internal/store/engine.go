package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/livefn/livefn/internal/fault"
)

// engine is the open Badger, which is closed and opened again in place: after an error nothing that it
// holds in memory says any more what is on disk, and while a disk is full it must not write at all.
type engine struct {
	mu      sync.Mutex // guards all below
	db      *badger.DB // nil: none is open
	readers int
	swap    chan struct{}      // not nil while db is changed; closed after
	closed  chan struct{}      // not nil while the change waits for readers; closed by the last one
	shut    bool               // the change waits no longer for readers that find others at work
	long    context.Context    //nolint:containedctx // ends when long readers are to give way
	giveWay context.CancelFunc // ends long
}

// swapPatience is how long a change of the engine lets new reads in beside running ones (a read within a
// read must not wait for the change, which waits for the outer one), and how long a read waits for a change.
const swapPatience = 2 * time.Second

// errFaulted: a read that ended by a fault keeps a lock within Badger, which could not be closed any more.
var errFaulted = errors.New("the disk did not give a page; the store can be opened again by a new process alone")

var errNoEngine = fault.New(fault.StorageUnavailable, "The hub could not open its store again yet; it goes on trying.")

// acquire gives the open engine, which stays open until release.
func (s *Store) acquire() (*badger.DB, error) {
	e := &s.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.swap != nil && (e.readers == 0 || e.shut) {
		swap := e.swap
		e.mu.Unlock()
		patience := time.NewTimer(swapPatience)
		select {
		case <-swap:
		case <-patience.C:
			e.mu.Lock()
			return nil, errNoEngine
		}
		patience.Stop()
		e.mu.Lock()
	}
	if e.db == nil {
		return nil, errNoEngine
	}
	e.readers++
	return e.db, nil
}

func (s *Store) release() {
	e := &s.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.readers--; e.readers == 0 && e.closed != nil {
		close(e.closed)
		e.closed = nil
	}
}

// change replaces the engine by what f makes of it, while nobody reads. On an error there is none.
func (s *Store) change(f func(old *badger.DB) (*badger.DB, error)) error {
	e := &s.engine
	e.mu.Lock()
	e.swap = make(chan struct{})
	e.giveWay()
	if e.readers > 0 {
		closed := make(chan struct{})
		e.closed = closed
		e.mu.Unlock()
		patience := time.NewTimer(swapPatience)
		select {
		case <-closed:
		case <-patience.C:
			e.mu.Lock()
			e.shut = true
			e.mu.Unlock()
			<-closed
		}
		patience.Stop()
		e.mu.Lock()
	}
	old := e.db
	e.mu.Unlock() // with no readers, all others wait for swap
	db, err := f(old)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		db = nil
	}
	e.db, e.shut = db, false
	e.long, e.giveWay = context.WithCancel(context.Background())
	close(e.swap)
	e.swap = nil
	return err
}

// reopen closes the engine and opens another one, to read alone or to write as well.
func (s *Store) reopen(readOnly bool) error {
	if s.faulted.Load() {
		return errFaulted
	}
	err := s.change(func(old *badger.DB) (*badger.DB, error) {
		if old != nil {
			if err := s.closeWithin(old, closePatience); err != nil {
				return nil, err
			}
		}
		return s.open(readOnly)
	})
	if err == nil {
		s.readOnly, s.doubtful = readOnly, false
	}
	return err
}

// closePatience is how long Badger may take to close on a disk that seems well.
const closePatience = 30 * time.Second

// errStuck: Badger holds its folder, and nobody can open it but another process.
var errStuck = errors.New("the store could not be closed to open it again")

// closeWithin closes an engine. Badger tries for ever to write its last table, and cannot be stopped: then
// the goroutine ends with the process, and nothing more is tried.
func (s *Store) closeWithin(db *badger.DB, patience time.Duration) error {
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case err := <-closed:
		if err != nil { // what was acknowledged is on disk whatever became of the rest
			s.opts.Log.Warn("close the store to open it again", "error", err)
		}
		return nil
	case <-limit.C:
		s.faulted.Store(true)
		return errStuck
	}
}

// open opens Badger in the store's folder.
func (s *Store) open(readOnly bool) (*badger.DB, error) {
	s.trouble.Store(nil)
	if !readOnly {
		if err := breakSeal(s.dir); err != nil {
			return nil, fmt.Errorf("open the store in %s: %w", s.dir, err)
		}
	}
	o := badger.DefaultOptions(s.dir).
		WithReadOnly(readOnly).
		WithSyncWrites(true). // the default loses acknowledged writes on power loss
		WithMemTableSize(s.opts.MemTableSize).
		WithNumMemtables(2).
		WithValueLogFileSize(s.opts.ValueLogFileSize).
		WithValueThreshold(1 << 10).
		WithVerifyValueChecksum(true).
		WithCompression(options.None).
		WithBlockCacheSize(0). // of no use without compression
		WithIndexCacheSize(0). // indices stay in memory
		WithNumCompactors(2).
		WithDetectConflicts(false). // one writer
		WithMetricsEnabled(false).
		WithLogger(badgerLog{s.opts.Log, &s.trouble})
	db, err := badger.Open(o)
	switch {
	case err == nil:
		return db, nil
	case strings.Contains(err.Error(), "Another process is using this"): // Badger has no error value for it
		return nil, fmt.Errorf("the store in %s is in use by another hub: stop that one, or give this one a data folder of its own: %w", s.dir, err)
	}
	return nil, fmt.Errorf("open the store in %s: %w", s.dir, err)
}

// badgerLog passes Badger's warnings and errors on, and its other words at debug level. trouble is an
// error that Badger does not return.
type badgerLog struct {
	log     *slog.Logger
	trouble *atomic.Pointer[error]
}

// unreturned begins the message of a failed sync of the value log, which Badger 4.9 logs and then goes on
// as if the values were on disk.
const unreturned = "Error while curlf sync"

func (l badgerLog) Errorf(f string, a ...any) {
	message := fmt.Sprintf(f, a...)
	if strings.HasPrefix(f, unreturned) {
		err := errors.New(message)
		l.trouble.Store(&err)
	}
	l.log.Error("badger: " + message)
}
func (l badgerLog) Warningf(f string, a ...any) { l.log.Warn("badger: " + fmt.Sprintf(f, a...)) }
func (l badgerLog) Infof(f string, a ...any)    { l.log.Debug("badger: " + fmt.Sprintf(f, a...)) }
func (l badgerLog) Debugf(f string, a ...any)   { l.log.Debug("badger: " + fmt.Sprintf(f, a...)) }
