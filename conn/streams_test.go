package conn

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// member gives a member of a JSON object by its path.
func member(t testing.TB, js string, path ...string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(js), &v); err != nil {
		t.Fatalf("%v: %s", err, js)
	}
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

func TestEventsPublishedOverHTTPReachWhoIsSubscribed(t *testing.T) {
	f := open(t, Config{})
	c := f.socket()
	answer := c.ask(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":"orders.>","since":"new"}}`)
	epoch := member(t, answer, "result", "epoch")
	r := f.request("POST", "/v1/streams/orders.eu.created/events", `{"type":"created","data":{"id":7}}`)
	equal(t, "status", r.status, 200)
	equal(t, "offset", member(t, r.body, "offset"), 1.0)
	got := c.hear()
	equal(t, "stream", member(t, got, "params", "stream"), "orders.eu.created")
	equal(t, "data", member(t, got, "params", "data", "id"), 7.0)
	equal(t, "epoch", member(t, got, "params", "position", "epoch"), epoch)
	place, _ := member(t, got, "params", "position", "offset").(float64)
	answer = c.ask(`{"jsonrpc":"2.0","id":2,"method":"publish","params":{"stream":"orders.us","type":"created","data":8}}`)
	if strings.Contains(answer, `"event"`) { // the event may come before the answer
		got, answer = answer, c.hear()
	} else {
		got = c.hear()
	}
	equal(t, "offset", member(t, answer, "result", "offset"), 1.0)
	equal(t, "next position", member(t, got, "params", "position", "offset"), place+1)

	r = f.request("POST", "/v1/streams/orders.us/events", `[{"type":"a"},{"type":"b","data":"x"}]`)
	equal(t, "last", member(t, r.body, "offset"), 3.0)
	equal(t, "events", member(t, r.body, "events"), 2.0)
	r = f.request("GET", "/v1/streams/orders.*/events", "")
	events, _ := member(t, r.body, "events").([]any)
	equal(t, "page", len(events), 3)
	r = f.request("GET", "/v1/streams/orders.>/events?limit=3", "")
	events, _ = member(t, r.body, "events").([]any)
	equal(t, "page", len(events), 3)
	next, _ := member(t, r.body, "next").(string)
	r = f.request("GET", "/v1/streams/orders.>/events?since=other:1", "")
	equal(t, "a page after an unknown position", member(t, r.body, "recovered"), any(false))
	old := f.open("GET", "/v1/streams/orders.>/events", "", "Accept: text/event-stream", "Last-Event-ID: other:1")
	defer old.Body.Close()
	if lines := readEvent(t, bufio.NewReader(old.Body)); lines[0] != "event: gap" || !strings.Contains(lines[1], `"recovered":false`) {
		t.Fatal(lines)
	}
	res := f.open("GET", "/v1/streams/orders.>/events", "", "Accept: text/event-stream", "Last-Event-ID: "+next)
	defer res.Body.Close()
	if lines := readEvent(t, bufio.NewReader(res.Body)); !strings.Contains(strings.Join(lines, "\n"), `"type":"b"`) {
		t.Fatal(lines)
	}
}

func TestAStreamsRetentionIsSetReadAndDeleted(t *testing.T) {
	f := open(t, Config{})
	r := f.request("PUT", "/v1/streams/orders.eu", `{"durable":true,"maxEvents":100,"maxBytes":"1MiB","maxAge":"2h"}`)
	equal(t, "status", r.status, 200)
	f.request("POST", "/v1/streams/orders.eu/events", `{"type":"created"}`)
	r = f.request("GET", "/v1/streams/orders.eu", "")
	epoch, _ := member(t, r.body, "epoch").(string)
	equal(t, "stream", r.body, `{"stream":"orders.eu","durable":true,"maxEvents":100,"maxBytes":"1MiB","maxAge":"2h","epoch":"`+epoch+`","first":1,"offset":1,"bytes":"71B"}`)
	equal(t, "conflict", f.request("PUT", "/v1/streams/orders.eu", `{}`).code(t), "conflict")
	equal(t, "the hub's", f.request("PUT", "/v1/streams/execution.x", `{}`).code(t), "invalid_request")
	c := f.socket()
	c.ask(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":"orders.eu"}}`)
	equal(t, "deleted", f.request("DELETE", "/v1/streams/orders.eu", "").status, 204)
	equal(t, "told", c.hear(), `{"jsonrpc":"2.0","method":"ended","params":{"subscription":"s1","reason":"ended"}}`)
	equal(t, "gone", f.request("GET", "/v1/streams/orders.eu", "").code(t), "not_found")
}

// params of notifications, by method.
type heard struct {
	Method string
	ID     int
	Params struct {
		Subscription, Event, Connection, Stream, Type string
		Total                                         int
		Offset                                        uint64
	}
	Result json.RawMessage
}

func (c *socketClient) next() (h heard) {
	c.t.Helper()
	msg := c.hear()
	if err := json.Unmarshal([]byte(msg), &h); err != nil {
		c.t.Fatalf("%v: %s", err, msg)
	}
	return h
}

func TestSocketsSeeWhoIsSubscribed(t *testing.T) {
	f := open(t, Config{})
	a, b := f.socket(), f.socket()
	a.ask(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":"chat.1","presence":true}}`)
	b.ask(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":"chat.1"}}`)
	came := a.next()
	equal(t, "came", came.Method+" "+came.Params.Event+" "+came.Params.Subscription, "presence join s1")
	answer := b.ask(`{"jsonrpc":"2.0","id":2,"method":"presence","params":{"stream":"chat.1"}}`)
	equal(t, "total", member(t, answer, "result", "total"), 2.0)
	if !strings.Contains(answer, came.Params.Connection) {
		t.Errorf("%s lacks %s", answer, came.Params.Connection)
	}
	_ = b.Close()
	left := a.next()
	equal(t, "left", left.Params.Event+" "+left.Params.Connection, "leave "+came.Params.Connection)
	equal(t, "total", left.Params.Total, 1)
}

// One who does not read is closed with 4008 after a bounded number of bytes; one who reads gets everything,
// and one who wants the latest alone gets the last.
func TestASubscriberThatDoesNotReadIsClosedAndOthersAreNot(t *testing.T) {
	f := open(t, Config{OutboxBytes: 256 << 10, CloseWithin: time.Minute}) // it reads its close when the others have all
	lazy, eager, latest := f.socket(), f.socket(), f.socket()
	lazy.ask(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":"big"}}`)
	eager.ask(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":"big"}}`)
	latest.ask(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"pattern":"big","latest":true}}`)
	const n = 200
	body := `{"type":"t","data":"` + strings.Repeat("x", 64<<10) + `"}`
	for i := range n {
		if r := f.request("POST", "/v1/streams/big/events", body); r.status != 200 {
			t.Fatal(r.body)
		}
		equal(t, "offset", eager.next().Params.Offset, uint64(i+1))
	}
	equal(t, "lazy", lazy.closed(), CloseSlow)
	got, last := 0, uint64(0)
	for last < n {
		ev := latest.next()
		if ev.Params.Offset <= last {
			t.Fatalf("event %d after %d", ev.Params.Offset, last)
		}
		last = ev.Params.Offset
		got++
	}
	if got == n {
		t.Errorf("it got all %d", n)
	}
	equal(t, "bad pointer", strings.Contains(latest.ask(`{"jsonrpc":"2.0","id":2,"method":"subscribe","params":{"stream":"x","latest":"id"}}`), "JSON pointer"), true)
}
