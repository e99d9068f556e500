package conn

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func (f *front) limits(json string) {
	f.t.Helper()
	if r := f.admin("PUT", "/v1/admin/tenants/acme/limits", json); r.status != 200 {
		f.t.Fatalf("%d %s", r.status, r.body)
	}
}

const askPing = `{"jsonrpc":"2.0","id":1,"method":"ping"}`

// One page with a loop must not take the connections of all others.
func TestConnectionsAreLimitedPerTenantAndPerSubject(t *testing.T) {
	f := open(t, Config{})
	f.limits(`{"maxConnections":3,"maxConnectionsPerSubject":2}`)
	one, two := f.token("u1", "subscribe:>"), f.token("u2", "subscribe:>")
	first, second := f.socket(as(one)), f.dial("/v1/ws?token="+one)
	for _, c := range []*socketClient{first, second} {
		equal(t, "within", c.refusal("ping", `{}`), "")
	}
	equal(t, "a third of the subject", f.socket(as(one)).closed(), CloseOverloaded)
	events := f.request("GET", "/v1/streams/a/events", "", as(one), "Accept: text/event-stream")
	equal(t, "an event stream of it", fmt.Sprint(events.status, events.code(t), strings.Contains(events.body, "maxConnectionsPerSubject")), "429overloadedtrue")
	stream := f.open("GET", "/v1/streams/a/events", "", as(two), "Accept: text/event-stream")
	equal(t, "another's", stream.StatusCode, 200)
	c := f.dial("/v1/ws")
	if got := c.ask(auth(two)); !strings.Contains(got, `"code":"overloaded"`) || !strings.Contains(got, "maxConnections") {
		t.Error(got)
	}
	equal(t, "a fourth of the tenant", c.closed(), CloseOverloaded)
	equal(t, "a renewal is none", first.ask(auth(one)), authOK)
	_ = stream.Body.Close()
	_, _ = io.Copy(io.Discard, stream.Body)
	for end := time.Now().Add(10 * time.Second); ; { // until the hub has noticed
		c := f.dial("/v1/ws")
		if got := c.ask(auth(two)); got == authOK {
			break
		} else if time.Now().After(end) {
			t.Fatal(got)
		}
	}
	f.limits(`{}`)
	equal(t, "without limits", f.socket(as(one)).refusal("ping", `{}`), "")
}

// An invoke that is answered as an event stream holds a connection as any other, and goes with its token.
func TestAnInvokeAnsweredAsAnEventStreamIsAConnection(t *testing.T) {
	f := open(t, Config{})
	f.limits(`{"maxConnectionsPerSubject":1}`)
	token := as(f.token("u1", "invoke:*"))
	const accept = "Accept: text/event-stream"
	equal(t, "one that can't begin gives its place back", f.request("POST", "/v1/invoke/none", "[]", token, accept).code(t), "not_found")
	res := f.open("POST", "/v1/invoke/held", "[]", token, accept)
	defer res.Body.Close()
	<-f.bridges.more
	equal(t, "a second", f.request("POST", "/v1/invoke/echo", "[]", token, accept).code(t), "overloaded")
	equal(t, "a plain one is none", f.request("POST", "/v1/invoke/echo", "[1]", token).body, "[1]")
	equal(t, "revoke", f.request("POST", "/v1/tokens/revoke", `{"subject":"u1"}`).status, 204)
	b, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(b), "event: error\ndata: ") || !strings.Contains(string(b), `"code":"unauthorized"`) {
		t.Errorf("%q, %v", b, err)
	}
	f.bridges.release("1")
}

func TestSubscriptionsAreLimitedPerTenantAndPerSubject(t *testing.T) {
	f := open(t, Config{})
	f.limits(`{"maxSubscriptions":3,"maxSubscriptionsPerSubject":2}`)
	one, two := f.token("u1", "subscribe:>"), f.token("u2", "subscribe:>")
	a, b, other := f.socket(as(one)), f.socket(as(one)), f.socket(as(two))
	subscribe := func(c *socketClient) string { t.Helper(); return c.refusal("subscribe", `{"stream":"a"}`) }
	equal(t, "first", subscribe(a), "")
	equal(t, "second, on another connection", subscribe(b), "")
	equal(t, "third of the subject", subscribe(a), "overloaded")
	equal(t, "another's", subscribe(other), "")
	equal(t, "fourth of the tenant", subscribe(other), "overloaded")
	equal(t, "one that fails gives its place back", a.refusal("unsubscribe", `{"subscription":"s1"}`), "")
	equal(t, "of nothing", a.refusal("subscribe", `{"stream":"execution.01ARZ3NDEKTSV4RRFFQ69G5FAV"}`), "not_found")
	equal(t, "again", subscribe(a), "")
	equal(t, "all are taken", subscribe(other), "overloaded")
}

