// Package store is the hub's place on disk: Badger, written by one committer that groups writes into
// transactions, so that one fsync acknowledges hundreds of them.
//
// The invariant: writes become durable in the order in which they were enqueued, each wholly or not at
// all, and done is called after the fsync of the group that holds it. Where to look next: commit.go.
package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"golang.org/x/sync/errgroup"
)

// ErrNotFound is the answer to a key that is not there.
var ErrNotFound = errors.New("key not found")

// Options sets the store up. Zero values are the defaults, which were measured (docs/performance.md).
type Options struct {
	MemTableSize     int64         // bytes in memory before a table is written: 16 MiB
	ValueLogFileSize int64         // bytes of one value-log file: 64 MiB
	GroupRecords     int           // records after which a transaction takes no further write: 512
	MaxQueued        int64         // bytes that may wait for the committer: 256 MiB; a write beyond fails with storage_unavailable
	GCEvery          time.Duration // pause between rounds of value-log garbage collection: 5 min
	Log              *slog.Logger  // of Badger's warnings and errors: slog.Default
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
	db   *badger.DB
	opts Options

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
	o = o.withDefaults()
	db, err := badger.Open(badger.DefaultOptions(dir).
		WithSyncWrites(true). // the default loses acknowledged writes on power loss
		WithMemTableSize(o.MemTableSize).
		WithNumMemtables(2).
		WithValueLogFileSize(o.ValueLogFileSize).
		WithValueThreshold(1 << 10).
		WithCompression(options.None).
		WithBlockCacheSize(0). // of no use without compression
		WithIndexCacheSize(0). // indices stay in memory
		WithNumCompactors(2).
		WithDetectConflicts(false). // one writer
		WithMetricsEnabled(false).
		WithLogger(badgerLog{o.Log}))
	if err != nil && strings.Contains(err.Error(), "Another process is using this") { // Badger has no error value for it
		return nil, fmt.Errorf("the store in %s is in use by another hub: stop that one, or give this one a data folder of its own: %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open the store in %s: %w", dir, err)
	}
	return &Store{db: db, opts: o, wake: make(chan struct{}, 1)}, nil
}

// Run commits writes and collects the value log's garbage until ctx ends. Then it commits what is
// queued and returns; later writes fail with storage_unavailable.
func (s *Store) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.commitAll(ctx) })
	g.Go(func() error { return s.collect(ctx) })
	return g.Wait()
}

// Close closes the store, after Run has returned.
func (s *Store) Close() error {
	s.mu.Lock()
	late := s.late
	s.mu.Unlock()
	if late != nil {
		_ = late.Wait() // it has no error to give
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}

// collect runs Badger's value-log garbage collection, which rewrites a file once half of it is stale.
// It runs beside the committer, since a rewrite takes as long as hundreds of groups. The race detector
// reports that (Badger 4.9.6): the rewrite reads the newest version in memory without the lock of the
// goroutine that raises it. An older version than the newest only makes compactions keep more meanwhile.
func (s *Store) collect(ctx context.Context) error {
	tick := time.NewTicker(s.opts.GCEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for ctx.Err() == nil {
				err := s.db.RunValueLogGC(0.5)
				if err == nil {
					continue
				}
				if !errors.Is(err, badger.ErrNoRewrite) && !errors.Is(err, badger.ErrRejected) {
					s.opts.Log.Error("collect the value log's garbage", "error", err)
				}
				break
			}
		}
	}
}

// Size gives the bytes on disk: tables and value log.
func (s *Store) Size() (tables, valueLog int64) { return s.db.Size() }

// Get reads a key's value; the caller owns it.
func (s *Store) Get(key []byte) (value []byte, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if err != nil {
			return err
		}
		value, err = item.ValueCopy(nil)
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	return value, err
}

// Range selects keys for Scan.
type Range struct {
	Prefix   []byte
	Start    []byte // where to begin: this key, or the next one there is; nil: the prefix's first (Reverse: last)
	Reverse  bool
	KeysOnly bool // values are nil
}

// Scan visits the keys of a range in order until f says that it wants no more or fails. Keys and
// values are the caller's. f sees the store as it was when Scan began.
func (s *Store) Scan(r Range, f func(k, v []byte) (more bool, err error)) error {
	return s.db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.Reverse, o.PrefetchValues = r.Reverse, !r.KeysOnly
		start, skip := r.Start, []byte(nil)
		if r.Reverse {
			if after := successor(r.Prefix); start == nil || after != nil && bytes.Compare(start, after) >= 0 {
				start, skip = after, after // Badger's own prefix option would make the iterator end at after
			}
			o.PrefetchValues = false // it would run on before the prefix
		} else {
			o.Prefix = r.Prefix
			if bytes.Compare(start, r.Prefix) < 0 {
				start = r.Prefix
			}
		}
		it := txn.NewIterator(o)
		defer it.Close()
		it.Seek(start)
		if skip != nil && it.Valid() && bytes.Equal(it.Item().Key(), skip) {
			it.Next()
		}
		for ; it.ValidForPrefix(r.Prefix); it.Next() {
			item := it.Item()
			var v []byte
			if !r.KeysOnly {
				var err error
				if v, err = item.ValueCopy(nil); err != nil {
					return fmt.Errorf("read a value: %w", err)
				}
			}
			if more, err := f(item.KeyCopy(nil), v); err != nil || !more {
				return err
			}
		}
		return nil
	})
}

// successor gives the first key after all that begin with prefix; nil if there is none.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != math.MaxUint8 {
			after := bytes.Clone(prefix[:i+1])
			after[i]++
			return after
		}
	}
	return nil
}

// badgerLog passes Badger's warnings and errors on, and its other words at debug level.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(f string, a ...any)   { l.log.Error("badger: " + fmt.Sprintf(f, a...)) }
func (l badgerLog) Warningf(f string, a ...any) { l.log.Warn("badger: " + fmt.Sprintf(f, a...)) }
func (l badgerLog) Infof(f string, a ...any)    { l.log.Debug("badger: " + fmt.Sprintf(f, a...)) }
func (l badgerLog) Debugf(f string, a ...any)   { l.log.Debug("badger: " + fmt.Sprintf(f, a...)) }
