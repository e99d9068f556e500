package nodebridge

import (
	"strings"
	"testing"
	"time"
)

const hungry = `
const kept = []
module.exports = async (how, n) => {
  if (how === 'outside the heap') for (;;) { kept.push(Buffer.alloc(8 << 20, 1)); await new Promise(setImmediate) }
  if (how === 'heap') for (;;) { kept.push(new Array(1 << 16).fill({})) ; await new Promise(setImmediate) }
  if (how === 'child') return require('child_process').execFileSync(process.execPath, ['-e', 'const k = []; setInterval(() => k.push(Buffer.alloc(8 << 20, 1)), 40)']).length
  if (how === 'forks') { for (let i = 0; i < n; i++) require('child_process').spawn('sleep', ['60']); return new Promise(() => {}) }
  if (how === 'files') { for (let i = 0; i < n; i++) kept.push(require('fs').openSync('/dev/null')); return n }
  if (how === 'grow') { kept.push(Buffer.alloc(n << 20, 1)); return kept.length }
  if (how === 'wait') return new Promise(() => {})
  return how
}`

// A tenant's leak must cost that tenant its process, never the machine its memory.
func TestAProcessThatPassesItsMemoryIsEndedAndSaysWhy(t *testing.T) {
	f := real(t, Config{Limits: Limits{MinBridges: 1, MaxBridges: 1, Memory: 160 << 20}, PingEvery: 20 * time.Millisecond, StuckAfter: time.Minute})
	m, ended := module(t, hungry), 0
	for _, how := range []string{"outside the heap", "heap", "child"} {
		check(t, "before", invoke(t, f, m, `["alive"]`), `Result "alive"`)
		waiting := begin(t, f, m, `["wait"]`)
		for _, got := range []string{invoke(t, f, m, `["`+how+`"]`), waiting.wait()} {
			if !strings.HasPrefix(got, `Error {"code":"out_of_memory",`) || !strings.Contains(got, "It was running f@1.") {
				t.Errorf("%s: %s", how, got)
			}
		}
		ended++
		until(t, "its end", func() bool { return len(f.Ended("")) == ended })
		check(t, how+": its end", f.Ended("")[0].Code, "out_of_memory")
	}
	check(t, "after", invoke(t, f, m, `["alive"]`), `Result "alive"`)
}

func TestTooManyProcessesAreEndedTogether(t *testing.T) {
	f := real(t, Config{Limits: Limits{MinBridges: 1, Processes: 20}, PingEvery: 20 * time.Millisecond, StuckAfter: time.Minute})
	m := module(t, hungry)
	if got := invoke(t, f, m, `["forks", 40]`); !strings.HasPrefix(got, `Error {"code":"bridge_lost","message":"There were `) {
		t.Error(got)
	}
	check(t, "after", invoke(t, f, m, `["alive"]`), `Result "alive"`)
}

func TestOpenFilesAreLimitedByTheKernel(t *testing.T) {
	f := real(t, Config{Limits: Limits{MinBridges: 1, OpenFiles: 100}})
	m := module(t, hungry)
	if got := invoke(t, f, m, `["files", 200]`); !strings.Contains(got, "EMFILE") {
		t.Error(got)
	}
	check(t, "with fewer", invoke(t, f, module(t, hungry), `["files", 1]`)[:5], "Error") // they are still open
	check(t, "without", invoke(t, f, m, `["alive"]`), `Result "alive"`)
}

// A slow leak is replaced before it is a fault: the calls that it has go on, the next are another's.
func TestAProcessNearItsMemoryIsReplacedWithoutALostCall(t *testing.T) {
	f := real(t, Config{Limits: Limits{MinBridges: 1, MaxBridges: 1, Memory: 1 << 30, SoftMemory: 150 << 20}, PingEvery: 20 * time.Millisecond,
		RecycleAge: time.Millisecond, GrowAfter: time.Millisecond})
	m := module(t, hungry)
	waiting := begin(t, f, m, `["wait"]`) // first, or another one might have it
	check(t, "grown", invoke(t, f, m, `["grow", 150]`), "Result 1")
	waiting.waitFor("Moving")
	check(t, "the next call is another's", invoke(t, f, m, `["grow", 1]`), "Result 1")
	f.Limit("acme", Limits{MinBridges: 1, MaxBridges: 1, Memory: 160 << 20}) // a process on its way out is watched, too
	if got := waiting.wait(); !strings.HasPrefix(got, `Error {"code":"out_of_memory",`) {
		t.Error(got)
	}
	check(t, "the other one", invoke(t, f, m, `["alive"]`), `Result "alive"`)
}
