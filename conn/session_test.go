package conn

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// same compares JSON by its meaning.
func same(t *testing.T, what, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%s: %q: %v", what, got, err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Fatalf("%s:\n got %s\nwant %s", what, got, want)
	}
}

func TestAnInvokeOverAWebSocketIsAnswered(t *testing.T) {
	f := open(t, Config{})
	c := f.socket()
	for _, x := range []struct{ msg, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"echo","args":[1,2]}}`, `{"jsonrpc":"2.0","id":1,"result":[1,2]}`},
		{`{"jsonrpc":"2.0","id":"a\"","method":"invoke","params":{"function":"\u0065cho","args":"ü"}}`, `{"jsonrpc":"2.0","id":"a\"","result":"ü"}`},
		{`{"jsonrpc":"2.0","id":null,"method":"invoke","params":{"function":"echo"}}`, `{"jsonrpc":"2.0","id":null,"result":null}`},
		{`{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, `{"jsonrpc":"2.0","id":1.5,"result":"pong"}`},
		{`{"jsonrpc":"2.0","id":2,"method":"invoke","params":{"function":"echo","args":[1],"key":"k","timeout":"5s"}}`, `{"jsonrpc":"2.0","id":2,"result":[1]}`},
		{`{"jsonrpc":"2.0","id":2,"method":"invoke","params":{"function":"echo","args":[1],"key":"k"}}`, `{"jsonrpc":"2.0","id":2,"result":[1]}`},
	} {
		same(t, x.msg, c.ask(x.msg), x.want)
	}
	big := `"` + strings.Repeat("x", 3<<20) + `"`
	if got := c.ask(`{"jsonrpc":"2.0","id":3,"method":"invoke","params":{"function":"echo","args":` + big + `}}`); got != `{"jsonrpc":"2.0","id":3,"result":`+big+`}` {
		t.Fatalf("%d bytes", len(got))
	}
}

func TestErrorsOfAWebSocketHaveTheirCodes(t *testing.T) {
	f := open(t, Config{MaxBatch: 3})
	c := f.socket()
	for _, x := range []struct {
		msg, id string
		code    int
		fault   string
		says    string
	}{
		{`{`, `null`, -32700, "", "JSON"},
		{`[]`, `null`, -32600, "", "empty"},
		{`[1,2,3,4]`, `null`, -32600, "", "many"},
		{`1`, `null`, -32600, "", "request"},
		{`{"jsonrpc":"1.0","id":1,"method":"ping"}`, `1`, -32600, "", "request"},
		{`{"jsonrpc":"2.0","id":1,"method":"fly"}`, `1`, -32601, "", "fly"},
		{`{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}`, `1`, -32602, "invalid_request", "object"},
		{`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{}}`, `1`, -32602, "invalid_request", "params.function"},
		{`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":1}}`, `1`, -32602, "invalid_request", "params.function"},
		{`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"echo","events":1}}`, `1`, -32602, "invalid_request", "params.events"},
		{`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"echo","timeout":"soon"}}`, `1`, -32602, "invalid_request", "params.timeout"},
		{`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"echo","arg":[1]}}`, `1`, -32602, "invalid_request", "params.arg"},
		{`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"none"}}`, `1`, -32000, "not_found", "none"},
		{`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"boom"}}`, `1`, -32000, "function_error", "luck"},
		{`{"jsonrpc":"2.0","id":1,"method":"get","params":{"execution":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}}`, `1`, -32000, "not_found", ""},
		{`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":"function.echo","since":1}}`, `1`, -32602, "invalid_request", "params.since"},
		{`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{}}`, `1`, -32602, "invalid_request", "params.stream"},
		{`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":"function.none"}}`, `1`, -32000, "not_found", "none"},
		{`{"jsonrpc":"2.0","id":1,"method":"unsubscribe","params":{"subscription":"s99"}}`, `1`, -32000, "not_found", "s99"},
		{`{"jsonrpc":"2.0","id":1,"method":"resume","params":{"execution":"x","version":-1}}`, `1`, -32602, "invalid_request", "params.version"},
	} {
		var r struct {
			ID    json.RawMessage
			Error struct {
				Code    int
				Message string
				Data    struct{ Code, Name, Stack string }
			}
		}
		got := c.ask(x.msg)
		if err := json.Unmarshal([]byte(got), &r); err != nil || string(r.ID) != x.id || r.Error.Code != x.code ||
			r.Error.Data.Code != x.fault || !strings.Contains(r.Error.Message, x.says) {
			t.Fatalf("%s: got %s", x.msg, got)
		}
		if x.fault == "function_error" && (r.Error.Data.Name != "TypeError" || r.Error.Data.Stack == "") {
			t.Fatal(got)
		}
	}
}