func TestMessagesAreLimitedPerTenantAndPerSubject(t *testing.T) {
	f := open(t, Config{})
	one, two := f.token("u1", "invoke:*"), f.token("u2", "invoke:*")
	a, b, other := f.socket(as(one)), f.socket(as(one)), f.socket(as(two))
	f.limits(`{"messageRate":0.03,"messageRatePerSubject":0.02}`)
	equal(t, "first", a.refusal("ping", `{}`), "")
	var refused struct {
		Error struct {
			Data struct {
				Code       string
				RetryAfter int64
			}
		}
	}
	got := b.ask(askPing)
	if err := json.Unmarshal([]byte(got), &refused); err != nil || refused.Error.Data.Code != "rate_limited" ||
		refused.Error.Data.RetryAfter < 40_000 || refused.Error.Data.RetryAfter > 50_000 || !strings.Contains(got, "messageRatePerSubject") {
		t.Errorf("second of the subject: %s", got)
	}
	equal(t, "a renewal is not counted", a.ask(auth(one)), authOK)
	if got := other.ask(askPing); !strings.Contains(got, "(messageRate)") {
		t.Errorf("second of the tenant: %s", got)
	}
	f.limits(`{}`)
	equal(t, "without limits", b.refusal("ping", `{}`), "")
}

// What is refused as wrong costs the hub no less, so it must not be free. A renewal is let through, but verifying is dear.
func TestWhatIsWrongCountsAndRenewalsHaveARateOfTheirOwn(t *testing.T) {
	f := open(t, Config{AuthRate: 2, MaxCalls: 1})
	token := f.token("u1", "invoke:*")
	for name, msg := range map[string]string{
		"no JSON":          `{`,
		"an empty batch":   `[]`,
		"a large batch":    "[" + strings.Repeat(`1,`, 300) + "1]",
		"no request":       `{"jsonrpc":"2.0","id":1}`,
		"no method":        `{"jsonrpc":"2.0","id":1,"method":"none"}`,
		"params no object": `{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}`,
	} {
		f.limits(`{}`)
		c := f.socket(as(token))
		f.limits(`{"messageRatePerSubject":0.01}`)
		equal(t, name+" is answered", strings.Contains(c.ask(msg), "rate_limited"), false)
		equal(t, "after "+name, c.refusal("ping", `{}`), "rate_limited")
		equal(t, name+" again", strings.Contains(c.ask(msg), "rate_limited"), true)
		f.limits(`{"messageRatePerSubject":0.02}`) // begins anew
		equal(t, "a renewal", c.ask(auth(token)), authOK)
		equal(t, "counts", c.refusal("ping", `{}`), "rate_limited")
		equal(t, "and is let through", c.ask(auth(token)), authOK)
		if got := c.ask(auth(token)); !strings.Contains(got, `"code":"rate_limited"`) || !strings.Contains(got, "AuthRate") || !strings.Contains(got, `"retryAfter":`) {
			t.Errorf("a third: %s", got)
		}
	}
	f.limits(`{}`)
	c := f.socket(as(token))
	c.say(`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"held"}}`)
	<-f.bridges.more
	f.limits(`{"messageRatePerSubject":0.03}`)
	equal(t, "one too many at once", c.refusal("ping", `{}`), "overloaded")
	f.bridges.release("1")
	c.hear()
	equal(t, "counts", c.refusal("ping", `{}`), "rate_limited")
}

