package tenants

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"

	"github.com/livefn/livefn/internal/crash"
)

// A publish that is killed at any of its points leaves what was there before, and nothing in the way of the
// next one.
func TestAKillAtAnyPointOfAPublishLeavesNothingByHalf(t *testing.T) {
	deps := Publication{Source: "module.exports = require('left')", Dependencies: map[string]string{"left": "1"}}
	if os.Getenv("LIVEFN_CRASH") != "" { // in the process that is killed, in its own folder
		r, _ := openRegistry(t, ".", Config{})
		_, _, err := r.Publish(bg, acme(t, r), "f", deps, nil)
		t.Fatalf("nobody killed it: %v", err)
	}
	npmRegistry(t, pkg{name: "left", version: "1.0.0", source: "module.exports = () => 'left'"})
	program := filepath.Join(t.TempDir(), "tenants.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "crashpoints", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, at := range []string{crash.InstallEnded, crash.InstallShared, crash.PublishBuilt, crash.PublishPlaced} {
		t.Run(at, func(t *testing.T) {
			dir := t.TempDir()
			r, stop := openRegistry(t, dir, Config{})
			before := publish(t, r, "f", Publication{Source: "1"})
			stop()
			cmd := exec.Command(program, "-test.run", "^TestAKillAtAnyPointOfAPublishLeavesNothingByHalf$")
			cmd.Env = append(os.Environ(), "LIVEFN_CRASH="+at+":1")
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
				t.Fatalf("%v\n%s", err, out)
			}
			r, _ = openRegistry(t, dir, Config{})
			fn, err := acme(t, r).Function("f")
			if err != nil || len(fn.Versions()) != 1 || fn.Latest != 1 {
				t.Fatalf("%+v, %v", fn, err)
			}
			left, err := filepath.Glob(filepath.Join(r.cfg.Dir, "tenants", "*", "*"))
			if err != nil || !reflect.DeepEqual(left, []string{before.Dir}) || fileExists(r.buildDir()) || len(contents(t, r.filesDir("acme"))) > 0 {
				t.Errorf("left: %v, %v, %v", left, contents(t, r.filesDir("acme")), err)
			}
			v := publish(t, r, "f", deps)
			if out, err := exec.Command("node", "-p", "require('"+v.Dir+"')()").CombinedOutput(); err != nil || string(out) != "left\n" || v.Number != 2 {
				t.Errorf("version %d: %s, %v", v.Number, out, err)
			}
		})
	}
}
