// Package store is the hub's place on disk: Badger, written by one committer that groups writes into
// transactions, so that one fsync acknowledges hundreds of them.
//
// The invariant: writes become durable in the order in which they were enqueued, each wholly or not at
// all, and done is called after the fsync of the group that holds it. An error that time can heal does
// not end a decided write: the store is unavailable until it is on disk (outage.go). Where to look next:
// commit.go.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Options sets the store up. Zero values are the defaults, which were measured (docs/performance.md).
type Options struct {
	MemTableSize     int64         // bytes in memory before a table is written: 16 MiB
	ValueLogFileSize int64         // bytes of one value-log file: 64 MiB
	GroupRecords     int           // records after which a transaction takes no further write: 512
	MaxQueued        int64         // bytes that may wait for the committer: 256 MiB; an offer beyond fails with storage_unavailable
	MinFree          int64         // bytes free on the disk, below which the store is unavailable: 256 MiB; -1: none
	WatchEvery       time.Duration // pause between looks at the disk while nothing is written: 1 s
	RetryMax         time.Duration // longest pause between two tries to get well again: 5 s
	GCEvery          time.Duration // pause between rounds of value-log garbage collection: 5 min
	Log              *slog.Logger  // of Badger's warnings and errors: slog.Default

	Free func() (bytes int64, err error) // says how much room the disk has: what the system says of the store's folder
}

func (o Options) withDefaults() Options {
	if o.MemTableSize == 0 {
		o.MemTableSize = 16 << 20
	}
	if o.ValueLogFileSize == 0 {
		o.ValueLogFileSize = 64 << 20
	}
	if o.GroupRecords == 0 {
		o.GroupRecords = 512
	}
	if o.MaxQueued == 0 {
		o.MaxQueued = 256 << 20
	}
	if o.MinFree == 0 {
		o.MinFree = 256 << 20
	}
	if o.WatchEvery == 0 {
		o.WatchEvery = time.Second
	}
	if o.RetryMax == 0 {
		o.RetryMax = 5 * time.Second
	}
	if o.GCEvery == 0 {
		o.GCEvery = 5 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// Store is an open store. Reads work from Open to Close; writes while Run runs.
type Store struct {
	dir    string
	opts   Options
	disk   disk
	engine engine

	outage  atomic.Pointer[Outage]
	trouble atomic.Pointer[error] // what Badger logged and did not return
	faulted atomic.Bool           // a read ended by a fault of the processor

	// The committer's alone.
	pending  []write // taken from queue, not on disk
	readOnly bool    // the engine is
	doubtful bool    // a commit failed: what the engine holds may not be what is on disk
	pause    time.Duration
	files    folderState

	mu          sync.Mutex // guards all below
	queue       []write
	records     int   // in queue, or being committed
	bytes       int64 // of them
	closing     bool  // Run takes no further write
	ended       bool  // Run has committed its last write
	refusing    bool  // late tells the queue's writes that they came after that
	late        *errgroup.Group
	onCommitted []func()

	wake chan struct{} // has a token when queue may not be empty
}

// Open opens the store in dir, which is made if need be. One process may have it open at a time.
func Open(dir string, o Options) (*Store, error) {
	return openOn(dir, o, func(d disk) disk { return d })
}

// openOn is Open on another disk than the real one.
func openOn(dir string, o Options, of func(disk) disk) (*Store, error) {
	s := &Store{dir: dir, opts: o.withDefaults(), disk: of(realDisk{dir, o.Free}), wake: make(chan struct{}, 1)}
	s.engine.long, s.engine.giveWay = context.WithCancel(context.Background())
	if err := s.begin(); err != nil {
		s.engine.giveWay()
		return nil, err
	}
	return s, nil
}

// Run commits writes and collects the value log's garbage until ctx ends. Then it commits what is
// queued and returns; later writes fail with storage_unavailable.
func (s *Store) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.commitAll(ctx) })
	g.Go(func() error { return s.collect(ctx) })
	return g.Wait()
}

// Close closes the store, after Run has returned. After a failed commit it leaves Badger as a crash
// would, since Badger's own end waits until the disk takes everything.
func (s *Store) Close() error {
	s.mu.Lock()
	late := s.late
	s.mu.Unlock()
	if late != nil {
		_ = late.Wait() // it has no error to give
	}
	s.engine.giveWay()
	switch {
	case s.doubtful || s.faulted.Load():
		return errors.New("close the store: its disk fails; what was not acknowledged is lost")
	case s.engine.db == nil:
		return nil
	}
	if err := s.engine.db.Close(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	if s.readOnly { // its seal is there, or else a later start looks as after a crash
		return nil
	}
	if err := writeSeal(s.dir); err != nil {
		return fmt.Errorf("note that the store is closed: %w", err)
	}
	return nil
}