func TestABatchIsAnsweredInOneArrayAndNotificationsNotAtAll(t *testing.T) {
	f := open(t, Config{})
	c := f.socket()
	c.say(`[{"jsonrpc":"2.0","method":"ping"},{"jsonrpc":"2.0","method":"fly"}]`)
	got := c.ask(`[{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"echo","args":[1]}},1,
		{"jsonrpc":"2.0","method":"invoke","params":{"function":"echo"}},{"jsonrpc":"2.0","id":2,"method":"ping"}]`)
	var answers []struct {
		ID     any
		Result any
		Error  *struct{ Code int }
	}
	if err := json.Unmarshal([]byte(got), &answers); err != nil || len(answers) != 3 {
		t.Fatal(got)
	}
	var seen []string
	for _, a := range answers {
		if a.Error != nil {
			a.Result = a.Error.Code
		}
		seen = append(seen, fmt.Sprintf("%v %v", a.ID, a.Result))
	}
	sort.Strings(seen)
	equal(t, "answers", fmt.Sprint(seen), "[1 [1] 2 pong <nil> -32600]")
}

func TestEventsOfAnInvokeComeBeforeItsResult(t *testing.T) {
	f := open(t, Config{})
	c := f.socket()
	c.say(`{"jsonrpc":"2.0","id":"c1","method":"invoke","params":{"function":"progress","events":true}}`)
	var types []string
	for {
		var m struct {
			ID     string
			Method string
			Result any
			Params struct {
				Call, Stream, Type string
				Offset             int
			}
		}
		msg := c.hear()
		if err := json.Unmarshal([]byte(msg), &m); err != nil {
			t.Fatal(err)
		}
		if m.ID == "c1" {
			equal(t, "result", m.Result, any("done"))
			break
		}
		if m.Method != "event" || m.Params.Call != "c1" || !strings.HasPrefix(m.Params.Stream, "execution.") || m.Params.Offset != len(types)+1 {
			t.Fatal(msg)
		}
		types = append(types, m.Params.Type)
	}
	if got := strings.Join(types, " "); !strings.Contains(got, "progress result") {
		t.Fatal(got)
	}
}

