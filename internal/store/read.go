package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/livefn/livefn/internal/fault"
)

// ErrNotFound is the answer to a key that is not there.
var ErrNotFound = errors.New("key not found")

// view has f read. Badger reads its files through memory: a page that the disk does not give is a
// fault of the processor, which is made an error here.
func (s *Store) view(f func(txn *badger.Txn) error) (err error) {
	db, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		at, isFault := p.(interface{ Addr() uintptr })
		if !isFault {
			panic(p)
		}
		s.faulted.Store(true)
		s.opts.Log.Error("the disk did not give a page of the store", "address", at.Addr())
		err = fault.New(fault.StorageUnavailable, "The hub could not read its store: the disk did not give what was written there.")
	}()
	return db.View(f)
}

// Get reads a key's value; the caller owns it.
func (s *Store) Get(key []byte) (value []byte, err error) {
	err = s.view(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if err != nil {
			return err
		}
		value, err = s.value(item)
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	return value, err
}

// value reads an item's value. Badger gives an empty one, and no error, for one that is damaged.
func (s *Store) value(item *badger.Item) ([]byte, error) {
	v, err := item.ValueCopy(nil)
	if err == nil && len(v) == 0 && item.ValueSize() > 0 {
		err = errors.New("its checksum is wrong, or its file is not there")
	}
	if err != nil {
		return nil, fault.Because(fmt.Errorf("read the value of a record: %w", err), fault.StorageUnavailable,
			"The hub could not read what it had stored; its value log is damaged.")
	}
	return v, nil
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
	return s.view(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.Reverse, o.PrefetchValues = r.Reverse, false // a prefetch runs on goroutines of Badger's, where view could not catch a fault
		start, skip := r.Start, []byte(nil)
		if r.Reverse {
			if after := successor(r.Prefix); start == nil || after != nil && bytes.Compare(start, after) >= 0 {
				start, skip = after, after // Badger's own prefix option would make the iterator end at after
			}
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
				if v, err = s.value(item); err != nil {
					return err
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

// Record is one key of a Snapshot.
type Record struct {
	Key, Value []byte    // valid until f returns
	Expires    time.Time // zero: never
}

// Snapshot has f see every record as it was when Snapshot began, in the order of keys: all that was
// acknowledged before is among them. It holds the store open; when the store must be closed and opened
// again to write, Snapshot ends with an error.
func (s *Store) Snapshot(ctx context.Context, f func(Record) error) error {
	s.engine.mu.Lock()
	long := s.engine.long
	s.engine.mu.Unlock()
	return s.view(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if long.Err() != nil {
				return fault.New(fault.StorageUnavailable, "The store had to be opened again meanwhile.")
			}
			item := it.Item()
			r := Record{Key: item.Key()}
			if at := item.ExpiresAt(); at > 0 {
				r.Expires = time.Unix(int64(at), 0) //nolint:gosec // seconds since 1970
			}
			var err error
			if r.Value, err = s.value(item); err != nil {
				return err
			}
			if err := f(r); err != nil {
				return err
			}
		}
		return nil
	})
}
