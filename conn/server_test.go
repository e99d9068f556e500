package conn

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func TestInvokeAnswersWithTheResultInItsEncoding(t *testing.T) {
	f := open(t, Config{})
	for _, c := range []struct {
		name, path, body, contentType string
		status                        int
		want, wantType                string
	}{
		{"JSON", "echo", `[1,{"a":"ü"}]`, "application/json", 200, `[1,{"a":"ü"}]`, "application/json"},
		{"a version", "echo@1", `"x"`, "application/json", 200, `"x"`, "application/json"},
		{"bytes", "echo", "\x00\xff", "application/octet-stream", 200, "\x00\xff", "application/octet-stream"},
		{"nothing", "echo", "", "application/json", 204, "", ""},
	} {
		r := f.request("POST", "/v1/invoke/"+c.path, c.body, "Content-Type: "+c.contentType)
		equal(t, c.name, fmt.Sprint(r.status, r.body, r.header.Get("Content-Type")), fmt.Sprint(c.status, c.want, c.wantType))
		equal(t, c.name+": length of the id", len(r.header.Get("Livefn-Execution")), 26)
		equal(t, c.name+": version", r.header.Get("Livefn-Version"), "1")
	}
}

func TestWhatAFunctionThrewIsAProblemDocument(t *testing.T) {
	f := open(t, Config{})
	r := f.request("POST", "/v1/invoke/boom", "[]")
	equal(t, "code", r.code(t), "function_error")
	var p map[string]any
	_ = json.Unmarshal([]byte(r.body), &p)
	equal(t, "status", r.status, 500)
	equal(t, "detail", p["detail"], `no "luck"`)
	equal(t, "name", p["name"], "TypeError")
	equal(t, "stack", p["stack"], "TypeError: no luck\n at index.js:1")
	equal(t, "execution", p["execution"], r.header.Get("Livefn-Execution"))
	equal(t, "version", r.header.Get("Livefn-Version"), "1")
}

func TestRequestsThatCannotBeDoneSayWhy(t *testing.T) {
	f := open(t, Config{MaxBody: 1 << 20})
	for _, c := range []struct {
		method, path, body, header string
		status                     int
		code                       string
	}{
		{"POST", "/v1/invoke/none", "", "", 404, "not_found"},
		{"POST", "/v1/invoke/echo@9", "", "", 404, "not_found"},
		{"GET", "/v1/invoke/echo", "", "", 405, "invalid_request"},
		{"POST", "/v1/invoke/echo", "", "Authorization: Bearer wrong", 401, "unauthorized"},
		{"POST", "/v1/invoke/echo", "", "Authorization: Basic x", 401, "unauthorized"},
		{"POST", "/v1/invoke/echo", "", "Authorization: Bearer " + adminKey, 400, "invalid_request"},
		{"POST", "/v1/invoke/echo", "", "Prefer: wait=x", 400, "invalid_request"},
		{"POST", "/v1/invoke/echo", strings.Repeat(" ", 1<<20+1), "", 413, "payload_too_large"},
		{"POST", "/v1/invoke/echo", "", "X-Long: " + strings.Repeat("x", 20<<10), 431, "payload_too_large"},
		{"GET", "/v1/nothing", "", "", 404, "not_found"},
		{"GET", "/v1/nothing", "", "", 404, "not_found"},
		{"GET", "/v1/executions/01ARZ3NDEKTSV4RRFFQ69G5FAV", "", "", 404, "not_found"},
		{"GET", "/v1/executions?limit=0", "", "", 400, "invalid_request"},
		{"GET", "/v1/executions?state=tired", "", "", 400, "invalid_request"},
		{"DELETE", "/v1/executions", "", "", 405, "invalid_request"},
		{"PUT", "/v1/functions/x", "", "", 400, "invalid_request"},
		{"PUT", "/v1/functions/x", "{", "", 400, "invalid_request"},
		{"PUT", "/v1/functions/x", `{"source":1}`, "", 400, "invalid_request"},
		{"PUT", "/v1/functions/x", `{"source":"x","sauce":"y"}`, "", 400, "invalid_request"},
		{"PUT", "/v1/functions/x", `{"source":"x","files":{}}`, "", 400, "invalid_request"},
		{"PUT", "/v1/functions/x", `{"source":"x"}{}`, "", 400, "invalid_request"},
		{"GET", "/v1/admin/tenants", "", "", 403, "forbidden"},
		{"GET", "/v1/streams/a..b/events", "", "", 400, "invalid_request"},
		{"GET", "/v1/ws", "", "", 400, "invalid_request"},
	} {
		var headers []string
		if c.header != "" {
			headers = append(headers, c.header)
		}
		r := f.request(c.method, c.path, c.body, headers...)
		what := c.method + " " + c.path + " " + c.header
		equal(t, what[:min(len(what), 80)], fmt.Sprint(r.status, " ", r.code(t)), fmt.Sprint(c.status, " ", c.code))
	}
	r := f.request("DELETE", "/v1/functions/x/versions", "")
	equal(t, "Allow", r.header.Get("Allow"), "GET")
}

