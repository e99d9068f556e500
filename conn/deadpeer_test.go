package conn

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A peer that is gone without a word (a cable, a laptop's lid) is found by the third beat after its last byte, which
// docs/streams.md says; then others see it leave, and what waited for it is let go of. One that does not read,
// but lives, is not taken for it.
func TestADeadPeerIsFoundByTheThirdBeatAndLeavesNothing(t *testing.T) {
	f := open(t, Config{PingEvery: time.Hour, OutboxBytes: 64 << 20, CloseWithin: 50 * time.Millisecond}) // the test beats
	watcher := f.socket()
	watcher.ask(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":"chat","presence":true}}`)
	known := f.srv.live.list()[0]
	dead := f.raw()
	if _, err := io.WriteString(dead, masked(fin|opText, `{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":"chat"}}`)); err != nil {
		t.Fatal(err)
	}
	dead.hear()
	var s *Session
	for _, v := range f.srv.live.list() {
		if v != known {
			s = v.(*Session)
		}
	}
	came := watcher.next()
	equal(t, "came", came.Params.Event, "join")
	body := `{"type":"big","data":"` + strings.Repeat("x", 512<<10) + `"}`
	for i := range 40 { // more than the kernel takes
		equal(t, "published", f.request("POST", "/v1/streams/chat/events", body).status, http.StatusOK)
		equal(t, "the watcher's", watcher.next().Params.Offset, uint64(i+1))
	}
	waits := func() int {
		s.out.mu.Lock()
		defer s.out.mu.Unlock()
		return s.out.queued()
	}
	for now := int64(1); now <= 2; now++ {
		f.srv.beats.Store(now)
		for _, v := range f.srv.live.list() {
			v.beat(now)
		}
		same(t, "the watcher answers", watcher.ask(`{"jsonrpc":"2.0","id":2,"method":"ping"}`), `{"jsonrpc":"2.0","id":2,"result":"pong"}`)
		if waits() == 0 {
			t.Fatalf("nothing waits for it after %d beats", now)
		}
	}
	f.srv.beats.Store(3)
	for _, v := range f.srv.live.list() {
		v.beat(3)
	}
	left := watcher.next()
	equal(t, "left", left.Params.Event+" "+left.Params.Connection, "leave "+came.Params.Connection)
	f.stop()
	if s.out.head != nil || s.out.tail != nil || s.subs != nil {
		t.Errorf("%d bytes are left, subscriptions %v", waits(), s.subs)
	}
}
