package sandbox

import (
	"os"
	"os/exec"
	"slices"
	"testing"
)

// Not every kernel lists children: on one that does not, the limits of a bridge hold all the same.
func TestChildrenAreFoundWithAndWithoutTheKernelsList(t *testing.T) {
	var want []int
	for range 3 {
		cmd := exec.Command("/bin/sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		want = append(want, cmd.Process.Pid)
	}
	found, all := foundChildren(os.Getpid()), Children(os.Getpid())
	slices.Sort(want)
	slices.Sort(all)
	if !slices.Equal(found, want) || !slices.Equal(all, want) {
		t.Errorf("found %v, and %v; want %v", found, all, want)
	}
	if of := foundChildren(want[0]); of != nil {
		t.Errorf("of one that has none: %v", of)
	}
}
