//go:build linux && powerloss

package store

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ext4Shutdown is EXT4_IOC_SHUTDOWN, and noLogFlush has the file system stop as if its power were cut:
// neither data nor journal that wait in memory reach the disk, and nothing further does (xfstests' godown).
const (
	ext4Shutdown = 0x8004587d
	noLogFlush   = 2
)

// TestWhatWasAcknowledgedSurvivesAPowerLoss cuts the power of a real ext4 on a loop device below a
// process that writes from many goroutines, mounts the disk again, which replays its journal, and looks.
// It needs root and loop devices (make powerloss).
func TestWhatWasAcknowledgedSurvivesAPowerLoss(t *testing.T) {
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any number
	if s := os.Getenv("LIVEFN_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("LIVEFN_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's dice
	image, mount := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	run(t, "truncate", "-s", "1G", image)
	run(t, "mkfs.ext4", "-q", image)
	run(t, "mount", "-o", "loop", image, mount)
	t.Cleanup(func() { run(t, "umount", "--lazy", mount) })
	dir := filepath.Join(mount, "store")
	acknowledged := map[string]bool{} // over all rounds
	for round := range 20 {
		round = round + 1
		child := exec.Command(os.Args[0]) //nolint:gosec // this test's own binary
		child.Env = append(os.Environ(), childEnv+"="+dir, "LIVEFN_TEST_ROUND="+fmt.Sprint(round))
		var stderr strings.Builder
		child.Stderr = &stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		enough := 1 + random.IntN(6000)
		lines, n := bufio.NewScanner(out), 0
		for n < enough && lines.Scan() {
			acknowledged[lines.Text()] = true
			n++
		}
		cut(t, mount)
		// What it says from now on does not count: without power nobody says anything, while here a sync
		// under way may return nil though ext4 cannot finish it any more.
		_ = child.Process.Kill()
		for lines.Scan() {
		}
		_ = child.Wait()
		if n < enough {
			t.Fatalf("the child ended after %d: %s", n, stderr.String())
		}
		run(t, "umount", mount)
		run(t, "mount", "-o", "loop", image, mount)
		s, err := Open(dir, Options{Log: quiet, MinFree: 1 << 20})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		checkPairs(t, s, acknowledged)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("round %d: power lost after %d acknowledged, %d in all", round, n, len(acknowledged))
	}
}

func run(t *testing.T, name string, arg ...string) {
	t.Helper()
	if out, err := exec.Command(name, arg...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(arg, " "), err, out)
	}
}

// cut takes the file system's power.
func cut(t *testing.T, mount string) {
	t.Helper()
	f, err := os.Open(mount)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, noLogFlush); err != nil {
		t.Fatalf("cut the power: %v", err)
	}
}
