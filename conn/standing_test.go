package conn

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// shortToken gives a token that lives for a second or so, and when it runs out.
func (f *front) shortToken(subject string, scopes ...string) (token string, expires time.Time) {
	f.t.Helper()
	b, _ := json.Marshal(map[string]any{"subject": subject, "scopes": scopes, "ttl": "1s"})
	var made struct {
		Token     string
		ExpiresAt time.Time
	}
	if r := f.request("POST", "/v1/tokens", string(b)); json.Unmarshal([]byte(r.body), &made) != nil {
		f.t.Fatal(r.body)
	}
	return made.Token, made.ExpiresAt
}

func auth(token string) string {
	return `{"jsonrpc":"2.0","id":"auth","method":"auth","params":{"token":"` + token + `"}}`
}

const authOK = `{"jsonrpc":"2.0","id":"auth","result":true}`

// A page whose token runs out is asked for another, not cut; who has none goes on for the grace.
func TestASessionIsAskedForANewTokenBeforeItsOwnRunsOut(t *testing.T) {
	f := open(t, Config{ExpiryGrace: 300 * time.Millisecond})
	token, expires := f.shortToken("u1", "invoke:echo")
	c := f.socket(as(token))
	heard := c.hear()
	var note struct {
		Method string
		Params struct{ In int64 }
	}
	if err := json.Unmarshal([]byte(heard), &note); err != nil || note.Method != "expiring" || note.Params.In <= 0 || note.Params.In > 1000 {
		t.Fatal(heard)
	}
	if left := time.Until(expires); left <= 0 {
		t.Errorf("asked %v late", -left)
	}
	equal(t, "renewed", c.ask(auth(f.token("u1", "invoke:echo"))), authOK)

	token, expires = f.shortToken("u1", "invoke:echo")
	late := f.socket(as(token))
	if heard := late.hear(); !strings.Contains(heard, "expiring") {
		t.Fatal(heard)
	}
	equal(t, "not renewed", late.closed(), CloseUnauthorized)
	if over := time.Since(expires); over < 300*time.Millisecond {
		t.Errorf("closed %v after it ran out", over)
	}
	if got := c.ask(`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"echo","args":[1]}}`); !strings.Contains(got, `"result":[1]`) {
		t.Errorf("the renewed one: %s", got)
	}
}

func TestARenewalStaysWithItsTenantAndSubjectAndCanTakeRightsAway(t *testing.T) {
	f := open(t, Config{})
	c := f.socket(as(f.token("u1", "subscribe:orders.>", "subscribe:chat.a")))
	ask := func(stream string) {
		t.Helper()
		if got := c.ask(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":"` + stream + `"}}`); !strings.Contains(got, `"recovered":true`) {
			t.Fatal(got)
		}
	}
	ask("orders.eu")
	ask("chat.a")
	for _, other := range []string{f.token("u2", "subscribe:>"), f.token("", "subscribe:>"), f.key, "wrong", "eyJ.e30.x"} {
		if got := c.ask(auth(other)); !strings.Contains(got, `"code":"forbidden"`) && !strings.Contains(got, `"code":"unauthorized"`) {
			t.Errorf("%s: %s", other, got)
		}
	}
	equal(t, "renewed", c.ask(auth(f.token("u1", "subscribe:chat.*"))), authOK)
	equal(t, "what it does not cover", c.hear(), `{"jsonrpc":"2.0","method":"ended","params":{"subscription":"s1","reason":"forbidden"}}`)
	equal(t, "from then on", c.refusal("subscribe", `{"stream":"orders.eu"}`), "subscribe:orders.eu")
	for _, stream := range []string{"orders.eu", "chat.a"} {
		equal(t, "publish", f.request("POST", "/v1/streams/"+stream+"/events", `{"type":"t"}`).status, 200)
	}
	if got := c.hear(); !strings.Contains(got, `"subscription":"s2"`) || !strings.Contains(got, `"stream":"chat.a"`) {
		t.Error(got)
	}
}

func TestPresenceShowsTheSubject(t *testing.T) {
	f := open(t, Config{})
	c := f.socket(as(f.token("u1", "subscribe:chat.a")))
	equal(t, "subscribe", c.refusal("subscribe", `{"stream":"chat.a"}`), "")
	if got := c.ask(`{"jsonrpc":"2.0","id":1,"method":"presence","params":{"stream":"chat.a"}}`); !strings.Contains(got, `"subject":"u1"`) {
		t.Error(got)
	}
}

