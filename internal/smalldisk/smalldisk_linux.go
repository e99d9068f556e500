package smalldisk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// env names the folder on which a child process of a test mounts its small disk.
const env = "LIVEFN_TEST_SMALL_DISK"

// Mounted runs the calling test again in a process with a mount namespace of its own, where it gets
// a disk of so many MiB (a tmpfs, which refuses a page as any full file system does), and gives its
// folder; in the test's own process it gives "" once that one has passed. It needs root, or a system that
// lets users make namespaces.
func Mounted(t *testing.T, mib int) (dir string) {
	t.Helper()
	if dir := os.Getenv(env); dir != "" {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatalf("make the mounts private: %v", err)
		}
		if err := syscall.Mount("livefn-test", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
			t.Fatalf("mount a small disk: %v", err)
		}
		return dir
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m") //nolint:gosec // this test's own binary
	child.Env = append(os.Environ(), env+"="+t.TempDir())
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

// Fill writes a file until the disk takes nothing more, and then gives back as many bytes as it is to leave; empty
// removes the file.
func Fill(t *testing.T, dir string, leave int64) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path) //nolint:gosec // in a folder of the test's
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, piece := range [][]byte{make([]byte, 1<<20), make([]byte, 4<<10)} {
		pace := time.NewTicker(5 * time.Millisecond) // 200 MiB/s: memory takes more than a disk would
		for err = nil; err == nil; {
			<-pace.C
			var n int
			n, err = f.Write(piece)
			size += int64(n)
		}
		pace.Stop()
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("fill the disk: %v", err)
		}
	}
	if err := f.Truncate(max(0, size-leave)); err != nil {
		t.Fatal(err)
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
