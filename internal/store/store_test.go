package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/livefn/livefn/internal/fault"
)

const childEnv = "LIVEFN_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		acknowledgeUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

var bg = context.Background()

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// open gives a running store in dir; stop ends it, at the latest in Cleanup.
func open(t testing.TB, dir string, o Options) (s *Store, stop func()) {
	t.Helper()
	o.Log = quiet
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, running(t, s)
}

// running runs a store until stop, at the latest in Cleanup.
func running(t testing.TB, s *Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(bg)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func put(k, v string) Op { return Op{Key: []byte(k), Value: []byte(v)} }

func all(t testing.TB, s *Store, r Range) (kvs []string) {
	t.Helper()
	if err := s.Scan(r, func(k, v []byte) (bool, error) {
		kvs = append(kvs, string(k)+"="+string(v))
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	return kvs
}

func TestWritesAreDoneInOrderAndStayAfterReopening(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{GroupRecords: 3})
	var order []int
	var hooks int
	s.OnCommitted(func() { hooks++ })
	last := make(chan struct{})
	for i := range 10 {
		s.Enqueue([]Op{put(fmt.Sprintf("a/%d", i), "x"), put(fmt.Sprintf("b/%d", i), "y")}, func(err error) {
			if err != nil {
				t.Error(err)
			}
			order = append(order, i)
			if i == 9 {
				close(last)
			}
		})
	}
	<-last
	if want := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}; !reflect.DeepEqual(order, want) {
		t.Errorf("order %v", order)
	}
	stop()
	if hooks < 10 { // two writes of two records are over three: a group each
		t.Errorf("%d groups", hooks)
	}
	s, _ = open(t, dir, Options{})
	if got := all(t, s, Range{Prefix: []byte("a/"), Start: []byte("a/7")}); !reflect.DeepEqual(got, []string{"a/7=x", "a/8=x", "a/9=x"}) {
		t.Errorf("from a/7: %v", got)
	}
	if got := all(t, s, Range{Prefix: []byte("a/"), Reverse: true, KeysOnly: true})[:2]; !reflect.DeepEqual(got, []string{"a/9=", "a/8="}) {
		t.Errorf("backwards: %v", got)
	}
	if got := all(t, s, Range{Prefix: []byte("a/"), Start: []byte("a/1"), Reverse: true}); !reflect.DeepEqual(got, []string{"a/1=x", "a/0=x"}) {
		t.Errorf("backwards from a/1: %v", got)
	}
	if _, err := s.Get([]byte("a/99")); err != ErrNotFound {
		t.Errorf("Get of nothing: %v", err)
	}
}

func TestTooLargeAWriteFailsAloneAndTheNextOnesGoOn(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{MemTableSize: 1 << 20})
	many := make([]Op, 3000) // more than 15 % of the table
	for i := range many {
		many[i] = put(fmt.Sprintf("big/%d", i), strings.Repeat("x", 500))
	}
	results := make(chan error, 3)
	s.Enqueue([]Op{put("before", "1")}, func(err error) { results <- err })
	s.Enqueue(many, func(err error) { results <- err })
	s.Enqueue([]Op{put("after", "1")}, func(err error) { results <- err })
	if a, b, c := <-results, <-results, <-results; a != nil || !fault.Is(b, fault.PayloadTooLarge) || c != nil {
		t.Errorf("%v, %v, %v", a, b, c)
	}
	if got := all(t, s, Range{}); !reflect.DeepEqual(got, []string{"after=1", "before=1"}) {
		t.Errorf("kept %v", got)
	}
}

func TestMoreThanOneTransactionHoldsIsSplitBetweenWrites(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{MemTableSize: 1 << 20, GroupRecords: 1 << 20})
	results := make(chan error, 1000)
	for i := range 1000 {
		s.Enqueue([]Op{put(fmt.Sprintf("a/%04d", i), strings.Repeat("x", 900)), put(fmt.Sprintf("b/%04d", i), "y")}, func(err error) { results <- err })
	}
	for range 1000 {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	if a, b := len(all(t, s, Range{Prefix: []byte("a/"), KeysOnly: true})), len(all(t, s, Range{Prefix: []byte("b/")})); a != 1000 || b != 1000 {
		t.Errorf("%d and %d are there", a, b)
	}
	if n, b := s.Queued(); n != 0 || b != 0 {
		t.Errorf("still queued: %d records, %d bytes", n, b)
	}
}

