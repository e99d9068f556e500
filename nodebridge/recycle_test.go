package nodebridge

import (
	"fmt"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// Node keeps ES modules for ever, so a process that has let go of many is replaced, and nobody notices.
func TestABridgeThatLetGoOfManyModulesIsReplacedWithoutLosingACall(t *testing.T) {
	f := real(t, Config{RecycleAfter: 5})
	long := module(t, `module.exports = (hub) => new Promise(resolve => hub.events.once('go', () => resolve(process.pid)))`)
	running := begin(t, f, long, "[]")
	old := invoke(t, f, module(t, `module.exports = () => process.pid`), "[]")
	for i := 0; ; i++ {
		m := module(t, fmt.Sprintf(`export default () => %d`, i))
		check(t, "a version", invoke(t, f, m, "[]"), fmt.Sprintf("Result %d", i))
		f.Unload("acme", m)
		if now := invoke(t, f, module(t, `module.exports = () => process.pid`), "[]"); now != old {
			if i < 4 {
				t.Errorf("replaced after %d modules", i+1)
			}
			break
		}
	}
	check(t, "bridges", len(f.Bridges("acme")), 2) // the old one has a call
	check(t, "send", running.Send(1, "go", nil), nil)
	check(t, "what ran on the old one", running.wait(), old)
	until(t, "the old one has gone", func() bool { return len(f.Bridges("acme")) == 1 })
	check(t, "its end", f.Ended("acme")[0].Code, "recycled")
}

// What takes the place of a worn process may not start, and the worn one may die: there is one all the same.
func TestAWornBridgeThatDiesIsReplacedOnce(t *testing.T) {
	f := faked(t, "", Config{RecycleAfter: 1, RestartFirst: time.Millisecond, RestartMax: time.Millisecond})
	for range 20 {
		m := nowhere()
		check(t, "call", invoke(t, f, m, "1"), "Result 1")
		f.Unload("acme", m)
		for _, b := range f.pool("acme", "", false).bridges() {
			b.fail(fault.New(fault.BridgeLost, "The test ended it."))
		}
	}
	check(t, "call", invoke(t, f, nowhere(), "1"), "Result 1")
	until(t, "one bridge", func() bool {
		p := f.pool("acme", "", false)
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.bridges()) == 1 && p.places == 1 && len(p.worn) == 0 && len(p.retired) == 0
	})
}
