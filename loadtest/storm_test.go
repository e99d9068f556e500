package loadtest

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// What a client did not get, or got twice, must show, or the storm measures nothing.
func TestAStormsClientKeepsAccountOfItsOffsets(t *testing.T) {
	r := &stormRun{tops: make([]atomic.Int64, 1), joined: make(chan struct{})}
	r.left.Store(2)
	c := &stormClient{run: r}
	r.clients = []*stormClient{c}
	r.tops[0].Store(12)
	hear := func(format string, args ...any) {
		t.Helper()
		if err := c.hear(frame{final: true, op: opText, payload: fmt.Appendf(nil, format, args...)}); err != nil {
			t.Fatal(err)
		}
	}
	hear(`{"jsonrpc":"2.0","id":1,"result":{"subscription":"s1","epoch":"e","offset":4,"recovered":true}}`)
	for _, offset := range []int{5, 6, 6, 9} {
		hear(`{"jsonrpc":"2.0","method":"event","params":{"subscription":"s1","stream":"x","offset":%d,"type":"n"}}`, offset)
	}
	hear(`{"jsonrpc":"2.0","method":"closing","params":{"reason":"busy","reconnect":{"after":70}}}`)
	hear(`{"jsonrpc":"2.0","id":1,"result":{"subscription":"s1","epoch":"e","offset":9,"recovered":false}}`)
	hear(`{"jsonrpc":"2.0","method":"event","params":{"subscription":"s1","stream":"x","offset":10,"type":"n"}}`)
	f := &StormFigures{}
	r.count(f)
	if want := (StormFigures{Published: 12, Delivered: 4, Missed: 4, Repeated: 1, Unrecovered: 1}); *f != want || f.Whole() {
		t.Errorf("got %+v, want %+v", *f, want)
	}
	if err := c.hear(frame{op: opText, payload: []byte(`{"jsonrpc":"2.0","id":1,"error":{"code":-32000}}`)}); err == nil {
		t.Error("a refusal is not told")
	}
}
