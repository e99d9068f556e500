package conn

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/livefn/livefn/tenants"
)

// token mints a token with the tenant's key.
func (f *front) token(subject string, scopes ...string) string {
	f.t.Helper()
	b, _ := json.Marshal(map[string]any{"subject": subject, "scopes": scopes, "ttl": "1m"})
	r := f.request("POST", "/v1/tokens", string(b))
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(r.body), &made); err != nil || r.status != http.StatusCreated {
		f.t.Fatalf("%d %s", r.status, r.body)
	}
	return made.Token
}

// as gives the header that signs in with a key or token.
func as(token string) string { return "Authorization: Bearer " + token }

// A route that nobody gave a thought to would be everybody's.
func TestEveryRouteAndEveryMethodHasARuleAndEveryRuleIsOfOne(t *testing.T) {
	f := open(t, Config{})
	unused := maps.Clone(rules)
	use := func(name string, r rule) {
		if r.who == 0 {
			t.Errorf("%s has no row in rules (access.go): say who may use it", name)
		}
		delete(unused, name)
	}
	for _, r := range f.srv.routes {
		path := "/" + strings.Join(r.parts, "/")
		if _, ok := rules["ANY "+path]; ok {
			use("ANY "+path, r.rule)
		} else {
			use(r.method+" "+path, r.rule)
		}
		if r.rule.on != "" && !strings.Contains(path, "{"+r.rule.on+"}") {
			t.Errorf("%s has no part %s, on which its rule is", path, r.rule.on)
		}
	}
	for name, m := range methods {
		use("WS "+name, m.rule)
	}
	for name := range unused {
		t.Errorf("there is no %s", name)
	}
	err := f.srv.allow(&Caller{Admin: true}, rule{}, "")
	equal(t, "without a rule", err, error(errNoRule))
}

var braces = regexp.MustCompile(`\{[^}]*\}`)

// The table is what is enforced: on every route, for who has no key, and for a token that may nearly nothing.
func TestEveryRouteRefusesWhoMayNotUseIt(t *testing.T) {
	f := open(t, Config{})
	token := f.token("u1", "publish:nothing.at.all")
	for _, r := range f.srv.routes {
		path := braces.ReplaceAllString("/"+strings.Join(r.parts, "/"), "x")
		what := r.method + " " + path
		if r.rule.who == anyone {
			continue
		}
		if got := f.request(r.method, path, "{}", "Authorization: "); got.status != 401 || got.code(t) != "unauthorized" {
			t.Errorf("%s without a key: %d %s", what, got.status, got.body)
		}
		got := f.request(r.method, path, "{}", as(token))
		says := map[who]string{holder: "lacks the scope", keyOnly: "whatever its scopes", anyKey: "whatever its scopes", operator: "admin key"}[r.rule.who]
		if got.status != 403 || got.code(t) != "forbidden" || !strings.Contains(got.body, says) {
			t.Errorf("%s with a token: %d %s; want it to say %q", what, got.status, got.body, says)
		}
		if got := f.request(r.method, path, "{}"); r.rule.who == operator && got.status != 403 || r.rule.who != operator && (got.status == 401 || got.status == 403) {
			t.Errorf("%s with the tenant's key: %d %s", what, got.status, got.body)
		}
	}
}

func TestEveryMethodRefusesWhoMayNotUseIt(t *testing.T) {
	f := open(t, Config{})
	token := f.token("u1", "publish:nothing.at.all")
	params := `{"function":"echo","execution":"x","stream":"orders.eu","type":"t"}`
	for name, m := range methods {
		ask := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, name, params)
		if m.rule.who != anyone {
			c := f.dial("/v1/ws")
			if got := c.ask(ask); !strings.Contains(got, `"code":"unauthorized"`) {
				t.Errorf("%s before auth: %s", name, got)
			}
			equal(t, name+" before auth", c.closed(), CloseUnauthorized)
		}
		got := f.socket(as(token)).ask(ask)
		if lacks := strings.Contains(got, `"code":"forbidden"`) && strings.Contains(got, "lacks the scope"); lacks != (m.rule.scope != "") {
			t.Errorf("%s with a token: %s", name, got)
		}
		for _, wrong := range []string{`{}`, `{"function":7,"execution":[],"stream":{},"pattern":true,"type":"t"}`} { // without its target
			got := f.socket(as(token)).ask(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, name, wrong))
			if m.rule.on != "" && !strings.Contains(got, `"code":-32602`) {
				t.Errorf("%s of nothing: %s", name, got)
			}
		}
	}
}