// Who may not send more over a WebSocket could else publish as much as it likes by HTTP.
func TestPublishesByHTTPAreMessages(t *testing.T) {
	f := open(t, Config{RefusePause: time.Millisecond})
	one, two := as(f.token("u1", "publish:>")), as(f.token("u2", "publish:>"))
	const path, ours = "/v1/streams/a/events", `{"type":"t"}`
	ce := `{"specversion":"1.0","id":"1","source":"s","type":"t"}`
	for name, send := range map[string]func() response{
		"ours":       func() response { return f.request("POST", path, ours, one) },
		"structured": func() response { return f.request("POST", path, ce, one, "Content-Type: application/cloudevents+json") },
		"binary": func() response {
			return f.request("POST", path, "", one, "Ce-Specversion: 1.0", "Ce-Id: 1", "Ce-Source: s", "Ce-Type: t")
		},
		"a batch": func() response {
			return f.request("POST", path, "["+ce+"]", one, "Content-Type: application/cloudevents-batch+json")
		},
		"an array":      func() response { return f.request("POST", path, "["+ours+"]", one) },
		"what is wrong": func() response { return f.request("POST", path, "{", one) },
	} {
		f.limits(`{}`)
		if got := send(); got.status == 429 {
			t.Errorf("%s without limits: %s", name, got.body)
		}
		f.limits(`{"messageRatePerSubject":0.01}`)
		if got := send(); got.status == 429 {
			t.Errorf("%s, the first: %s", name, got.body)
		}
		got := send()
		if after := got.header.Get("Retry-After"); got.code(t) != "rate_limited" || got.status != 429 || (after != "100" && after != "99") || !strings.Contains(got.body, "messageRatePerSubject") {
			t.Errorf("%s, the second: %d, Retry-After %q, %s", name, got.status, after, got.body)
		}
		equal(t, name+", another subject's", f.request("POST", path, ours, as(f.token(name, "publish:>"))).status, 200)
		f.limits(`{"messageRatePerSubject":0.02}`) // begins anew
		send()
		equal(t, name+" counts over a WebSocket", f.socket(one).refusal("ping", `{}`), "rate_limited")
	}
	f.limits(`{"messageRate":0.01}`)
	equal(t, "the tenant's first", f.request("POST", path, ours, one).status, 200)
	if got := f.request("POST", path, ours, two); got.code(t) != "rate_limited" || !strings.Contains(got.body, "(messageRate)") {
		t.Error(got.body)
	}
}

// An array is let in with its first event; the others are waited for afterwards.
func TestAnArrayCountsWithEachOfItsEvents(t *testing.T) {
	f := open(t, Config{RefusePause: time.Millisecond})
	const path = "/v1/streams/a/events"
	array := "[" + strings.Repeat(`{"type":"t"},`, 99) + `{"type":"t"}]`
	for _, limits := range []string{`{"messageRate":0.1}`, `{"messageRatePerSubject":0.1}`} {
		f.limits(limits)
		token := as(f.token("u1", "publish:>"))
		equal(t, "an array", f.request("POST", path, array, token).status, 200)
		got := f.request("POST", path, `{"type":"t"}`, token)
		var after int
		if _, err := fmt.Sscan(got.header.Get("Retry-After"), &after); err != nil || after < 950 || after > 1000 || got.code(t) != "rate_limited" {
			t.Errorf("after 100 events at one in 10 s: %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
		}
		f.limits(`{}`)
	}
}

// What was sent must not be forgotten with the connection, or a loop that reconnects has no limit.
func TestComingBackBeginsNoNewSecond(t *testing.T) {
	f := open(t, Config{MaxSubjects: 2})
	token := f.token("u1", "invoke:*")
	f.limits(`{"messageRatePerSubject":0.01}`)
	for i, want := range []string{"", "rate_limited", "rate_limited"} {
		c := f.socket(as(token))
		equal(t, fmt.Sprint("connection ", i), c.refusal("ping", `{}`), want)
		_ = c.Close()
		for end := time.Now().Add(10 * time.Second); ; { // until the hub has noticed
			f.srv.quotas.mu.Lock()
			open := 0
			for _, u := range f.srv.quotas.all {
				open += u.conns
			}
			f.srv.quotas.mu.Unlock()
			if open == 0 {
				break
			} else if time.Now().After(end) {
				t.Fatal("the connection is still there")
			}
		}
	}
	q := &f.srv.quotas
	held := func() (tenants, idle, active int) {
		q.mu.Lock()
		defer q.mu.Unlock()
		for _, u := range q.all {
			idle, active = idle+len(u.idle), active+len(u.subjects)
		}
		return len(q.all), idle, active
	}
	for i := range 5 { // more than are kept
		f.request("POST", "/v1/streams/a/events", `{"type":"t"}`, as(f.token(fmt.Sprint("s", i), "publish:>")))
	}
	tenants, idle, active := held()
	equal(t, "bounded", fmt.Sprint(tenants, idle, active), "1 2 0")
	q.sweep(time.Now())
	_, idle, _ = held()
	equal(t, "those that must wait stay", idle, 2)
	in := f.socket(as(token))
	equal(t, "in", in.refusal("ping", `{}`) != "forbidden", true)
	q.sweep(time.Now().Add(time.Hour))
	tenants, idle, active = held()
	equal(t, "who has made up for it goes, who is there stays", fmt.Sprint(tenants, idle, active), "1 0 1")
	_ = in.Close()
	for end := time.Now().Add(10 * time.Second); active > 0; _, _, active = held() {
		if time.Now().After(end) {
			t.Fatal("the connection is still there")
		}
	}
	q.sweep(time.Now().Add(time.Hour))
	tenants, _, _ = held()
	equal(t, "nothing is left", tenants, 0)
}
