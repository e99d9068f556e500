package nodebridge

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// Where the hub is not root the kernel refuses to raise a hard limit, and no process would ever be ready.
func TestNoLimitIsRaisedAboveTheHubsOwn(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	for _, c := range []struct {
		files int
		want  uint64
	}{{200, 200}, {1 << 20, 200}, {100, 100}} {
		check(t, "restrict", restrict(cmd.Process.Pid, &Limits{OpenFiles: c.files}), nil)
		var got unix.Rlimit
		check(t, "read", unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &got), nil)
		check(t, "open files", got, unix.Rlimit{Cur: c.want, Max: c.want})
	}
}