// A name that somebody else chose must not choose the route: an id "x/pause" would pause x.
func TestAnEncodedSlashDoesNotPartAPath(t *testing.T) {
	f := open(t, Config{})
	for _, c := range []struct{ method, path string }{
		{"POST", "/v1/invoke%2Fecho"},
		{"POST", "/v1/invoke/a%2fecho"},
		{"POST", "/v1/invoke/..%2finvoke%2fecho"},
		{"POST", "/v1/executions/01ARZ3NDEKTSV4RRFFQ69G5FAV%2Fpause"},
		{"GET", "/v1/functions%2fecho"},
		{"GET", "/v1/functions/echo%2Fversions"},
		{"DELETE", "/v1/functions/x%2f..%2fecho"},
		{"GET", "/v1/functions/..%2f..%2fhealthz"},
		{"GET", "/sdk%2Flivefn.js"},
		{"GET", "/%zz%2f"},
	} {
		conn, err := net.Dial("tcp", f.addr) // as it stands: a client may tidy a path up
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\n\r\n", c.method, c.path, f.key)
		b, err := io.ReadAll(conn)
		if want := `"detail":"There is nothing at ` + c.path + `."`; err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 404") || !strings.Contains(string(b), want) {
			t.Fatalf("%s %s: %q, %v", c.method, c.path, b, err)
		}
	}
	equal(t, "another encoded character", f.request("POST", "/v1/invoke/%65cho", "[1]").body, "[1]")
}

// What people read must not be in Go's words, and not in escapes that only HTML needs.
func TestAWrongBodyIsExplainedInWordsOfJSON(t *testing.T) {
	f := open(t, Config{})
	const events, resume = "/v1/executions/x/events", "/v1/executions/x/resume"
	for _, c := range []struct{ path, body, want string }{
		{events, ``, "The body is empty; it must be a JSON object."},
		{events, `{"type":"a"`, "The body is not JSON: it ends too early."},
		{events, `{type:1}`, "The body is not JSON: invalid character 't' looking for beginning of object key string."},
		{events, `{"type":"a"} {}`, "The body is not JSON: something follows the JSON value."},
		{events, `[]`, "The body must be an object."},
		{events, `{"type":1}`, "The body's type must be a string."},
		{events, `{"type":"a","<x>":1}`, `The body has an unknown member "<x>".`},
		{resume, `{"version":"a"}`, "The body's version must be an integer."},
		{resume, `{"version":1.5}`, "The body's version must be an integer."},
	} {
		var p struct{ Detail string }
		r := f.request("POST", c.path, c.body)
		if err := json.Unmarshal([]byte(r.body), &p); err != nil {
			t.Fatal(err)
		}
		equal(t, c.body, fmt.Sprint(r.status, " ", r.code(t), " ", p.Detail), "400 invalid_request "+c.want)
		if strings.Contains(r.body, `\u003c`) {
			t.Fatalf("escaped for HTML: %s", r.body)
		}
	}
}

func TestARequestThatIsNoHTTPOrDoesNotComeInTimeIsAnswered(t *testing.T) {
	f := open(t, Config{HeaderTimeout: 200 * time.Millisecond})
	for sent, want := range map[string]string{
		"HELLO\r\n\r\n":                     "HTTP/1.1 400",
		"GET / HTTP/1.1\r\nHost: x\r\nSlow": "HTTP/1.1 408",
	} {
		c, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, sent)
		b, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(b), want) || !strings.Contains(string(b), "urn:livefn:error:") {
			t.Fatalf("%q: %q, %v", sent, b, err)
		}
	}
}

