//go:build linux && powerloss

package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const failEnv = "LIVEFN_TEST_FAILING_DISK"

// TestADiskThatFailsIsSaid takes a real ext4 from below a running store. It needs what the power-loss test
// needs.
func TestADiskThatFailsIsSaid(t *testing.T) {
	image, mount := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	run(t, "truncate", "-s", "512M", image)
	run(t, "mkfs.ext4", "-q", image)
	run(t, "mount", "-o", "loop", image, mount)
	t.Cleanup(func() { run(t, "umount", "--lazy", mount) })
	child := exec.Command(os.Args[0]) //nolint:gosec // this test's own binary
	child.Env = append(os.Environ(), failEnv+"="+filepath.Join(mount, "store"))
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	lines := bufio.NewScanner(out)
	for _, want := range []string{
		"ready",
		"unavailable: the disk fails (I/O error)",
		"refused: true",
		"read: true <nil>",
		"told: storage_unavailable: The hub ended before its store could be written again: the disk fails (I/O error).",
		"closed: close the store: its disk fails; what was not acknowledged is lost",
	} {
		if !lines.Scan() {
			t.Fatalf("it ended, and should have said %q", want)
		}
		if got := lines.Text(); got != want {
			t.Errorf("it said %q, want %q", got, want)
		}
		if want == "ready" {
			cut(t, mount)
			if _, err := fmt.Fprintln(in); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// onFailingDisk is the child of TestADiskThatFailsIsSaid.
func onFailingDisk(dir string) error {
	s, err := Open(dir, Options{Log: quiet, MinFree: 1 << 20, RetryMax: 50 * time.Millisecond})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	if err := s.Commit(bg, put("a", "before"), put("b", longOf("0"))); err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := fmt.Scanln(); err != nil && err.Error() != "unexpected newline" {
		return err
	}
	told := make(chan error, 1)
	s.Enqueue([]Op{put("a", "after")}, func(err error) { told <- err })
	for s.Check() == nil {
		time.Sleep(time.Millisecond) // a child, with nothing to wait for
	}
	o, _ := s.Unavailable()
	fmt.Println("unavailable:", o.Reason)
	fmt.Println("refused:", s.Commit(bg, put("c", "1")) != nil)
	v, err := s.Get([]byte("a"))
	fmt.Println("read:", string(v) == "before" || string(v) == "after", err) // see Outage
	cancel()
	fmt.Println("told:", <-told)
	if err := <-done; err != nil {
		return err
	}
	fmt.Println("closed:", s.Close())
	return nil
}

func init() { // before TestMain
	if dir := os.Getenv(failEnv); dir != "" {
		if err := onFailingDisk(dir); err != nil {
			fmt.Println(err)
		}
		os.Exit(0)
	}
}
