package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// smallDiskEnv names the folder on which a child process of a test mounts its small disk.
const smallDiskEnv = "LIVEFN_TEST_SMALL_DISK"

// onSmallDisk runs the calling test again in a process with a mount namespace of its own, where it gets
// a disk of so many MiB (a tmpfs, which refuses a page as any full file system does), and gives its
// folder; in the test's own process it gives "" once that one has passed. It needs root, or a system that
// lets users make namespaces.
func onSmallDisk(t *testing.T, mib int) string {
	t.Helper()
	if dir := os.Getenv(smallDiskEnv); dir != "" {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatalf("make the mounts private: %v", err)
		}
		if err := syscall.Mount("livefn-test", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
			t.Fatalf("mount a small disk: %v", err)
		}
		return dir
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m") //nolint:gosec // this test's own binary
	child.Env = append(os.Environ(), smallDiskEnv+"="+t.TempDir())
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		child.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in a namespace of its own: %v\n%.20000s", err, out)
	}
	return ""
}

// fill writes a file until the disk takes nothing more; empty removes it.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range [][]byte{make([]byte, 1<<20), make([]byte, 4<<10)} {
		pace := time.NewTicker(5 * time.Millisecond) // 200 MiB/s: memory takes more than a disk would
		for err = nil; err == nil; {
			<-pace.C
			_, err = f.Write(piece)
		}
		pace.Stop()
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("fill the disk: %v", err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// TestAFullDiskStopsWritesAndNothingElse lets somebody else fill the disk to its last page while the
// store writes and compacts, again and again. Without MinFree this test ends by SIGBUS.
func TestAFullDiskStopsWritesAndNothingElse(t *testing.T) {
	dir := onSmallDisk(t, 320)
	if dir == "" {
		return
	}
	data := filepath.Join(dir, "store")
	s, stop := open(t, data, Options{
		MemTableSize: 1 << 20, ValueLogFileSize: 2 << 20, MinFree: 128 << 20, WatchEvery: 5 * time.Millisecond,
		RetryMax: 20 * time.Millisecond,
	})
	var acknowledged, decided atomic.Int64 // highest number of a round's writer, by writer
	var refused, told atomic.Int64
	end := make(chan struct{})
	var wg sync.WaitGroup
	long := strings.Repeat("v", 2000)
	for p := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-end:
					return
				default:
				}
				n := fmt.Sprint(i)
				// A small ring of keys, so that the disk's content stays bounded.
				ops := []Op{put(fmt.Sprintf("%d/last", p), n), put(fmt.Sprintf("%d/%03d", p, i%500), n+long)}
				if i%2 == 0 {
					decided.Add(1)
					done := make(chan error, 1)
					s.Enqueue(ops, func(err error) { done <- err })
					if err := <-done; err != nil {
						t.Errorf("decided, and told %v", err)
					}
					told.Add(1)
				} else if err := s.Commit(bg, ops...); fault.Is(err, fault.StorageUnavailable) {
					refused.Add(1)
					i++ // the next is an offer again
					<-time.After(time.Millisecond)
				} else if err != nil {
					t.Error(err)
				} else {
					acknowledged.Add(1)
				}
			}
		})
	}
	for round := range 3 {
		before := told.Load()
		eventually(t, "nothing is written", func() bool { return told.Load() > before+2000 })
		empty := fill(t, dir)
		eventually(t, "no outage", func() bool { return s.Check() != nil })
		if kvs := all(t, s, Range{Prefix: []byte("0/"), KeysOnly: true}); len(kvs) == 0 {
			t.Error("nothing can be read")
		}
		empty()
		eventually(t, "the outage does not end", func() bool { return s.Check() == nil })
		t.Logf("round %d: %d decided, %d offers acknowledged, %d refused", round, told.Load(), acknowledged.Load(), refused.Load())
	}
	close(end)
	wg.Wait()
	stop()
	if told.Load() != decided.Load() || refused.Load() == 0 {
		t.Errorf("%d of %d decided were told, %d offers refused", told.Load(), decided.Load(), refused.Load())
	}
	s, _ = open(t, data, Options{MinFree: 1 << 20})
	for p := range 8 {
		last, err := s.Get(fmt.Appendf(nil, "%d/last", p))
		if err != nil {
			t.Fatal(err)
		}
		var i int
		if _, err := fmt.Sscan(string(last), &i); err != nil {
			t.Fatal(err)
		}
		if v, err := s.Get(fmt.Appendf(nil, "%d/%03d", p, i%500)); err != nil || string(v) != string(last)+long {
			t.Errorf("writer %d: the last is %s, and its value has %d bytes, %v", p, last, len(v), err)
		}
	}
}
