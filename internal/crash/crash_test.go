package crash

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// A program that is not built for it must not be killed by its environment.
func TestTheEnvironmentKillsOnlyProgramsBuiltForIt(t *testing.T) {
	if os.Getenv("LIVEFN_CRASH") != "" {
		At(StoreBegin)
		At(StoreBegin)
		return
	}
	for _, c := range []struct {
		tags   string
		plan   string
		killed bool
	}{{"", "store.begin:2", false}, {"crashpoints", "store.begin:2", true}, {"crashpoints", "store.begin:3", false}, {"crashpoints", "store.told:1", false}, {"crashpoints", "nonsense", false}} {
		program := t.TempDir() + "/crash.test"
		if out, err := exec.Command("go", "test", "-c", "-tags", c.tags, "-o", program, ".").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		cmd := exec.Command(program, "-test.run", t.Name())
		cmd.Env = append(os.Environ(), "LIVEFN_CRASH="+c.plan)
		err := cmd.Run()
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if killed := status.Signaled() && status.Signal() == syscall.SIGKILL; killed != c.killed || !killed && err != nil {
			t.Errorf("built with %q, LIVEFN_CRASH=%s: %v", c.tags, c.plan, err)
		}
	}
}
