package conn

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const page = "https://app.example.com"

func corsOf(h http.Header) http.Header {
	out := http.Header{}
	for k, v := range h {
		if strings.HasPrefix(k, "Access-Control-") || k == "Vary" {
			out[k] = v
		}
	}
	return out
}

// What a browser asks before it lets a page send, and what it must find before it lets the page read.
func TestPagesOfOtherOriginsMayUseTheAPI(t *testing.T) {
	f := open(t, Config{})
	pre := f.request("OPTIONS", "/v1/invoke/echo", "", "Authorization: ", "Origin: "+page,
		"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization, content-type")
	want := http.Header{"Access-Control-Allow-Origin": {page}, "Access-Control-Allow-Methods": {corsMethods}, "Access-Control-Allow-Headers": {corsHeaders},
		"Access-Control-Max-Age": {"600"}, "Vary": {"Origin"}}
	if got := corsOf(pre.header); pre.status != 204 || !reflect.DeepEqual(got, want) {
		t.Fatalf("%d %v", pre.status, got)
	}
	want = http.Header{"Access-Control-Allow-Origin": {page}, "Access-Control-Expose-Headers": {corsExpose}, "Vary": {"Origin"}}
	for name, r := range map[string]response{
		"a call":           f.request("POST", "/v1/invoke/echo", "[1]", "Origin: "+page),
		"one that fails":   f.request("POST", "/v1/invoke/boom", "[1]", "Origin: "+page),
		"without a key":    f.request("GET", "/v1/functions", "", "Authorization: ", "Origin: "+page),
		"the call's event": f.request("POST", "/v1/invoke/progress", "[]", "Origin: "+page, "Accept: text/event-stream"),
	} {
		if got := corsOf(r.header); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	for name, r := range map[string]response{
		"no page":       f.request("POST", "/v1/invoke/echo", "[1]"),
		"the admin API": f.admin("GET", "/v1/admin/tenants", "", "Origin: "+page),
		"its preflight": f.request("OPTIONS", "/v1/admin/tenants", "", "Origin: "+page, "Access-Control-Request-Method: POST"),
	} {
		if got := corsOf(r.header); len(got) > 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestATenantSaysWhosePagesMayActAsIt(t *testing.T) {
	f := open(t, Config{})
	token := f.token("u1", "invoke:echo")
	equal(t, "none yet", f.request("GET", "/v1/origins", "").body, `{"origins":null}`)
	open := f.dial("/v1/ws?token="+token, "Origin: https://other.example")
	equal(t, "any may", open.refusal("ping", `{}`), "")
	watcher := f.token("u1", "subscribe:>")
	events := f.open("GET", "/v1/streams/a/events", "", as(watcher), "Accept: text/event-stream", "Origin: https://other.example")
	defer events.Body.Close()
	equal(t, "set", f.request("PUT", "/v1/origins", `{"origins":["`+page+`"]}`).body, `{"origins":["`+page+`"]}`)
	equal(t, "what was open", open.closed(), CloseForbidden)
	if b, err := io.ReadAll(events.Body); err != nil || !strings.Contains(string(b), "event: error\ndata: ") || !strings.Contains(string(b), `"code":"forbidden"`) {
		t.Errorf("the event stream that was open: %q, %v", b, err)
	}
	equal(t, "wrong", f.request("PUT", "/v1/origins", `{"origins":["example"]}`).code(t), "invalid_request")
	equal(t, "nothing", f.request("PUT", "/v1/origins", `{}`).code(t), "invalid_request")
	for origin, ok := range map[string]bool{page: true, "https://other.example": false, "null": false, "http://" + f.addr: true} {
		r := f.request("POST", "/v1/invoke/echo", "[1]", "Origin: "+origin, as(token))
		if ok != (r.status == 200) || ok != (len(corsOf(r.header)["Access-Control-Allow-Origin"]) > 0) {
			t.Errorf("%s: %d %v", origin, r.status, r.header)
		}
		c := f.dial("/v1/ws?token="+token, "Origin: "+origin)
		first := f.dial("/v1/ws", "Origin: "+origin)
		answer := first.ask(auth(token))
		if ok {
			equal(t, origin, c.refusal("ping", `{}`), "")
			equal(t, origin, answer, authOK)
			continue
		}
		equal(t, origin, r.code(t), "forbidden")
		equal(t, origin, c.closed(), CloseForbidden)
		if !strings.Contains(answer, `"code":"forbidden"`) {
			t.Errorf("%s: %s", origin, answer)
		}
		equal(t, origin, first.closed(), CloseForbidden)
	}
	equal(t, "no page", f.request("POST", "/v1/invoke/echo", "[1]", as(token)).status, 200)
	equal(t, "delete", f.request("DELETE", "/v1/origins", "").status, 204)
	equal(t, "any may again", f.request("POST", "/v1/invoke/echo", "[1]", "Origin: https://other.example").status, 200)
}