// A revocation that leaves what is open open revokes nothing.
func TestWhatIsRevokedEndsWhatItOpened(t *testing.T) {
	f := open(t, Config{})
	r := f.admin("POST", "/v1/admin/tenants/acme/keys", "")
	var key struct{ ID, Key string }
	if err := json.Unmarshal([]byte(r.body), &key); err != nil {
		t.Fatal(r.body)
	}
	other := f.socket()
	mint := func(with, subject string) (token, id string) {
		t.Helper()
		var made struct{ Token, ID string }
		r := f.request("POST", "/v1/tokens", `{"scopes":["subscribe:>"],"subject":"`+subject+`"}`, as(with))
		if err := json.Unmarshal([]byte(r.body), &made); err != nil {
			t.Fatal(r.body)
		}
		return made.Token, made.ID
	}
	hubKey := func() string {
		t.Helper()
		var keys struct{ Items []struct{ Kid string } }
		r := f.request("GET", "/v1/tokens/keys", "")
		if err := json.Unmarshal([]byte(r.body), &keys); err != nil || len(keys.Items) != 1 {
			t.Fatal(r.body)
		}
		return keys.Items[0].Kid
	}
	first, firstID := mint(f.key, "u1")
	second, _ := mint(f.key, "u2")
	ofKey, _ := mint(key.Key, "u3")
	last, _ := mint(f.key, "u4")
	for _, x := range []struct {
		what, token string
		revoke      func() response
	}{
		{"a token", first, func() response { return f.request("POST", "/v1/tokens/revoke", `{"id":"`+firstID+`"}`) }},
		{"a subject", second, func() response { return f.request("POST", "/v1/tokens/revoke", `{"subject":"u2"}`) }},
		{"a key", key.Key, nil},
		{"the key's token", ofKey, func() response { return f.admin("DELETE", "/v1/admin/tenants/acme/keys/"+key.ID, "") }},
		{"the hub's key", last, func() response { return f.request("DELETE", "/v1/tokens/keys/"+hubKey(), "") }},
	} {
		if x.revoke == nil {
			continue // with the next
		}
		c := f.socket(as(x.token))
		equal(t, "open", c.refusal("ping", `{}`), "")
		var byKey *socketClient
		if x.token == ofKey {
			byKey = f.socket(as(key.Key))
			equal(t, "open", byKey.refusal("ping", `{}`), "")
		}
		events := f.open("GET", "/v1/streams/orders.eu/events", "", as(x.token), "Accept: text/event-stream")
		equal(t, "events", events.StatusCode, 200)
		equal(t, "revoke "+x.what, x.revoke().status, 204)
		equal(t, x.what, c.closed(), CloseUnauthorized)
		if byKey != nil {
			equal(t, "a key", byKey.closed(), CloseUnauthorized)
		}
		b, err := io.ReadAll(events.Body)
		_ = events.Body.Close()
		if err != nil || !strings.Contains(string(b), "event: error\ndata: ") || !strings.Contains(string(b), `"code":"unauthorized"`) {
			t.Errorf("%s: its event stream had %q, %v", x.what, b, err)
		}
		equal(t, x.what+" again", f.request("GET", "/v1/streams/orders.eu/events", "", as(x.token)).code(t), "unauthorized")
	}
	equal(t, "whoever it was not about", other.refusal("ping", `{}`), "")
	equal(t, "delete the tenant", f.admin("DELETE", "/v1/admin/tenants/acme", "").status, 204)
	equal(t, "of a deleted tenant", other.closed(), CloseUnauthorized)
}

