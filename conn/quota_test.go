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
