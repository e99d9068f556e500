package hub

import (
	"context"
	"testing"
)

// After a restore, what was told after the backup is gone and its offsets are given anew: no position of
// before may be taken for one of now.
func TestARestoredHubTrustsNoPositionOfBefore(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.durable("orders.eu", Retention{})
	position := w.say("orders.eu", 1)
	_, sub := w.watch("orders.>", Since{})
	pattern := sub.Position()
	v, _ := w.start(``)
	execution := v.Position()
	done, r2 := w.start(``)
	r2.result(`1`)
	w.await(done.ID())
	over, err := w.hub.Execution(w.owner, done.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.MarkRestored(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, restored := range []bool{true, false} {
		w = w.restart()
		w.bridges.wait(t)
		for name, p := range map[string]*Position{"orders.eu": &position, "orders.>": &pattern, "execution." + v.ID(): &execution} {
			_, sub := w.watch(name, Since{Position: p})
			equal(t, "recovered "+name, sub.Recovered(), !restored)
			*p = sub.Position()
		}
		p := over.Position()
		_, sub := w.watch("execution."+done.ID(), Since{Position: &p})
		equal(t, "recovered what has ended", sub.Recovered(), true)
	}
}
