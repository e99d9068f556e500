package store

import (
	"context"
	"errors"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// collect runs Badger's value-log garbage collection, which rewrites a file once half of it is stale.
// It runs beside the committer, since a rewrite takes as long as hundreds of groups. The race detector
// reports that (Badger 4.9.6): the rewrite reads the newest version in memory without the lock of the
// goroutine that raises it. An older version than the newest only makes compactions keep more meanwhile.
// A rewrite needs room on the disk before it gives some back: there is none while the store is unavailable.
func (s *Store) collect(ctx context.Context) error {
	tick := time.NewTicker(s.opts.GCEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for ctx.Err() == nil && s.Check() == nil {
				err := s.collectOne()
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

func (s *Store) collectOne() error {
	db, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release()
	return db.RunValueLogGC(0.5)
}

// Size gives the bytes on disk: tables and value log. Badger measures them once a minute.
func (s *Store) Size() (tables, valueLog int64) {
	db, err := s.acquire()
	if err != nil {
		return 0, 0
	}
	defer s.release()
	return db.Size()
}
