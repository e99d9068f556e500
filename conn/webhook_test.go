package conn

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

func TestAPublicFunctionGetsTheRequest(t *testing.T) {
	f := open(t, Config{})
	for _, path := range []string{"/t/acme/echo", "/t/acme/nobody", "/t/nobody/echo", "/t/acme", "/t/acme/echo@1"} {
		equal(t, "not public: "+path, f.request("POST", path, "1").code(t), "not_found")
	}
	equal(t, "publish", f.request("PUT", "/v1/functions/echo", `{"source":"module.exports = 2","settings":{"public":true}}`).status, 201)
	equal(t, "publish", f.request("PUT", "/v1/functions/boom", `{"source":"module.exports = 2","settings":{"public":true}}`).status, 201)
	for _, c := range []struct {
		method, path, body, kind string
		want                     map[string]any
	}{
		{"POST", "/t/acme/echo/a/b?x=1&y=2&y=3", `{"id":7}`, "application/json", map[string]any{
			"method": "POST", "path": "/a/b", "query": map[string]any{"x": "1", "y": []any{"2", "3"}}, "body": map[string]any{"id": 7.0}, "rawBody": `{"id":7}`}},
		{"GET", "/t/acme/echo", "", "", map[string]any{"method": "GET", "path": "/", "query": map[string]any{}, "body": nil, "rawBody": ""}},
		{"PUT", "/t/acme/echo/", "hello", "text/plain", map[string]any{"method": "PUT", "path": "/", "query": map[string]any{}, "body": "hello", "rawBody": "hello"}},
		{"POST", "/t/acme/echo", "a=1&b=2&b=3", "application/x-www-form-urlencoded", map[string]any{
			"method": "POST", "path": "/", "query": map[string]any{}, "body": map[string]any{"a": "1", "b": []any{"2", "3"}}, "rawBody": "a=1&b=2&b=3"}},
		{"POST", "/t/acme/echo", "{broken", "application/json", map[string]any{"method": "POST", "path": "/", "query": map[string]any{}, "body": "{broken", "rawBody": "{broken"}},
		{"DELETE", "/t/acme/echo", "\xff\x00", "image/png", map[string]any{"method": "DELETE", "path": "/", "query": map[string]any{}, "body": map[string]any{"base64": "/wA="}, "rawBody": nil}},
	} {
		r := f.request(c.method, c.path, c.body, "Content-Type: "+c.kind, "X-Many: 1", "X-Many: 2")
		var got []map[string]any
		if err := json.Unmarshal([]byte(r.body), &got); err != nil || len(got) != 1 || r.status != 200 {
			t.Fatalf("%s %s: %d %s", c.method, c.path, r.status, r.body)
		}
		headers, _ := got[0]["headers"].(map[string]any)
		delete(got[0], "headers")
		if !reflect.DeepEqual(got[0], c.want) || headers["host"] != f.addr {
			t.Errorf("%s %s: it got %v, %v; want %v", c.method, c.path, got[0], headers, c.want)
		}
	}
	r := f.request("POST", "/t/acme/boom", "")
	var p map[string]any
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || p["code"] != "function_error" || p["stack"] != nil || p["name"] != nil ||
		p["detail"] != "The function failed; its owner finds out why with the execution's id." || p["execution"] == nil {
		t.Errorf("what it threw is told to strangers: %s", r.body)
	}
	equal(t, "asynchronous", f.request("POST", "/t/acme/echo", "1", "Prefer: respond-async").status, 202)
	equal(t, "its methods", f.request("OPTIONS", "/t/acme/echo", "").status, 405)
}

// What a tenant's function answers with comes from the dashboard's address: a page of it must not have its origin.
func TestPagesOfFunctionsHaveNotTheOriginOfTheHub(t *testing.T) {
	f := open(t, Config{})
	for _, name := range []string{"echo", "boom"} {
		equal(t, "publish", f.request("PUT", "/v1/functions/"+name, `{"source":"module.exports = 2","settings":{"public":true}}`).status, 201)
	}
	for path, prefer := range map[string]string{"/t/acme/echo": "", "/t/acme/echo/": "respond-async", "/t/acme/boom": "", "/t/acme/none": ""} {
		h := f.request("GET", path, "", "Prefer: "+prefer).header
		if csp := h.Values("Content-Security-Policy"); len(csp) != 1 || csp[0] != sandbox || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, h)
		}
	}
	if strings.Contains(sandbox, "allow-same-origin") {
		t.Error(sandbox)
	}
	var r fasthttp.Response
	r.Header.Set("Content-Security-Policy", sandbox)
	r.Header.Set("X-Content-Type-Options", "nosniff")
	r.Header.SetContentType("application/json")
	r.SetBodyString(`{"headers":{"content-type":"text/html","content-SECURITY-policy":["default-src 'self'","sandbox allow-same-origin"],` +
		`"Service-worker-allowed":"/","Clear-Site-Data":"*","x-content-type-options":"sniff"},"body":"<p>"}`)
	shapeAnswer(&r)
	var policies []string
	for _, v := range r.Header.PeekAll("Content-Security-Policy") {
		policies = append(policies, string(v))
	}
	if !slices.Equal(policies, []string{sandbox, "default-src 'self'", "sandbox allow-same-origin"}) { // a browser holds a page to each
		t.Errorf("%q", policies)
	}
	if string(r.Header.ContentType()) != "text/html" || r.Header.Peek("Service-Worker-Allowed") != nil || r.Header.Peek("Clear-Site-Data") != nil || string(r.Header.Peek("X-Content-Type-Options")) != "nosniff" {
		t.Error(r.Header.String())
	}
}