// forbidden asks over a WebSocket, and gives the scope that was lacking, the fault's code, or "".
func (c *socketClient) refusal(method, params string) string {
	c.t.Helper()
	var got struct {
		Error *struct {
			Message string
			Data    struct{ Code string }
		}
	}
	answer := c.ask(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, params))
	if err := json.Unmarshal([]byte(answer), &got); err != nil {
		c.t.Fatalf("%s: %v", answer, err)
	}
	if got.Error == nil {
		return ""
	}
	if scope, ok := strings.CutPrefix(got.Error.Message, "The token lacks the scope "); ok {
		return strings.TrimSuffix(scope, ".")
	}
	return got.Error.Data.Code
}

func TestATokenMayDoWhatItsScopesSay(t *testing.T) {
	f := open(t, Config{})
	token := f.token("u1", "invoke:echo", "invoke:boom@1", "subscribe:orders.>", "publish:chat.*", "functions:read")
	c := f.socket(as(token))
	for _, x := range []struct{ method, params, want string }{
		{"invoke", `{"function":"echo","args":[1]}`, ""},
		{"invoke", `{"function":"echo@1"}`, ""},
		{"invoke", `{"function":"boom"}`, "invoke:boom"},
		{"invoke", `{"function":"boom@1"}`, "function_error"},
		{"start", `{"function":"echo"}`, ""},
		{"start", `{"function":"held"}`, "invoke:held"},
		{"subscribe", `{"stream":"orders.eu.new"}`, ""},
		{"subscribe", `{"pattern":"orders.*"}`, ""},
		{"subscribe", `{"pattern":"orders.>"}`, ""},
		{"subscribe", `{"pattern":">"}`, "subscribe:>"},
		{"subscribe", `{"pattern":"*.eu"}`, "subscribe:*.eu"},
		{"subscribe", `{"stream":"function.echo"}`, "subscribe:function.echo"},
		{"subscribe", `{"stream":"orders.eu","pattern":">"}`, "subscribe:>"},
		{"subscribe", `{"stream":">","pattern":"orders.eu"}`, "invalid_request"},
		{"presence", `{"stream":"orders.eu"}`, ""},
		{"presence", `{"stream":"chat.a"}`, "subscribe:chat.a"},
		{"publish", `{"stream":"chat.a","type":"t"}`, ""},
		{"publish", `{"stream":"chat.a.b","type":"t"}`, "publish:chat.a.b"},
		{"publish", `{"stream":"orders.eu","pattern":"chat.a","type":"t"}`, "invalid_request"},
		{"list", `{}`, "executions:own or executions:read"},
		{"get", `{"execution":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}`, "executions:own or executions:read"},
		{"cancel", `{"execution":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}`, "executions:own or executions:write"},
		{"ping", `{}`, ""},
	} {
		if got := c.refusal(x.method, x.params); got != x.want {
			t.Errorf("%s %s: lacks %q, want %q", x.method, x.params, got, x.want)
		}
	}
	for _, x := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/invoke/echo", "[1]", 200}, {"POST", "/v1/invoke/echo?async=1", "[1]", 202}, {"POST", "/v1/invoke/held", "[1]", 403},
		{"POST", "/v1/streams/chat.a/events", `{"type":"t"}`, 200}, {"POST", "/v1/streams/orders.eu/events", `{"type":"t"}`, 403},
		{"GET", "/v1/streams/orders.>/events", "", 200}, {"GET", "/v1/streams/chat.a/events", "", 403},
		{"GET", "/v1/functions", "", 200}, {"DELETE", "/v1/functions/echo", "", 403}, {"PUT", "/v1/functions/echo", `{"source":"1"}`, 403},
	} {
		equal(t, x.method+" "+x.path, f.request(x.method, x.path, x.body, as(token)).status, x.status)
	}
}