func TestASubscriptionIsAnsweredBeforeItsEventsAndEndsWithTheExecution(t *testing.T) {
	f := open(t, Config{})
	c := f.socket()
	var started struct{ Result struct{ Execution string } }
	_ = json.Unmarshal([]byte(c.ask(`{"jsonrpc":"2.0","id":1,"method":"start","params":{"function":"held","args":[1]}}`)), &started)
	<-f.bridges.more
	id := started.Result.Execution
	c.say(`{"jsonrpc":"2.0","id":2,"method":"subscribe","params":{"stream":"execution.` + id + `","since":"start"}}`)
	var sub struct {
		ID     int
		Result subscribed
	}
	if got := c.hear(); json.Unmarshal([]byte(got), &sub) != nil || sub.ID != 2 || sub.Result.Subscription != "s1" || !sub.Result.Recovered || sub.Result.Offset != 0 {
		t.Fatal(got)
	}
	type note struct {
		Params struct {
			Subscription, Type string
			Offset             uint64
		}
	}
	expect := func(offset uint64, eventType string) {
		t.Helper()
		var n note
		if got := c.hear(); json.Unmarshal([]byte(got), &n) != nil || n.Params.Subscription != "s1" || n.Params.Offset != offset || n.Params.Type != eventType {
			t.Fatal(got)
		}
	}
	expect(1, "execution.queued")
	expect(2, "execution.started")
	f.bridges.release("1")
	expect(3, "execution.succeeded")
	same(t, "the end is told", c.hear(), `{"jsonrpc":"2.0","method":"ended","params":{"subscription":"s1","reason":"ended"}}`)
	same(t, "unsubscribe", c.ask(`{"jsonrpc":"2.0","id":3,"method":"unsubscribe","params":{"subscription":"s1"}}`), `{"jsonrpc":"2.0","id":3,"result":true}`)
	got := c.ask(`{"jsonrpc":"2.0","id":4,"method":"subscribe","params":{"stream":"execution.` + id + `","since":{"epoch":"` + sub.Result.Epoch + `","offset":2}}}`)
	same(t, "again", got, `{"jsonrpc":"2.0","id":4,"result":{"subscription":"s2","epoch":"`+sub.Result.Epoch+`","offset":2,"recovered":true}}`)
	if got := c.hear(); !strings.Contains(got, "execution.succeeded") {
		t.Fatal(got)
	}
	same(t, "its end", c.hear(), `{"jsonrpc":"2.0","method":"ended","params":{"subscription":"s2","reason":"ended"}}`)
	if got := c.ask(`{"jsonrpc":"2.0","id":5,"method":"list","params":{"function":"held"}}`); !strings.Contains(got, id) {
		t.Fatal(got)
	}
}

func TestASocketSignsInFourWays(t *testing.T) {
	f := open(t, Config{})
	ping := `{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"echo","args":[1]}}`
	pong := `{"jsonrpc":"2.0","id":1,"result":[1]}`
	same(t, "header", f.socket().ask(ping), pong)
	same(t, "query", f.dial("/v1/ws?token="+f.key).ask(ping), pong)
	c := f.dial("/v1/ws", "Sec-WebSocket-Protocol: livefn.v1, livefn.token."+f.key)
	equal(t, "subprotocol", c.Subprotocol(), "livefn.v1")
	same(t, "subprotocol", c.ask(ping), pong)
	c = f.dial("/v1/ws", "Sec-WebSocket-Protocol: livefn.token."+f.key)
	equal(t, "subprotocol", c.Subprotocol(), "livefn.token."+f.key)
	c = f.dial("/v1/ws")
	same(t, "message", c.ask(`{"jsonrpc":"2.0","id":1,"method":"auth","params":{"token":"`+f.key+`"}}`), `{"jsonrpc":"2.0","id":1,"result":true}`)
	same(t, "message", c.ask(ping), pong)
	c = f.dial("/v1/ws?tenant=acme&token=" + adminKey)
	same(t, "admin", c.ask(ping), pong)
}

func TestASocketThatDoesNotSignInIsClosed(t *testing.T) {
	f := open(t, Config{AuthWithin: 50 * time.Millisecond})
	equal(t, "silent", f.dial("/v1/ws").closed(), CloseUnauthorized)
	equal(t, "a wrong token", f.dial("/v1/ws?token=wrong").closed(), CloseUnauthorized)
	c := f.dial("/v1/ws")
	if got := c.ask(`{"jsonrpc":"2.0","id":1,"method":"ping"}`); !strings.Contains(got, `"unauthorized"`) {
		t.Fatal(got)
	}
	equal(t, "another method first", c.closed(), CloseUnauthorized)
	_, res, err := websocket.DefaultDialer.Dial("ws://"+f.addr+"/v1/ws", http.Header{"Authorization": {"Bearer wrong"}})
	if err == nil || res == nil || res.StatusCode != 401 {
		t.Fatalf("%v", err)
	}
	defer res.Body.Close()
}

