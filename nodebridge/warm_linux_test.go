package nodebridge

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/sandbox"
)

const seesAll = `const fs = require('node:fs')
let calls = 0
module.exports = () => ({ calls: ++calls, dir: __dirname, own: require('./own.json'), functions: fs.readdirSync('/functions'),
	mounts: fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter(line => line.includes(' /functions')).length,
	written: (() => { try { fs.writeFileSync(__dirname + '/new', ''); return true } catch (err) { return err.code } })() })`

type seen struct {
	Calls     int
	Dir, Own  string
	Functions []string
	Mounts    int
	Written   string
}

func warmModule(t testing.TB, functions, tenant string) *Module {
	t.Helper()
	m := moduleIn(t, functions, tenant, seesAll)
	if err := os.WriteFile(m.Dir+"/own.json", fmt.Appendf(nil, "%q", tenant), 0o640); err != nil {
		t.Fatal(err)
	}
	return m
}

// A process never serves two tenants, and sees what a process that was started for its tenant sees.
func TestAWarmProcessBecomesTheBridgeOfOneTenant(t *testing.T) {
	f, functions := warmed(t, Config{Warm: 2, WarmAfter: time.Millisecond})
	var pids []int
	for i := range 6 {
		tenant := fmt.Sprintf("tenant%d", i)
		m := warmModule(t, functions, tenant)
		for call := range 2 {
			got := invokeAs[seen](t, f, m, "[]")
			want := seen{call + 1, "/functions/f", tenant, []string{"f"}, 2, "EROFS"}
			check(t, tenant, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
		}
		for _, b := range f.Bridges(tenant) {
			pids = append(pids, b.PID)
		}
		waitWarm(t, f)
	}
	slices.Sort(pids)
	check(t, "processes", len(slices.Compact(pids)), 6)
	check(t, "that were warm", f.warm.used.Load(), 6)
}

// What is published after a process was shown its tenant's folder is there too.
func TestAWarmProcessSeesWhatIsPublishedLater(t *testing.T) {
	f, functions := warmed(t, Config{Warm: 1})
	check(t, "first", invokeAs[seen](t, f, warmModule(t, functions, "acme"), "[]").Own, "acme")
	m := moduleIn(t, functions, "acme/later", `module.exports = () => 'later'`)
	m = NewModule(Module{Function: "later", Version: 1, Tenant: "acme", Dir: m.Dir})
	check(t, "later", invokeAs[string](t, f, m, "[]"), "later")
	check(t, "that were warm", f.warm.used.Load(), 1)
}

// One that died meanwhile is nobody's bridge.
func TestADeadWarmProcessIsNotTaken(t *testing.T) {
	f, functions := warmed(t, Config{Warm: 1, WarmAfter: time.Hour})
	p := <-f.warm.ready
	_ = syscall.Kill(p.pid(), syscall.SIGKILL)
	for p.lives() {
		runtime.Gosched()
	}
	f.warm.ready <- p
	got := invokeAs[seen](t, f, warmModule(t, functions, "acme"), "[]")
	check(t, "sees", fmt.Sprint(got.Own, got.Mounts), "acme1")
	check(t, "restarts", f.Bridges("acme")[0].Restarts, 0)
	check(t, "that were warm", f.warm.used.Load(), 0)
}

// The keeper is a process like others: it may be killed, or stand still. Calls come through, and there are warm
// processes again.
func TestAKeeperThatDiesOrHangsIsReplaced(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"dies": syscall.SIGKILL, "hangs": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			f, functions := warmed(t, Config{Warm: 1, WarmAfter: time.Millisecond, RestartMax: time.Millisecond})
			for _, pid := range sandbox.Children(os.Getpid()) {
				line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				if bytes.Contains(line, []byte("\x00keeper\x00")) {
					_ = syscall.Kill(pid, signal)
				}
			}
			check(t, "without the keeper", invokeAs[seen](t, f, warmModule(t, functions, "acme"), "[]").Own, "acme")
			check(t, "that were warm", f.warm.used.Load(), 0)
			waitWarm(t, f)
			check(t, "with another", invokeAs[seen](t, f, warmModule(t, functions, "zeta"), "[]").Own, "zeta")
			check(t, "that were warm", f.warm.used.Load(), 1)
			check(t, "the first goes on", invokeAs[seen](t, f, warmModule(t, functions, "acme"), "[]").Own, "acme")
		})
	}
}

// Without warm processes everything goes on, more slowly at first.
func TestBridgesStartWhereNoneCanBeKeptWarm(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no keeper":  func(c *Config) { c.Keeper = []string{"/nowhere"} },
		"bad keeper": func(c *Config) { c.Keeper = []string{"/bin/false"} },
		"no memory":  func(c *Config) { c.WarmMinFree = 1 << 60 },
	} {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{Warm: 2, Keeper: []string{self, "keeper"}}
		change(&cfg)
		f, functions := walled(t, cfg)
		check(t, name, invokeAs[seen](t, f, warmModule(t, functions, "acme"), "[]").Own, "acme")
		check(t, name+": warm", f.warm.used.Load(), 0)
	}
}

// BenchmarkFirstAnswer is from a tenant's first call to its answer: of a plain process, of one behind
// walls, and of a warm one. It tells the median.
func BenchmarkFirstAnswer(b *testing.B) {
	for _, kind := range []string{"plain", "walls", "warm"} {
		b.Run(kind, func(b *testing.B) {
			var f *Fleet
			functions := b.TempDir()
			switch kind {
			case "plain":
				f = running(b, Config{})
			case "walls":
				f, functions = walled(b, Config{})
			case "warm":
				f, functions = warmed(b, Config{Warm: 1, WarmAfter: time.Millisecond})
			}
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				m := moduleIn(b, functions, fmt.Sprintf("tenant%d", i), `module.exports = (a, b) => a + b`)
				if f.warm.room != nil {
					waitWarm(b, f)
				}
				b.StartTimer()
				start := time.Now()
				if got := invokeAs[int](b, f, m, "[1,2]"); got != 3 {
					b.Fatal(got)
				}
				took = append(took, time.Since(start))
				b.StopTimer()
				f.Remove(m.Tenant)
				b.StartTimer()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
			b.ReportMetric(float64(took[len(took)*9/10].Microseconds())/1000, "ms-p90")
		})
	}
}
