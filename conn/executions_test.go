package conn

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"
)

// ids lists the executions that a query selects.
func (f *front) ids(query string) (ids []string) {
	f.t.Helper()
	r := f.request("GET", "/v1/executions?"+query, "")
	var page struct{ Items []struct{ ID string } }
	if err := json.Unmarshal([]byte(r.body), &page); err != nil || r.status != 200 {
		f.t.Fatalf("%s: %d %s", query, r.status, r.body)
	}
	for _, x := range page.Items {
		ids = append(ids, x.ID)
	}
	return ids
}

func TestADelayedStartIsListedByWhatItIs(t *testing.T) {
	f := open(t, Config{})
	before := time.Now().UTC().Truncate(time.Second)
	r := f.request("POST", "/v1/invoke/echo?async=1&delay=1h&priority=-3", "[1]", "Idempotency-Key: order-7")
	var s struct{ Execution string }
	if err := json.Unmarshal([]byte(r.body), &s); err != nil || r.status != 202 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	var x struct {
		State, Key, NotBefore, CreatedAt string
		Priority                         int
	}
	r = f.request("GET", "/v1/executions/"+s.Execution, "")
	if err := json.Unmarshal([]byte(r.body), &x); err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339, x.NotBefore)
	if err != nil || x.State != "queued" || x.Key != "order-7" || x.Priority != -3 || at.Before(before.Add(time.Hour)) {
		t.Errorf("%s", r.body)
	}
	one := fmt.Sprint([]string{s.Execution})
	for query, want := range map[string]string{
		"":                                     one,
		"key=order-7&state=queued":             one,
		"key=order-8":                          "[]",
		"parent=" + s.Execution:                "[]",
		"trigger=nightly":                      "[]",
		"since=" + before.Format(time.RFC3339): one,
		"since=" + url.QueryEscape(time.Now().Add(time.Minute).Format(time.RFC3339)): "[]",
		"until=" + before.Format(time.RFC3339):                                       "[]",
		"until=" + url.QueryEscape(time.Now().Add(time.Minute).Format(time.RFC3339)): one,
	} {
		equal(t, query, fmt.Sprint(f.ids(query)), want)
	}
	for _, wrong := range []string{"since=yesterday", "until=1", "limit=0"} {
		equal(t, wrong, f.request("GET", "/v1/executions?"+wrong, "").code(t), "invalid_request")
	}
	for _, wrong := range []string{"async=1&delay=soon", "async=1&priority=high", "async=1&priority=101", "delay=5s", "priority=5"} {
		equal(t, wrong, f.request("POST", "/v1/invoke/echo?"+wrong, "[1]").code(t), "invalid_request")
	}
}

func TestCommandsOnAllAndRetry(t *testing.T) {
	f := open(t, Config{})
	for range 3 {
		equal(t, "start", f.request("POST", "/v1/invoke/echo?async=1&delay=1h", "[1]").status, 202)
	}
	equal(t, "pause all of echo's", f.request("POST", "/v1/functions/echo/pause", "").body, `{"pausing":3}`)
	equal(t, "pause again", f.request("POST", "/v1/functions/echo/pause", "").body, `{"pausing":0}`)
	equal(t, "another's", f.request("POST", "/v1/functions/held/resume", "").body, `{"resumed":0}`)
	equal(t, "nobody's", f.request("POST", "/v1/functions/nobody/resume", "").code(t), "not_found")
	equal(t, "cancel all", f.request("POST", "/v1/executions/cancel", "").body, `{"cancelled":3}`)
	id := f.ids("state=cancelled")[2]
	equal(t, "retry", f.request("POST", "/v1/executions/"+id+"/retry", "").status, 200)
	r := f.request("POST", "/v1/invoke/echo?async=1", "[1]", "Prefer: wait=10")
	equal(t, "its neighbour", r.status, 200)
	c := f.socket()
	equal(t, "retry what succeeded", c.ask(`{"jsonrpc":"2.0","id":1,"method":"retry","params":{"execution":"`+r.header.Get("Livefn-Execution")+`"}}`),
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"The execution is succeeded.","data":{"code":"conflict","execution":"`+r.header.Get("Livefn-Execution")+`"}}}`)
}

func TestTheOperatorDrainsTheHub(t *testing.T) {
	f := open(t, Config{})
	equal(t, "without somebody to do it", f.admin("POST", "/v1/admin/drain", "").code(t), "not_found")
	asked := make(chan struct{}, 2)
	f.srv.OnDrain(func() { asked <- struct{}{} })
	equal(t, "a tenant", f.request("POST", "/v1/admin/drain", "").code(t), "forbidden")
	r := f.admin("POST", "/v1/admin/drain", "")
	equal(t, "the operator", fmt.Sprint(r.status, r.body), `202{"draining":true}`)
	<-asked
}