// Badger's own error for it quotes the value, and a value may hold a secret.
func TestAValueOverAFilesSizeIsTooLargeAndIsNotQuoted(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{ValueLogFileSize: 1 << 20})
	for _, op := range []Op{put("a", strings.Repeat("hush", 1<<19)), put(strings.Repeat("hush", 1<<15), "1")} {
		err := s.Commit(bg, op)
		if !fault.Is(err, fault.PayloadTooLarge) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%.200v", err)
		}
	}
	if err := s.Commit(bg, put("", "1")); !fault.Is(fault.From(err), fault.Internal) {
		t.Errorf("no key: %v", err)
	}
	if err := s.Commit(bg, put("b", "1")); err != nil {
		t.Error(err)
	}
}

func TestAFullQueueRefuses(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{MaxQueued: 1 << 10})
	if err := s.Commit(bg, put("a", strings.Repeat("x", 2<<10))); !fault.Is(err, fault.StorageUnavailable) {
		t.Errorf("over the queue's bound: %v", err)
	}
	if err := s.Commit(bg, put("a", "1")); err != nil {
		t.Error(err)
	}
}

// Whoever enqueues may hold what done wants, and callers wait for their answers also when the hub ends.
func TestWhatComesAfterTheEndIsRefusedInOrderAndFlushed(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	flushed := make(chan struct{}, 1000)
	s.OnCommitted(func() { flushed <- struct{}{} })
	var before error
	s.Enqueue([]Op{put("queued", "1")}, func(err error) { before = err })
	ctx, cancel := context.WithCancel(bg)
	cancel()
	if err := s.Run(ctx); err != nil || before != nil {
		t.Fatalf("%v, %v", err, before)
	}
	<-flushed
	var mu sync.Mutex
	var order []int
	for i := range 100 {
		mu.Lock()
		s.Enqueue([]Op{put("late", "1")}, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if !fault.Is(err, fault.StorageUnavailable) {
				t.Errorf("%v", err)
			}
			order = append(order, i)
		})
		mu.Unlock()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if len(order) != 100 || order[i] != i {
			t.Fatalf("order %v", order)
		}
	}
	<-flushed
	if err := s.Commit(bg, put("later", "1")); !fault.Is(err, fault.StorageUnavailable) {
		t.Errorf("closed: %v", err)
	}
	s, _ = open(t, dir, Options{})
	if got := all(t, s, Range{}); !reflect.DeepEqual(got, []string{"queued=1"}) {
		t.Errorf("kept %v", got)
	}
}

func TestASecondHubOnTheSameFolderIsToldWhatToDo(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Options{})
	if _, err := Open(dir, Options{Log: quiet}); err == nil || !strings.Contains(err.Error(), "in use by another hub: stop that one") {
		t.Errorf("%v", err)
	}
}

// eventually waits until f holds; what it waits for happens in Badger, which tells nobody.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick, end := time.NewTicker(20*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal(what)
		}
	}
}

func TestAnExpiringRecordGoesButNotTooEarly(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{})
	op := put("a", "1")
	op.TTL = time.Second
	written := time.Now()
	if err := s.Commit(bg, op); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is still there", func() bool {
		_, err := s.Get([]byte("a"))
		return err == ErrNotFound
	})
	if lived := time.Since(written); lived < op.TTL {
		t.Errorf("it lived %v", lived)
	}
}