func TestBrokenMessagesCloseWithTheirCode(t *testing.T) {
	f := open(t, Config{MaxFrame: 1 << 16})
	c := f.socket()
	_ = c.WriteMessage(websocket.BinaryMessage, []byte("{}"))
	equal(t, "binary", c.closed(), CloseNotText)
	c = f.socket()
	_ = c.WriteMessage(websocket.TextMessage, []byte("\"\xff\""))
	equal(t, "not UTF-8", c.closed(), CloseNotUTF8)
	c = f.socket()
	_ = c.WriteMessage(websocket.TextMessage, make([]byte, 1<<20))
	equal(t, "too large", c.closed(), CloseTooLarge)
	c = f.socket()
	_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
	equal(t, "the client's own", c.closed(), CloseNormal)
}

func TestAClientThatDoesNotReadIsClosedAsSlow(t *testing.T) {
	f := open(t, Config{OutboxBytes: 1 << 20, CloseWithin: time.Minute})
	c := f.socket()
	for i := range 4 { // each makes 20 MB of events
		c.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"invoke","params":{"function":"flood","events":true}}`, i))
	}
	for range 4 {
		<-f.bridges.more
	}
	equal(t, "closed", c.closed(), CloseSlow)
}

// The protocol's own pings go the same way as answers, and answer pings of the client.
func TestPingsAreAnsweredAndSilentPeersClosed(t *testing.T) {
	f := open(t, Config{PingEvery: time.Second}) // far more than a busy machine takes for an answer
	c := f.socket()
	pinged := make(chan struct{}, 100)
	c.SetPingHandler(func(data string) error {
		pinged <- struct{}{}
		return c.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
	})
	c.SetPongHandler(func(data string) error {
		equal(t, "pong", data, "hello")
		_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
		return nil
	})
	go func() {
		for range 3 { // it stays open while it answers
			<-pinged
		}
		_ = c.WriteControl(websocket.PingMessage, []byte("hello"), time.Now().Add(time.Second))
	}()
	equal(t, "closed", c.closed(), CloseNormal)

	dead, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	fmt.Fprintf(dead, "GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer %s\r\n\r\n", f.key)
	r := bufio.NewReader(dead)
	res, err := http.ReadResponse(r, nil)
	if err == nil {
		defer res.Body.Close()
	}
	if err != nil || res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("%v, %v", res, err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
}

func TestTheFirstMessageMayComeWithTheHandshake(t *testing.T) {
	f := open(t, Config{})
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	msg := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	fmt.Fprintf(c, "GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer %s\r\n\r\n%s%s", f.key, []byte{0x81, 0x80 | byte(len(msg)), 0, 0, 0, 0}, msg)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	want := `{"jsonrpc":"2.0","id":1,"result":"pong"}`
	b := make([]byte, 2+len(want))
	if _, err := io.ReadFull(r, b); err != nil || string(b[2:]) != want {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestTooManyRequestsAtOnceAreRefused(t *testing.T) {
	f := open(t, Config{MaxCalls: 2, MaxSubs: 1})
	c := f.socket()
	for range 2 {
		c.say(`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"held"}}`)
		<-f.bridges.more
	}
	if got := c.ask(`{"jsonrpc":"2.0","id":2,"method":"ping"}`); !strings.Contains(got, `"overloaded"`) {
		t.Fatal(got)
	}
	f.bridges.release("1")
	c.hear()
	c.hear()
	c.ask(`{"jsonrpc":"2.0","id":3,"method":"subscribe","params":{"stream":"function.held"}}`)
	if got := c.ask(`{"jsonrpc":"2.0","id":4,"method":"subscribe","params":{"pattern":"function.*"}}`); !strings.Contains(got, `"overloaded"`) {
		t.Fatal(got)
	}
}

// Who waits on a socket waits through a pause.
func TestAnInvokeWaitsThroughAPause(t *testing.T) {
	f := open(t, Config{})
	c := f.socket()
	c.say(`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"held","args":[]}}`)
	<-f.bridges.more
	var page struct {
		Result struct{ Items []struct{ ID string } }
	}
	_ = json.Unmarshal([]byte(c.ask(`{"jsonrpc":"2.0","id":2,"method":"list"}`)), &page)
	id := page.Result.Items[0].ID
	c.ask(`{"jsonrpc":"2.0","id":3,"method":"subscribe","params":{"stream":"execution.` + id + `"}}`)
	c.say(`{"jsonrpc":"2.0","id":4,"method":"pause","params":{"execution":"` + id + `"}}`)
	for !strings.Contains(c.hear(), `"execution.paused"`) {
	}
	c.say(`{"jsonrpc":"2.0","id":5,"method":"resume","params":{"execution":"` + id + `","args":[1]}}`)
	<-f.bridges.more
	f.bridges.release("77")
	for !strings.Contains(c.hear(), `{"jsonrpc":"2.0","id":1,"result":77}`) {
	}
}

func TestADrainTellsSocketsAndClosesThemOnceTheirCallsAreAnswered(t *testing.T) {
	f := open(t, Config{})
	idle, busy := f.socket(), f.socket()
	busy.say(`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"held"}}`)
	<-f.bridges.more
	go f.stop()
	var m struct {
		Method string
		Params struct {
			Reason    string
			Reconnect struct{ After *int }
		}
	}
	for _, c := range []*socketClient{idle, busy} {
		if got := c.hear(); json.Unmarshal([]byte(got), &m) != nil || m.Method != "closing" || m.Params.Reason != "drain" || m.Params.Reconnect.After == nil {
			t.Fatal(got)
		}
	}
	equal(t, "idle", idle.closed(), CloseRestart)
	f.bridges.release("5")
	same(t, "answer", busy.hear(), `{"jsonrpc":"2.0","id":1,"result":5}`)
	equal(t, "busy", busy.closed(), CloseRestart)
}

// A session that is gone must leave nothing behind in the hub.
func TestASocketsSubscriptionsEndWithIt(t *testing.T) {
	f := open(t, Config{})
	c := f.socket()
	c.ask(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"pattern":">"}}`)
	s := f.srv.live.list()[0].(*Session)
	s.mu.Lock()
	sub := s.subs[0].sub
	s.mu.Unlock()
	_ = c.Close()
	f.stop()
	if sub.Stream() != ">" || s.subs != nil || !s.over {
		t.Fatal("the subscription is still the session's")
	}
}

// Who is sent away must not sign in on the way out: that would take the close's time limit away.
func TestASessionThatEndsDoesNothingMore(t *testing.T) {
	f := open(t, Config{})
	c := f.dial("/v1/ws")
	c.say(`[` + askPing + `,` + auth(f.key) + `,{"jsonrpc":"2.0","id":2,"method":"publish","params":{"stream":"a","type":"t"}}]`)
	equal(t, "closed", c.closed(), CloseUnauthorized)
	if r := f.request("GET", "/v1/streams/a/events", ""); strings.Contains(r.body, `"type":"t"`) {
		t.Error(r.body)
	}

	caller, err := f.srv.signIn([]byte(f.key), from{})
	if err != nil {
		t.Fatal(err)
	}
	for _, ending := range []bool{false, true} {
		s := newSession(f.srv, &socket{})
		s.within(time.Hour, func() {})
		s.ending.Store(ending)
		if err := s.signedIn(caller); err != nil {
			t.Fatal(err)
		}
		equal(t, "its timer runs", s.timer != nil && s.timer.Stop(), ending)
		s.end()
	}
}
