package nodebridge

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const spin = `module.exports = async (n) => {
  if (n === 'spin') for (;;) {}
  if (n === 'wait') await new Promise(() => {})
  if (n === 'block') require('child_process').execSync('sleep 60')
  return n
}`

// One endless loop must not take a tenant down, nor be blamed on those who were not read yet.
func TestAStuckProcessIsEndedAndWhatItNeverReadIsNot(t *testing.T) {
	for _, how := range []string{"spin", "block"} {
		f := real(t, Config{PingEvery: 20 * time.Millisecond, StuckAfter: 300 * time.Millisecond})
		m := module(t, spin)
		check(t, "before", invoke(t, f, m, "1"), "Result 1")
		waiting := begin(t, f, m, `"wait"`)
		pid := f.Bridges("")[0].PID
		stuck := begin(t, f, m, `"`+how+`"`)
		b := f.pool("acme", "", false).bridges()[0]
		until(t, "an unanswered ping behind them", func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.ping.waits && b.ping.behind == b.total && time.Since(b.ping.sent) > 50*time.Millisecond
		})
		late := begin(t, f, m, `2`)
		for _, a := range []*answer{stuck, waiting} {
			if got := a.wait(); !strings.HasPrefix(got, `Error {"code":"stuck",`) || !strings.Contains(got, "It was running f@1.") {
				t.Errorf("%s: in flight: %s", how, got)
			}
		}
		check(t, how+": not read", late.wait(), "Unstarted")
		check(t, how+": next", invoke(t, f, m, "3"), "Result 3")
		until(t, "its end", func() bool { // another one took its place before
			return !slices.ContainsFunc(f.Bridges(""), func(b BridgeInfo) bool { return b.PID == pid })
		})
	}
}

func TestAStoppedProcessIsStuck(t *testing.T) {
	f := real(t, Config{PingEvery: 20 * time.Millisecond, StuckAfter: 300 * time.Millisecond})
	m := module(t, spin)
	waiting := begin(t, f, m, `"wait"`)
	check(t, "before", invoke(t, f, m, "1"), "Result 1")
	if err := syscall.Kill(f.Bridges("")[0].PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if got := waiting.wait(); !strings.HasPrefix(got, `Error {"code":"stuck",`) {
		t.Errorf("in flight: %s", got)
	}
	check(t, "next", invoke(t, f, m, "3"), "Result 3")
}

// A process that is ready to run and gets no CPU is the machine's affair.
func TestTimeWithoutACPUDoesNotMakeAProcessStuck(t *testing.T) {
	b := newBridge("acme", &Config{StuckAfter: time.Second, LoadTimeout: time.Second}, &process{}, nil)
	ended := false
	b.end = func(error) { ended = true }
	judge := func(waited, starved time.Duration) bool {
		ended = false
		b.gone.Store(false)
		b.judge(ping{}, waited, starved, time.Second)
		return ended
	}
	for _, c := range []struct {
		waited, starved time.Duration
		stuck           bool
	}{
		{time.Second, 0, true},
		{time.Second, 10 * time.Millisecond, false},
		{3 * time.Second, 2500 * time.Millisecond, false},
		{3 * time.Second, 1500 * time.Millisecond, true}, // it shares a CPU, and does not turn
	} {
		check(t, "stuck", judge(c.waited, c.starved), c.stuck)
	}
}

// To require many files takes long, and happens once.
func TestLoadingAModuleIsNotStuck(t *testing.T) {
	f := real(t, Config{PingEvery: 20 * time.Millisecond, StuckAfter: 100 * time.Millisecond})
	slow := module(t, `const end = Date.now() + 500; while (Date.now() < end); module.exports = () => 1`)
	check(t, "slow to load", invoke(t, f, slow, "[]"), "Result 1")
}