// A store of records that are written over and over must not grow for ever. Badger learns what is
// garbage when it compacts tables, so there must be many; long keys fill them soon. Nothing is written
// while it collects: see collect.
func TestTheValueLogsGarbageIsCollected(t *testing.T) {
	dir, small := t.TempDir(), Options{MemTableSize: 1 << 20, ValueLogFileSize: 1 << 20}
	files := func() int {
		names, err := filepath.Glob(filepath.Join(dir, "*.vlog"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	key := func(i int) string { return fmt.Sprintf("%s/%03d", strings.Repeat("k", 1000), i) }
	value := strings.Repeat("v", 1100)
	s, stop := open(t, dir, small)
	round := func() {
		done := make(chan error, 256)
		for i := range 256 {
			s.Enqueue([]Op{put(key(i), value)}, func(err error) { done <- err })
		}
		for range 256 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 80 {
		round()
	}
	stop()
	before := files()
	collecting := small
	collecting.GCEvery = 10 * time.Millisecond
	// Badger learns what is garbage when it compacts tables, which it does as others are written: so there are
	// several turns of writing and collecting. Both at once would be a data race of Badger's (gc.go).
	for turn := 1; ; turn++ {
		s, stop = open(t, dir, collecting)
		if within(2*time.Second, func() bool { return files() < before/2 }) {
			break
		}
		stop()
		if turn == 20 {
			t.Fatalf("%d of %d files of the value log are still there", files(), before)
		}
		s, stop = open(t, dir, small)
		for range 10 {
			round()
		}
		stop()
	}
	for i := range 256 {
		if v, err := s.Get([]byte(key(i))); err != nil || string(v) != value {
			t.Fatalf("%d: %d bytes, %v", i, len(v), err)
		}
	}
}

// within reports whether f becomes true in time.
func within(d time.Duration, f func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(d); ; <-tick.C {
		if f() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// TestWhatWasAcknowledgedSurvivesSIGKILL kills a process that writes from many goroutines and says what
// was acknowledged.
func TestWhatWasAcknowledgedSurvivesSIGKILL(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0]) //nolint:gosec // this test's own binary
	child.Env = append(os.Environ(), childEnv+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var acknowledged []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		acknowledged = append(acknowledged, lines.Text())
		if len(acknowledged) == 2000 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // killed
	if len(acknowledged) < 2000 {
		t.Fatalf("the child ended after %d", len(acknowledged))
	}
	s, _ := open(t, dir, Options{})
	there := map[string]bool{}
	for _, k := range acknowledged {
		there[k] = true
	}
	checkPairs(t, s, there)
}

// acknowledgeUntilKilled writes pairs of records from many goroutines, some of them long, and says which
// were acknowledged.
func acknowledgeUntilKilled(dir string) {
	o := Options{Log: quiet, MemTableSize: 2 << 20, ValueLogFileSize: 4 << 20, MinFree: 1 << 20}
	round := os.Getenv("LIVEFN_TEST_ROUND")
	if round != "" { // of the power-loss test, which runs without the race detector: see collect
		o.GCEvery = 50 * time.Millisecond
	}
	s, err := Open(dir, o)
	if err != nil {
		panic(err)
	}
	go func() { panic(s.Run(bg)) }()
	for p := range 64 {
		go func() {
			for i := 0; ; i++ {
				k := fmt.Sprintf("%s-%d-%d", round, p, i)
				last := put(fmt.Sprintf("last/%d", p), strings.Repeat(k+" ", 100)) // garbage for the value log
				if err := s.Commit(bg, put("a/"+k, k), put("b/"+k, longOf(k)), last); err != nil {
					return
				}
				if _, err := os.Stdout.WriteString(k + "\n"); err != nil {
					return
				}
			}
		}()
	}
	select {}
}

// longOf gives the value of b/k: every fourth one is for the value log.
func longOf(k string) string {
	if strings.HasSuffix(k, "0") || strings.HasSuffix(k, "4") || strings.HasSuffix(k, "8") {
		return strings.Repeat(k, 1+1500/len(k))
	}
	return k
}

// checkPairs sees that all acknowledged pairs are there, and none by half.
func checkPairs(t *testing.T, s *Store, acknowledged map[string]bool) {
	t.Helper()
	pairs := map[string]int{}
	if err := s.Scan(Range{Prefix: []byte("a/")}, func(k, v []byte) (bool, error) {
		if name := string(k[2:]); string(v) == name {
			pairs[name]++
		}
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Scan(Range{Prefix: []byte("b/")}, func(k, v []byte) (bool, error) {
		if name := string(k[2:]); string(v) == longOf(name) {
			pairs[name] += 2
		} else {
			t.Errorf("the value of b/%s has %d bytes", name, len(v))
		}
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	for k, halves := range pairs {
		if halves != 3 {
			t.Errorf("of %s there is the half %d", k, halves)
		}
	}
	var lost []string
	for k := range acknowledged {
		if pairs[k] != 3 {
			lost = append(lost, k)
		}
	}
	if len(lost) > 0 {
		t.Errorf("%d of %d acknowledged are not there, such as %s", len(lost), len(acknowledged), lost[0])
	}
}

// TestStoreBehavesAsAMap drives random writes, scans both ways and reopenings against a map.
func TestStoreBehavesAsAMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		small := Options{MemTableSize: 1 << 20, ValueLogFileSize: 1 << 20}
		s, stop := open(t, dir, small)
		defer func() { stop() }()
		model := map[string]string{}
		bytesOf := func(min, max int) *rapid.Generator[string] { // few letters, the last one among them
			return rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte{'a', 'b', 0xfe, 0xff}), min, max), func(b []byte) string { return string(b) })
		}
		reopenings := 0
		rt.Repeat(map[string]func(*rapid.T){
			"write": func(rt *rapid.T) {
				var ops []Op
				for range rapid.IntRange(1, 4).Draw(rt, "ops") {
					op := put(bytesOf(1, 6).Draw(rt, "key"), rapid.String().Draw(rt, "value"))
					op.Delete = rapid.Bool().Draw(rt, "delete")
					ops = append(ops, op)
					if op.Delete {
						delete(model, string(op.Key))
					} else {
						model[string(op.Key)] = string(op.Value)
					}
				}
				if err := s.Commit(bg, ops...); err != nil {
					rt.Fatal(err)
				}
			},
			"reopen": func(rt *rapid.T) {
				if reopenings++; reopenings > 1 {
					rt.Skip("once is enough")
				}
				stop()
				s, stop = open(t, dir, small)
			},
			"scan": func(rt *rapid.T) {
				r := Range{Prefix: []byte(bytesOf(0, 3).Draw(rt, "prefix")), Reverse: rapid.Bool().Draw(rt, "reverse"), KeysOnly: rapid.Bool().Draw(rt, "keys only")}
				if rapid.Bool().Draw(rt, "from") {
					r.Start = []byte(bytesOf(1, 6).Draw(rt, "start"))
				}
				var want []string
				for _, k := range slices.Sorted(maps.Keys(model)) {
					v := model[k]
					if r.KeysOnly {
						v = ""
					}
					before := r.Start != nil && (k < string(r.Start) && !r.Reverse || k > string(r.Start) && r.Reverse)
					if strings.HasPrefix(k, string(r.Prefix)) && !before {
						want = append(want, k+"="+v)
					}
				}
				if r.Reverse {
					slices.Reverse(want)
				}
				if got := all(t, s, r); !reflect.DeepEqual(got, want) {
					rt.Fatalf("scan of %+v\n gave %q\nwanted %q", r, got, want)
				}
			},
			"": func(rt *rapid.T) {
				if got := all(t, s, Range{}); len(got) != len(model) {
					rt.Fatalf("store %q, model %q", got, model)
				}
				for k, v := range model {
					if got, err := s.Get([]byte(k)); err != nil || string(got) != v {
						rt.Fatalf("%q is %q, %v; want %q", k, got, err, v)
					}
				}
			},
		})
	})
}

// BenchmarkPauses writes what a pause writes, a record of 300 bytes and an event of 150, from 64
// goroutines at once: grouped by the committer, and transaction by transaction.
func BenchmarkPauses(b *testing.B) {
	record, event := bytes.Repeat([]byte("r"), 300), bytes.Repeat([]byte("e"), 150)
	ops := func(i uint64) []Op {
		k := binary.BigEndian.AppendUint64(nil, i)
		return []Op{{Key: append([]byte("x/"), k...), Value: record}, {Key: append([]byte("e/"), k...), Value: event}}
	}
	for _, producers := range []int{1, 64, 512} {
		for _, grouped := range []bool{true, false} {
			b.Run(fmt.Sprintf("producers=%d/grouped=%v", producers, grouped), func(b *testing.B) {
				s, _ := open(b, b.TempDir(), Options{})
				var wg sync.WaitGroup
				next := make(chan uint64, producers)
				b.ResetTimer()
				for range producers {
					wg.Go(func() {
						for i := range next {
							var err error
							if grouped {
								err = s.Commit(bg, ops(i)...)
							} else {
								txn := s.engine.db.NewTransaction(true)
								if err = s.set(txn, ops(i)); err == nil {
									err = txn.Commit()
								}
							}
							if err != nil {
								b.Error(err)
							}
						}
					})
				}
				for i := range b.N {
					next <- uint64(i)
				}
				close(next)
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pauses/s")
			})
		}
	}
}