func TestAnAsyncInvokeIsDurableAndCanBeReadLater(t *testing.T) {
	f := open(t, Config{})
	for _, how := range []struct{ path, header string }{
		{"/v1/invoke/echo?async=1", "X-None: 1"}, {"/v1/invoke/echo", "Prefer: respond-async"},
	} {
		r := f.request("POST", how.path, "[1]", how.header)
		var s started
		if err := json.Unmarshal([]byte(r.body), &s); err != nil {
			t.Fatal(err)
		}
		equal(t, "status", r.status, 202)
		equal(t, "Location", r.header.Get("Location"), "/v1/executions/"+s.Execution)
		events := f.request("GET", "/v1/executions/"+s.Execution+"/events", "", "Accept: text/event-stream")
		if !strings.Contains(events.body, "event: execution.succeeded\n") { // it ends after the execution
			t.Fatalf("%q", events.body)
		}
		var x struct {
			State  string
			Result []int
		}
		r = f.request("GET", "/v1/executions/"+s.Execution, "")
		if err := json.Unmarshal([]byte(r.body), &x); err != nil || x.State != "succeeded" || fmt.Sprint(x.Result) != "[1]" {
			t.Fatalf("%s, %v", r.body, err)
		}
	}
}

func TestWaitAnswersInTimeOrGivesTheAddress(t *testing.T) {
	f := open(t, Config{})
	r := f.request("POST", "/v1/invoke/echo", "[5]", "Prefer: wait=10")
	equal(t, "in time", fmt.Sprint(r.status, r.body), "200[5]")
	r = f.request("POST", "/v1/invoke/held", "[]", "Prefer: respond-async, wait=1")
	equal(t, "not in time", r.status, 202)
	f.bridges.release("8")
	<-f.bridges.more
}

func TestAPausedCallGetsItsAddressAndCanBeResumed(t *testing.T) {
	f := open(t, Config{})
	got := make(chan response, 1)
	go func() { got <- f.request("POST", "/v1/invoke/held", "[]") }()
	<-f.bridges.more
	var page struct{ Items []struct{ ID, State string } }
	r := f.request("GET", "/v1/executions?function=held", "")
	if err := json.Unmarshal([]byte(r.body), &page); err != nil || len(page.Items) != 1 || page.Items[0].State != "running" {
		t.Fatalf("%s, %v", r.body, err)
	}
	id := page.Items[0].ID
	equal(t, "pause", f.request("POST", "/v1/executions/"+id+"/pause", "").status, 200)
	r = <-got
	equal(t, "the caller", fmt.Sprint(r.status, r.body), `202{"execution":"`+id+`"}`)
	equal(t, "wrong args", f.request("POST", "/v1/executions/"+id+"/resume", `{"args":1,"x":2}`).code(t), "invalid_request")
	equal(t, "resume", f.request("POST", "/v1/executions/"+id+"/resume", `{"args":[9]}`).status, 200)
	<-f.bridges.more
	equal(t, "send", f.request("POST", "/v1/executions/"+id+"/events", `{"type":"speed","data":2}`).body, "true")
	equal(t, "cancel", f.request("POST", "/v1/executions/"+id+"/cancel", "").status, 200)
	equal(t, "conflict", f.request("POST", "/v1/executions/"+id+"/resume", "").code(t), "conflict")
}

func TestPublishingStreamsItsLogAndTheSameContentIsNoNewVersion(t *testing.T) {
	f := open(t, Config{})
	body := `{"files":{"index.js":"module.exports = 1","lib/a.js":"1"},"settings":{"timeout":"5s"}}`
	r := f.request("PUT", "/v1/functions/new", body)
	var p published
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || r.status != 201 || p.Name != "new" || p.Version != 1 || p.State != "ready" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	equal(t, "again", f.request("PUT", "/v1/functions/new", body).status, 200)
	r = f.request("PUT", "/v1/functions/new", `{"source":"module.exports = 2"}`, "Accept: text/event-stream")
	if !strings.Contains(r.body, "event: result\ndata: {\"name\":\"new\",\"version\":2,") {
		t.Fatal(r.body)
	}
	r = f.request("PUT", "/v1/functions/a.b", `{"source":"1"}`, "Accept: text/event-stream")
	if !strings.Contains(r.body, "event: error\ndata: {\"type\":\"urn:livefn:error:invalid_request\"") {
		t.Fatal(r.body)
	}
	var v struct {
		Version int
		Files   map[string]string
	}
	r = f.request("GET", "/v1/functions/new/versions/1", "")
	if err := json.Unmarshal([]byte(r.body), &v); err != nil || v.Version != 1 || v.Files["lib/a.js"] != "1" {
		t.Fatalf("%s, %v", r.body, err)
	}
	equal(t, "delete", f.request("DELETE", "/v1/functions/new", "").status, 204)
	equal(t, "gone", f.request("GET", "/v1/functions/new", "").code(t), "not_found")
	var list items[struct{ Name string }]
	_ = json.Unmarshal([]byte(f.request("GET", "/v1/functions", "").body), &list)
	equal(t, "functions left", len(list.Items), 5)
}

