package store

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// failing is the real disk with faults of the test's choice.
type failing struct {
	disk
	mu       sync.Mutex // guards all below
	room     int64      // 0: what the disk has
	probing  error
	before   error // of a transaction, before Badger gets it
	after    error // of a transaction that Badger took
	attempts int
}

func (f *failing) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *failing) free() (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.room != 0 {
		return f.room, nil
	}
	return f.disk.free()
}

func (f *failing) probe() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.probing, f.disk.probe())
}

func (f *failing) commit() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attempts++
	return f.before
}

func (f *failing) synced() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.after
}

// openFailing gives a running store on a disk that the test can break.
func openFailing(t *testing.T, dir string, o Options) (*Store, *failing, func()) {
	t.Helper()
	o.Log, o.WatchEvery, o.RetryMax = quiet, 10*time.Millisecond, 20*time.Millisecond
	f := &failing{}
	s, err := openOn(dir, o, func(d disk) disk {
		f.disk = d
		return f
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, f, running(t, s)
}

// Decided is decided: whoever was told of nothing must find everything once the disk is well again, in
// the order of its deciding, and nobody must be told that it failed.
func TestDecidedWritesOutliveAnOutageInOrder(t *testing.T) {
	before := func(f *failing, err error) { f.before = err }
	after := func(f *failing, err error) { f.after = err } // it is on disk, and nobody knows
	noRoom := func(f *failing, err error) {
		if f.room = 0; err != nil {
			f.room = 200 << 20
		}
	}
	for name, c := range map[string]struct {
		breakDisk func(f *failing, err error)
		err       error
		reason    string
	}{
		"full, before the transaction": {before, syscall.ENOSPC, "the disk is full"},
		"full, after it":               {after, syscall.ENOSPC, "the disk is full"},
		"no room":                      {noRoom, syscall.ENOSPC, "the disk is full"},
		"quota":                        {before, syscall.EDQUOT, "the disk quota is used up"},
		"read-only":                    {before, syscall.EROFS, "the disk is read-only"},
		"read-only, after it":          {after, syscall.EROFS, "the disk is read-only"},
		"failing":                      {after, syscall.EIO, "the disk fails (I/O error)"},
	} {
		breakDisk := c.breakDisk
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, f, stop := openFailing(t, dir, Options{GroupRecords: 3})
			if err := s.Commit(bg, put("before", "1")); err != nil {
				t.Fatal(err)
			}
			f.set(func() { breakDisk(f, c.err) })
			var told atomic.Int32
			var order []int
			for i := range 100 {
				s.Enqueue([]Op{put("same", fmt.Sprint(i)), put(fmt.Sprintf("x/%02d", i), "1")}, func(err error) {
					if err != nil {
						t.Error(err)
					}
					order = append(order, i)
					told.Add(1)
				})
			}
			eventually(t, "no outage", func() bool { return s.Check() != nil })
			if err := s.Commit(bg, put("new", "1")); !fault.Is(err, fault.StorageUnavailable) {
				t.Errorf("an offer during the outage: %v", err)
			}
			if v, err := s.Get([]byte("before")); err != nil || string(v) != "1" {
				t.Errorf("a read during the outage: %q, %v", v, err)
			}
			if o, _ := s.Unavailable(); !strings.Contains(o.Reason, c.reason) || time.Since(o.Since) > time.Minute {
				t.Errorf("%+v", o)
			}
			if n := told.Load(); n != 0 {
				t.Errorf("%d writes were told an end that they have not", n)
			}
			f.set(func() { breakDisk(f, nil) })
			eventually(t, "the outage does not end", func() bool { return s.Check() == nil && told.Load() == 100 })
			for i, got := range order {
				if i != got {
					t.Fatalf("order %v", order)
				}
			}
			if err := s.Commit(bg, put("after", "1")); err != nil {
				t.Error(err)
			}
			stop()
			s, _ = open(t, dir, Options{})
			if got := all(t, s, Range{Prefix: []byte("x/"), KeysOnly: true}); len(got) != 100 {
				t.Errorf("%d of 100 are there", len(got))
			}
			if got, want := all(t, s, Range{Start: []byte("a"), Prefix: nil})[:3], []string{"after=1", "before=1", "same=99"}; !reflect.DeepEqual(got, want) {
				t.Errorf("kept %q, want %q", got, want)
			}
		})
	}
}

