package nodebridge

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/sandbox"
)

// zombie reports whether the process is dead, and only its parent has not asked how it died.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

func waitDead(t *testing.T, pid int) {
	t.Helper()
	for limit := time.Now().Add(patience); syscall.Kill(pid, 0) == nil && !zombie(pid); {
		if time.Now().After(limit) {
			t.Fatalf("process %d lives", pid)
		}
	}
}

// hubThatDies is a program of its own: a fleet whose only process is in an endless loop, so that it
// can't see descriptor 3 end. It prints the process's number and ends without a chance to clean up.
func hubThatDies(dir string, walls bool) {
	cfg := Config{Dir: dir + "/bridges", Functions: dir}
	if walls {
		var err error
		if cfg.Walls, err = sandbox.Find(); err != nil {
			panic(err)
		}
	}
	f := NewFleet(cfg)
	go func() { _ = f.Run(context.Background()) }()
	m := NewModule(Module{Function: "f", Tenant: "acme", Dir: dir + "/acme/f", Tail: true})
	a := newAnswer(nil, m, "[]")
	if err := f.Call("acme", &a.Call); err != nil {
		panic(err)
	}
	a.mu.Lock()
	for len(a.others) == 0 { // it emits once, then loops
		seen := a.seen
		a.mu.Unlock()
		<-seen
		a.mu.Lock()
	}
	fmt.Println(f.Bridges("")[0].PID)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// A hub that crashes must not leave tenants' code running for ever.
func TestNodeDiesWithAHubThatIsKilledEvenInAnEndlessLoop(t *testing.T) {
	source := `module.exports = (hub) => { hub.emit('looping'); setTimeout(() => { for (;;); }, 1); return new Promise(() => {}) }`
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, walls := range []string{"none", "walls"} {
		dir := t.TempDir()
		moduleIn(t, dir, "acme", source)
		out, err := exec.Command(self, "hub", dir, walls).Output()
		var pid int
		if _, scanned := fmt.Sscan(string(out), &pid); scanned != nil {
			t.Fatalf("%s: the hub printed %q and ended with %v", walls, out, err)
		}
		waitDead(t, pid)
	}
}