func TestTheOperatorMakesTenantsAndActsAsThem(t *testing.T) {
	f := open(t, Config{})
	r := f.admin("POST", "/v1/admin/tenants", `{"name":"zeta"}`)
	var made struct{ Name, Key string }
	if err := json.Unmarshal([]byte(r.body), &made); err != nil || r.status != 201 || made.Name != "zeta" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	equal(t, "the new key", f.request("GET", "/v1/functions", "", "Authorization: Bearer "+made.Key).body, `{"items":[]}`)
	equal(t, "as acme", f.admin("POST", "/v1/invoke/echo", "[3]", "Livefn-Tenant: acme").body, "[3]")
	equal(t, "twice", f.admin("POST", "/v1/admin/tenants", `{"name":"zeta"}`).code(t), "conflict")
	r = f.admin("POST", "/v1/admin/tenants/zeta/keys", "")
	var key struct{ ID, Key string }
	_ = json.Unmarshal([]byte(r.body), &key)
	equal(t, "status", r.status, 201)
	if list := f.admin("GET", "/v1/admin/tenants/zeta/keys", "").body; !strings.Contains(list, key.ID) || strings.Contains(list, key.Key) {
		t.Fatal(list)
	}
	equal(t, "delete the key", f.admin("DELETE", "/v1/admin/tenants/zeta/keys/"+key.ID, "").status, 204)
	equal(t, "it is gone", f.request("GET", "/v1/functions", "", "Authorization: Bearer "+key.Key).status, 401)
	equal(t, "delete the tenant", f.admin("DELETE", "/v1/admin/tenants/zeta", "").status, 204)
	equal(t, "it is gone", f.admin("GET", "/v1/admin/tenants/zeta", "").code(t), "not_found")
}

func TestTheDashboardIsServedWithItsPolicy(t *testing.T) {
	f := open(t, Config{})
	r := f.request("GET", "/", "")
	equal(t, "status", r.status, 200)
	equal(t, "type", r.header.Get("Content-Type"), "text/html; charset=utf-8")
	equal(t, "policy", r.header.Get("Content-Security-Policy"), policy)
	equal(t, "sniff", r.header.Get("X-Content-Type-Options"), "nosniff")
	again := f.request("GET", "/", "", "If-None-Match: "+r.header.Get("ETag"), "Accept-Encoding: identity")
	plain := f.request("GET", "/", "", "Accept-Encoding: identity")
	equal(t, "not modified", f.request("GET", "/", "", "If-None-Match: "+plain.header.Get("ETag"), "Accept-Encoding: identity").status, 304)
	if again.status == 304 && r.header.Get("ETag") != plain.header.Get("ETag") {
		t.Fatal("the tag of the compressed form is that of the plain one")
	}
	equal(t, "nothing there", f.request("GET", "/dashboard/none.js", "").code(t), "not_found")
	equal(t, "health", f.request("GET", "/healthz", "").body, "ok\n")
	equal(t, "ready", f.request("GET", "/readyz", "").status, 200)
}

func TestADrainWaitsForRunningRequestsAndLetsStreamsGo(t *testing.T) {
	f := open(t, Config{})
	got := make(chan response, 1)
	go func() { got <- f.request("POST", "/v1/invoke/held", "[]") }()
	<-f.bridges.more
	res := f.open("GET", "/v1/streams/function.echo/events", "", "Accept: text/event-stream")
	defer res.Body.Close()
	stopped := make(chan struct{})
	go func() { f.stop(); close(stopped) }()
	b, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(b), "retry: ") {
		t.Fatalf("%q, %v", b, err)
	}
	select {
	case <-stopped:
		t.Fatal("Serve did not wait")
	default:
	}
	f.bridges.release("4")
	r := <-got
	equal(t, "the answer", fmt.Sprint(r.status, r.body), "2004")
	<-stopped
	if _, err := net.DialTimeout("tcp", f.addr, time.Second); err == nil {
		t.Fatal("it still listens")
	}
}

func TestADrainDoesNotWaitForever(t *testing.T) {
	f := open(t, Config{DrainWithin: 50 * time.Millisecond, CloseWithin: 200 * time.Millisecond})
	got := make(chan response, 1)
	go func() { got <- f.request("POST", "/v1/invoke/held", "[]") }()
	<-f.bridges.more
	ws := f.socket()
	ws.say(`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"held"}}`)
	<-f.bridges.more
	half, err := net.Dial("tcp", f.addr) // in the middle of its headers
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	fmt.Fprint(half, "GET / HTTP/1.1\r\n")
	f.stop()
	r := <-got
	equal(t, "the answer", r.code(t), "drained")
	equal(t, "status", r.status, http.StatusServiceUnavailable)
	equal(t, "the socket", ws.closed(), CloseRestart)
}