// An offer that may be on disk must not be called refused; it is answered once that is known.
func TestAnOfferThatWasTriedIsNotDenied(t *testing.T) {
	s, f, _ := openFailing(t, t.TempDir(), Options{})
	f.set(func() { f.after = syscall.EIO })
	done := make(chan error, 1)
	s.Offer([]Op{put("a", "1")}, func(err error) { done <- err })
	eventually(t, "no outage", func() bool { return s.Check() != nil })
	if o, _ := s.Unavailable(); o.Reason != "the disk fails (I/O error)" {
		t.Errorf("%+v", o)
	}
	select {
	case err := <-done:
		t.Fatalf("told %v", err)
	default:
	}
	f.set(func() { f.after = nil })
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What the disk does not take when the hub ends is told so: its record says what was before.
func TestAnEndDuringAnOutageTellsWhatWasNotWritten(t *testing.T) {
	dir := t.TempDir()
	s, f, stop := openFailing(t, dir, Options{})
	if err := s.Commit(bg, put("a", "1")); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.room = 100 << 20 })
	done := make(chan error, 1)
	s.Enqueue([]Op{put("a", "2")}, func(err error) { done <- err })
	eventually(t, "no outage", func() bool { return s.Check() != nil })
	stop()
	if err := <-done; !fault.Is(err, fault.StorageUnavailable) || !strings.Contains(err.Error(), "100 MiB are free") {
		t.Errorf("%v", err)
	}
	s, _ = open(t, dir, Options{})
	if v, err := s.Get([]byte("a")); err != nil || string(v) != "1" {
		t.Errorf("%q, %v", v, err)
	}
}

// A hub that starts on a full disk serves what needs no disk, and gets well by itself.
func TestAStoreOpensOnAFullDiskForReading(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	if err := s.Commit(bg, put("a", "1")); err != nil {
		t.Fatal(err)
	}
	stop()
	f := &failing{room: 1 << 20}
	s, err := openOn(dir, Options{Log: quiet, WatchEvery: 10 * time.Millisecond, RetryMax: 20 * time.Millisecond}, func(d disk) disk {
		f.disk = d
		return f
	})
	if err != nil {
		t.Fatal(err)
	}
	running(t, s)
	if v, err := s.Get([]byte("a")); err != nil || string(v) != "1" {
		t.Errorf("%q, %v", v, err)
	}
	if err := s.Commit(bg, put("b", "1")); !fault.Is(err, fault.StorageUnavailable) {
		t.Errorf("%v", err)
	}
	f.set(func() { f.room = 0 })
	eventually(t, "it stays unavailable", func() bool { return s.Check() == nil })
	if err := s.Commit(bg, put("b", "1")); err != nil {
		t.Error(err)
	}
}

// A scan's callback may read again, while the store is closed and opened below it. Readers that leave no
// gap make way in the end: theirs are the reads that fail.
func TestReadsWithinReadsDoNotStopAReopening(t *testing.T) {
	s, f, _ := openFailing(t, t.TempDir(), Options{})
	for i := range 100 {
		if err := s.Commit(bg, put(fmt.Sprint(i), "1")); err != nil {
			t.Fatal(err)
		}
	}
	end := make(chan struct{})
	var wg sync.WaitGroup
	var read atomic.Int32
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				n := 0
				if err := s.Scan(Range{KeysOnly: true}, func(k, _ []byte) (bool, error) {
					n++
					_, err := s.Get(k)
					return true, err
				}); err == nil && n < 100 || err != nil && !fault.Is(err, fault.StorageUnavailable) {
					t.Errorf("%d, %v", n, err)
					return
				} else if err == nil {
					read.Add(1)
				}
			}
		})
	}
	for i := range 3 {
		f.set(func() { f.after = syscall.EIO })
		done := make(chan error, 1)
		s.Enqueue([]Op{put(fmt.Sprint("more", i), "1")}, func(err error) { done <- err })
		eventually(t, "no outage", func() bool { return s.Check() != nil })
		f.set(func() { f.after = nil })
		if err := <-done; err != nil {
			t.Error(err)
		}
		before := read.Load()
		eventually(t, "reads fail still", func() bool { return read.Load() > before })
	}
	close(end)
	wg.Wait()
}