func TestAFunctionShapesItsAnswerAndNotTheConnection(t *testing.T) {
	for _, c := range []struct {
		result string
		status int
		kind   string
		body   string
		header string
	}{
		{`{"status":201,"headers":{"X-A":"1"},"body":{"ok":true}}`, 201, "application/json", `{"ok":true}`, "1"},
		{`{"status":302,"headers":{"X-A":["1","2"],"Location":"/x"}}`, 302, "text/plain; charset=utf-8", ``, "1 2"},
		{`{"headers":{"Content-Type":"text/html","X-A":"1"},"body":"<p>"}`, 200, "text/html", `<p>`, "1"},
		{`{"status":200,"body":{"base64":"/wA="}}`, 200, "application/octet-stream", "\xff\x00", ""},
		{`{"status":200,"headers":{"X-A":"1\r\nX-B: 2","Transfer-Encoding":"chunked","Content-Length":"9","bad name":"1"},"body":"x"}`, 200, "text/plain; charset=utf-8", "x", "1X-B: 2"},
		{`{"status":99,"body":1}`, 200, "application/json", `{"status":99,"body":1}`, ""},
		{`{"status":200,"other":1}`, 200, "application/json", `{"status":200,"other":1}`, ""},
		{`{"body":1}`, 200, "application/json", `{"body":1}`, ""},
		{`{"status":"ok"}`, 200, "application/json", `{"status":"ok"}`, ""},
		{`[1]`, 200, "application/json", `[1]`, ""},
	} {
		var r fasthttp.Response
		r.SetBodyString(c.result)
		r.Header.SetContentType("application/json")
		shapeAnswer(&r)
		header := ""
		for _, v := range r.Header.PeekAll("X-A") {
			if header != "" {
				header += " "
			}
			header += string(v)
		}
		got := fmt.Sprintf("%d %s %q %s", r.StatusCode(), r.Header.ContentType(), r.Body(), header)
		if want := fmt.Sprintf("%d %s %q %s", c.status, c.kind, c.body, c.header); got != want {
			t.Errorf("%s: got %s, want %s", c.result, got, want)
		}
		if len(r.Header.Peek("X-B")) > 0 || len(r.Header.Peek("Transfer-Encoding")) > 0 {
			t.Errorf("%s: it made headers of its own:\n%s", c.result, r.Header.String())
		}
	}
}

func TestTriggersOverHTTP(t *testing.T) {
	f := open(t, Config{})
	r := f.request("PUT", "/v1/triggers/nightly", `{"function":"echo","schedule":"0 3 * * *","timezone":"Europe/Berlin","args":[1]}`)
	var v struct {
		Name, Timezone string
		Next           []string
	}
	if err := json.Unmarshal([]byte(r.body), &v); err != nil || r.status != 201 || v.Name != "nightly" || len(v.Next) != 5 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	equal(t, "change", f.request("PUT", "/v1/triggers/nightly", `{"function":"echo","schedule":"0 4 * * *"}`).status, 200)
	equal(t, "wrong", f.request("PUT", "/v1/triggers/nightly", `{"function":"echo","schedule":"0 4 * *"}`).code(t), "invalid_request")
	equal(t, "run", f.request("POST", "/v1/triggers/nightly/run", "").status, 202)
	equal(t, "pause", f.request("POST", "/v1/triggers/nightly/pause", "").status, 200)
	equal(t, "resume", f.request("POST", "/v1/triggers/nightly/resume", "").status, 200)
	var list items[struct{ Name string }]
	if err := json.Unmarshal([]byte(f.request("GET", "/v1/triggers", "").body), &list); err != nil || len(list.Items) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	equal(t, "delete", f.request("DELETE", "/v1/triggers/nightly", "").status, 204)
	equal(t, "gone", f.request("GET", "/v1/triggers/nightly", "").code(t), "not_found")
}