// Whoever is revoked while another's token has just run out must not take that one's grace.
func TestARevocationLeavesTheGraceOfOthers(t *testing.T) {
	f := open(t, Config{ExpiryGrace: time.Hour})
	token := f.token("u1", "subscribe:orders.>")
	c := f.socket(as(token))
	equal(t, "open", c.refusal("ping", `{}`), "")
	events := f.open("GET", "/v1/streams/orders.eu/events", "", as(token), "Accept: text/event-stream")
	defer events.Body.Close()
	keys := func() (kids []string) {
		t.Helper()
		var list struct{ Items []struct{ Kid string } }
		if r := f.request("GET", "/v1/tokens/keys", ""); json.Unmarshal([]byte(r.body), &list) != nil {
			t.Fatal(r.body)
		}
		for _, k := range list.Items {
			kids = append(kids, k.Kid)
		}
		return kids
	}
	equal(t, "rotate", f.request("DELETE", "/v1/tokens/keys/"+keys()[0]+"?after=1ms", "").status, 204)
	for len(keys()) > 0 { // until it is over, and with it the token
		continue
	}
	equal(t, "new", f.request("GET", "/v1/streams/orders.eu/events", "", as(token)).code(t), "unauthorized")
	if heard := c.hear(); !strings.Contains(heard, "expiring") {
		t.Fatal(heard)
	}
	revoke := func(subject string) {
		t.Helper()
		equal(t, "revoke "+subject, f.request("POST", "/v1/tokens/revoke", `{"subject":"`+subject+`"}`).status, 204)
	}
	revoke("u2")
	equal(t, "in its grace", c.refusal("ping", `{}`), "")
	equal(t, "another key", f.request("POST", "/v1/tokens/keys", `{"alg":"HS256"}`).status, 201) // forgets those that are over
	revoke("u3")
	equal(t, "in its grace", c.refusal("ping", `{}`), "")
	equal(t, "publish", f.request("POST", "/v1/streams/orders.eu/events", `{"type":"first"}`).status, 200)
	in := bufio.NewScanner(events.Body)
	for in.Scan() && !strings.HasPrefix(in.Text(), "data: ") {
		continue
	}
	if !strings.Contains(in.Text(), `"type":"first"`) {
		t.Errorf("the event stream had %q", in.Text())
	}
	revoke("u1")
	equal(t, "its own", c.closed(), CloseUnauthorized)
}

// An EventSource has no headers, and can't be asked for a new token: it comes back with one.
func TestAnEventStreamEndsWithItsTokenAndGoesOnWithAnother(t *testing.T) {
	f := open(t, Config{ExpiryGrace: time.Millisecond})
	token, expires := f.shortToken("", "subscribe:orders.>")
	equal(t, "publish", f.request("POST", "/v1/streams/orders.eu/events", `{"type":"first"}`).status, 200)
	res, err := http.Get("http://" + f.addr + "/v1/streams/orders.eu/events?since=start&token=" + token)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	equal(t, "a page", res.StatusCode, 200)
	res = f.open("GET", "/v1/streams/orders.eu/events?since=start&token="+token, "", "Authorization: ", "Accept: text/event-stream")
	defer res.Body.Close()
	var id string
	in := bufio.NewScanner(res.Body)
	for in.Scan() {
		if v, ok := strings.CutPrefix(in.Text(), "id: "); ok {
			id = v
		}
	}
	if in.Err() != nil || id == "" || time.Now().Before(expires) {
		t.Fatalf("it ended %v before its token, after %q: %v", time.Until(expires), id, in.Err())
	}
	equal(t, "publish", f.request("POST", "/v1/streams/orders.eu/events", `{"type":"second"}`).status, 200)
	res = f.open("GET", "/v1/streams/orders.eu/events?token="+f.token("", "subscribe:orders.>"), "", "Authorization: ", "Accept: text/event-stream", "Last-Event-ID: "+id)
	defer res.Body.Close()
	for in = bufio.NewScanner(res.Body); in.Scan(); {
		if strings.HasPrefix(in.Text(), "data: ") {
			if !strings.Contains(in.Text(), `"type":"second"`) {
				t.Error(in.Text())
			}
			return
		}
	}
	t.Fatal(in.Err())
}

func TestEveryWayToSignInTakesAToken(t *testing.T) {
	f := open(t, Config{})
	token := f.token("u1", "invoke:echo")
	for name, dial := range map[string]func() *socketClient{
		"header":      func() *socketClient { return f.socket(as(token)) },
		"query":       func() *socketClient { return f.dial("/v1/ws?token=" + token) },
		"subprotocol": func() *socketClient { return f.dial("/v1/ws", "Sec-WebSocket-Protocol: livefn.token."+token) },
		"first message": func() *socketClient {
			c := f.dial("/v1/ws")
			equal(t, "auth", c.ask(auth(token)), authOK)
			return c
		},
	} {
		c := dial()
		equal(t, name, fmt.Sprint(c.refusal("invoke", `{"function":"echo"}`), c.refusal("invoke", `{"function":"boom"}`)), "invoke:boom")
	}
}