// What a subject started is its own: to see, to steer and to follow. Nobody else's is there for it.
func TestExecutionsOwnIsAboutWhatTheSubjectStarted(t *testing.T) {
	f := open(t, Config{})
	one, two := f.token("u1", "invoke:*", "executions:own"), f.token("u2", "invoke:*", "executions:own")
	reader := f.token("", "executions:read")
	start := func(headers ...string) string {
		t.Helper()
		var out struct{ Execution string }
		r := f.request("POST", "/v1/invoke/held?async=1", "[1]", headers...)
		if err := json.Unmarshal([]byte(r.body), &out); err != nil {
			t.Fatal(r.body)
		}
		<-f.bridges.more
		return out.Execution
	}
	mine, others, keys := start(as(one), "Idempotency-Key: k"), start(as(two), "Idempotency-Key: k"), start()
	if mine == others { // the same key of another subject's is another's
		t.Fatal("an idempotency key led to another subject's execution")
	}
	list := func(query string, headers ...string) (ids []string) {
		t.Helper()
		var page struct{ Items []struct{ ID, Caller string } }
		r := f.request("GET", "/v1/executions"+query, "", headers...)
		if err := json.Unmarshal([]byte(r.body), &page); err != nil {
			t.Fatal(r.body)
		}
		for _, x := range page.Items {
			ids = append(ids, x.ID+" "+x.Caller)
		}
		return ids
	}
	equal(t, "the first's", fmt.Sprint(list("", as(one))), fmt.Sprint([]string{mine + " u1"}))
	equal(t, "by its key", fmt.Sprint(list("?key=k", as(two))), fmt.Sprint([]string{others + " u2"}))
	equal(t, "the reader's", len(list("", as(reader))), 3)
	for _, x := range []struct {
		method, path, body string
	}{
		{"GET", "", ""}, {"GET", "/events", ""}, {"POST", "/events", `{"type":"t"}`}, {"POST", "/pause", ""}, {"POST", "/resume", ""}, {"POST", "/cancel", ""}, {"POST", "/retry", ""},
	} {
		for _, id := range []string{others, keys, "01ARZ3NDEKTSV4RRFFQ69G5FAV"} {
			r := f.request(x.method, "/v1/executions/"+id+x.path, x.body, as(one))
			equal(t, x.method+" "+x.path+" of another's", fmt.Sprint(r.status, r.code(t)), "404not_found")
			want := strings.ReplaceAll(f.request("GET", "/v1/executions/01ARZ3NDEKTSV4RRFFQ69G5FAV", "", as(one)).body, "01ARZ3NDEKTSV4RRFFQ69G5FAV", id)
			equal(t, "as of one that is not there", r.body, want)
		}
	}
	c := f.socket(as(one))
	for _, m := range []string{"get", "pause", "resume", "cancel", "retry"} {
		equal(t, m, c.refusal(m, `{"execution":"`+others+`"}`), "not_found")
	}
	equal(t, "send", c.refusal("send", `{"execution":"`+others+`","type":"t"}`), "not_found")
	equal(t, "subscribe", c.refusal("subscribe", `{"stream":"execution.`+others+`"}`), "not_found")
	equal(t, "subscribe to all", c.refusal("subscribe", `{"stream":"execution.*"}`), "subscribe:execution.*")
	equal(t, "all are the reader's", f.socket(as(reader)).refusal("subscribe", `{"stream":"execution.*"}`), "")
	equal(t, "which may only read", f.socket(as(reader)).refusal("cancel", `{"execution":"`+others+`"}`), "executions:own or executions:write")
	equal(t, "another version", c.refusal("resume", `{"execution":"`+mine+`","version":1}`), "executions:write, which another version needs")
	equal(t, "another version", f.request("POST", "/v1/executions/"+mine+"/resume", `{"version":1}`, as(one)).code(t), "forbidden")

	if got := c.ask(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"stream":"execution.` + mine + `","since":"start"}}`); !strings.Contains(got, `"recovered":true`) {
		t.Fatal(got)
	}
	if got := c.hear(); !strings.Contains(got, "execution.queued") {
		t.Error(got)
	}
	equal(t, "cancel", f.request("POST", "/v1/executions/"+mine+"/cancel", "", as(one)).status, 200)
	if r := f.request("GET", "/v1/executions/"+mine, "", as(one)); !strings.Contains(r.body, `"state":"cancelled"`) || !strings.Contains(r.body, `"caller":"u1"`) {
		t.Error(r.body)
	}
}

// Events are what a subscription shows; the record has arguments and result, whoever's they are.
func TestSubscribingDoesNotAllowToReadRecords(t *testing.T) {
	f := open(t, Config{})
	r := f.request("POST", "/v1/invoke/held?async=1", "[1]")
	<-f.bridges.more
	id := r.header.Get("Livefn-Execution")
	for token, want := range map[string]string{
		f.token("u1", "subscribe:>"):     "200 403 executions:own or executions:read",
		f.token("u1", "subscribe:*.>"):   "403 403 executions:own or executions:read",
		f.token("u1", "executions:read"): "200 200 ",
	} {
		events := f.request("GET", "/v1/executions/"+id+"/events", "", as(token)).status
		record := f.request("GET", "/v1/executions/"+id, "", as(token)).status
		equal(t, want, fmt.Sprint(events, " ", record, " ", f.socket(as(token)).refusal("get", `{"execution":"`+id+`"}`)), want)
	}
	f.bridges.release("1")
}

// Tokens without a subject are not one subject: each has its keys for itself.
func TestIdempotencyKeysOfTokensWithoutASubjectAreTheirOwn(t *testing.T) {
	f := open(t, Config{})
	one, two := f.token("", "invoke:*", "executions:read"), f.token("", "invoke:*", "executions:read")
	start := func(token string) string {
		t.Helper()
		r := f.request("POST", "/v1/invoke/echo?async=1", "[1]", as(token), "Idempotency-Key: k")
		equal(t, "start", r.status, 202)
		return r.header.Get("Livefn-Execution")
	}
	first := start(one)
	if other := start(two); first == "" || other == first {
		t.Errorf("another's key led to %q", other)
	}
	equal(t, "its own again", start(one), first)
	if r := f.request("GET", "/v1/executions?key=k", "", as(one)); strings.Count(r.body, `"id":`) != 1 || !strings.Contains(r.body, first) {
		t.Error(r.body)
	}
	nobody := Caller{Token: &tenants.Token{}}
	if _, err := nobody.key("k"); err != error(errNoNamespace) {
		t.Error(err)
	}
}

// Each way in has keys of its own, whatever they look like; what was kept before keeps its name.
func TestIdempotencyKeysOfAllWaysInAreKeptApart(t *testing.T) {
	f := open(t, Config{})
	equal(t, "publish", f.request("PUT", "/v1/functions/echo", `{"source":"module.exports = 2","settings":{"public":true}}`).status, 201)
	token := f.token("u1", "invoke:*")
	seen := map[string]string{}
	for _, x := range []struct{ what, path, key, sign, shown string }{
		{"a subject", "/v1/invoke/echo?async=1", "k", token, `token "u1" k`},
		{"a stranger", "/t/acme/echo", "k", "", "webhook k"},
		{"the tenant", "/v1/invoke/echo?async=1", "k", f.key, "k"},
		{"the tenant, as a subject", "/v1/invoke/echo?async=1", `token "u1" k`, f.key, `key token "u1" k`},
		{"the tenant, as a stranger", "/v1/invoke/echo?async=1", "webhook k", f.key, "key webhook k"},
		{"the tenant, as itself", "/v1/invoke/echo?async=1", `key token "u1" k`, f.key, `key key token "u1" k`},
	} {
		r := f.request("POST", x.path, "[1]", as(x.sign), "Idempotency-Key: "+x.key, "Prefer: respond-async")
		id := r.header.Get("Livefn-Execution")
		if r.status != 202 || id == "" || seen[id] != "" {
			t.Errorf("%s: %d %s, which %s has", x.what, r.status, r.body, seen[id])
		}
		seen[id] = x.what
		equal(t, x.what+": again", f.request("POST", x.path, "[1]", as(x.sign), "Idempotency-Key: "+x.key, "Prefer: respond-async").header.Get("Livefn-Execution"), id)
		list := f.request("GET", "/v1/executions?key="+url.QueryEscape(x.shown), "").body
		if strings.Count(list, `"id":`) != 1 || !strings.Contains(list, id) {
			t.Errorf("%s: the key %s lists %s", x.what, x.shown, list)
		}
	}
	c := f.socket()
	got := c.ask(`{"jsonrpc":"2.0","id":1,"method":"start","params":{"function":"echo","args":[1],"key":"webhook k"}}`)
	for id, what := range seen {
		if strings.Contains(got, id) != (what == "the tenant, as a stranger") {
			t.Errorf("over a WebSocket it is that of %s: %s", what, got)
		}
	}
}

// Silently acting as another than was named writes into the wrong place.
func TestAKeyThatNamesAnotherTenantIsRefused(t *testing.T) {
	f := open(t, Config{})
	token := f.token("", "invoke:*")
	equal(t, "make another", f.admin("POST", "/v1/admin/tenants", `{"name":"zeta"}`).status, 201)
	for name, sign := range map[string]string{"a key": as(f.key), "a token": as(token)} {
		r := f.request("POST", "/v1/invoke/echo", "[1]", sign, "Livefn-Tenant: zeta")
		equal(t, name, fmt.Sprint(r.status, r.code(t)), "403forbidden")
		equal(t, name+" that names its own", f.request("POST", "/v1/invoke/echo", "[1]", sign, "Livefn-Tenant: acme").status, 200)
	}
	equal(t, "in the URL", f.dial("/v1/ws?tenant=zeta&token="+token).closed(), CloseForbidden)
	c := f.dial("/v1/ws")
	if got := c.ask(`{"jsonrpc":"2.0","id":1,"method":"auth","params":{"token":"` + f.key + `","tenant":"zeta"}}`); !strings.Contains(got, `"code":"forbidden"`) {
		t.Error(got)
	}
	equal(t, "as the first message", c.closed(), CloseForbidden)
}

func TestTokensAreAskedForAndKeysRegisteredOverHTTP(t *testing.T) {
	f := open(t, Config{})
	r := f.request("POST", "/v1/tokens", `{"scopes":["invoke:echo"],"ttl":"90s","subject":"u1"}`)
	var made map[string]any
	_ = json.Unmarshal([]byte(r.body), &made)
	equal(t, "members", fmt.Sprint(slices.Sorted(maps.Keys(made))), "[expiresAt id scopes subject token]")
	equal(t, "by the operator", f.admin("POST", "/v1/tokens", `{"scopes":["invoke:echo"]}`, "Livefn-Tenant: acme").status, 201)
	equal(t, "by nobody's", f.admin("POST", "/v1/tokens", `{"scopes":["invoke:echo"]}`).code(t), "invalid_request")
	equal(t, "cache", r.header.Get("Cache-Control"), "no-store")
	for _, wrong := range []string{`{}`, `{"scopes":["fly"]}`, `{"scopes":["invoke:*"],"ttl":"100d"}`, `{"scopes":"invoke:*"}`, `{"scopes":["executions:own"]}`} {
		equal(t, wrong, f.request("POST", "/v1/tokens", wrong).code(t), "invalid_request")
	}
	r = f.request("POST", "/v1/tokens/keys", `{"alg":"HS256","kid":"mine","issuer":"https://idp.example"}`)
	var key struct{ Kid, Alg, Secret, Issuer, CreatedAt string }
	if err := json.Unmarshal([]byte(r.body), &key); err != nil || r.status != 201 || key.Kid != "mine" || len(key.Secret) < 32 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	list := f.request("GET", "/v1/tokens/keys", "").body
	if strings.Contains(list, key.Secret) || !strings.Contains(list, `{"kid":"mine","alg":"HS256","hub":false,"issuer":"https://idp.example","createdAt":"`) || !strings.Contains(list, `"hub":true`) {
		t.Error(list)
	}
	equal(t, "again", f.request("POST", "/v1/tokens/keys", `{"alg":"HS256","kid":"mine"}`).code(t), "conflict")
	equal(t, "when", f.request("DELETE", "/v1/tokens/keys/mine?after=soon", "").code(t), "invalid_request")
	equal(t, "later", f.request("DELETE", "/v1/tokens/keys/mine?after=1h", "").status, 204)
	if list := f.request("GET", "/v1/tokens/keys", "").body; !strings.Contains(list, `"until":"`) {
		t.Error(list)
	}
	equal(t, "now", f.request("DELETE", "/v1/tokens/keys/mine", "").status, 204)
	equal(t, "gone", f.request("DELETE", "/v1/tokens/keys/mine", "").code(t), "not_found")
	token := f.token("u1", "invoke:echo")
	for _, wrong := range []string{`{}`, `{"id":"a","subject":"b"}`, `{"token":"` + f.key + `"}`} {
		equal(t, wrong, f.request("POST", "/v1/tokens/revoke", wrong).code(t), "invalid_request")
	}
	equal(t, "revoke", f.request("POST", "/v1/tokens/revoke", `{"token":"`+token+`"}`).status, 204)
	equal(t, "revoked", f.request("POST", "/v1/invoke/echo", "[1]", as(token)).code(t), "unauthorized")
}
