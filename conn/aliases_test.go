package conn

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

var times = regexp.MustCompile(`"updatedAt":"[^"]+"`)

// publishVersions publishes versions 1 to n of the function version, which answers its own number.
func (f *front) publishVersions(t *testing.T, n int) {
	t.Helper()
	for i := 1; i <= n; i++ {
		body := fmt.Sprintf(`{"source":"module.exports = () => %d","settings":{"public":true}}`, i)
		equal(t, "publish", f.request("PUT", "/v1/functions/version", body).status, 201)
	}
}

func TestAliasesAreSetShownRolledBackAndDeleted(t *testing.T) {
	f := open(t, Config{})
	f.publishVersions(t, 2)
	do := func(method, path, body string, status int, want string) {
		t.Helper()
		r := f.request(method, "/v1/functions/version"+path, body)
		equal(t, method+" "+path+": status", r.status, status)
		if strings.HasPrefix(r.header.Get("Content-Type"), "application/problem") {
			r.body = r.code(t)
		}
		equal(t, method+" "+path, times.ReplaceAllString(r.body, `"updatedAt":"…"`), want)
	}
	const prod = `{"name":"prod","version":1,"updatedAt":"…"}`
	const moved = `{"name":"prod","version":2,"previous":{"version":1},"updatedAt":"…"}`
	const canary = `{"name":"canary","weights":{"1":90,"2":10},"updatedAt":"…"}`
	do("PUT", "/aliases/prod", `{"version":1}`, 201, prod)
	do("PUT", "/aliases/prod", `{"version":2}`, 200, moved)
	do("GET", "/aliases/prod", "", 200, moved)
	do("PUT", "/aliases/canary", `{"weights":{"1":90,"2":10}}`, 201, canary)
	do("GET", "/aliases", "", 200, `{"items":[`+canary+`,`+moved+`]}`)
	do("GET", "", "", 200, `{"name":"version","latest":2,"versions":2,"aliases":{"canary":`+canary+`,"prod":`+moved+`},"state":"ready","updatedAt":"…","settings":{"public":true}}`)
	do("POST", "/aliases/prod/rollback", "", 200, `{"name":"prod","version":1,"previous":{"version":2},"updatedAt":"…"}`)
	do("PUT", "/aliases/prod", `{"version":3}`, 404, "not_found")
	do("PUT", "/aliases/prod", `{"weights":{"1":"x"}}`, 400, "invalid_request")
	do("PUT", "/aliases/latest", `{"version":1}`, 400, "invalid_request")
	do("POST", "/aliases/canary/rollback", "", 409, "conflict")
	do("DELETE", "/aliases/canary", "", 204, "")
	do("DELETE", "/aliases/canary", "", 404, "not_found")
	do("GET", "/aliases/canary", "", 404, "not_found")
	equal(t, "nobody's", f.request("PUT", "/v1/functions/version/aliases/prod", `{"version":1}`, "Authorization: Bearer x").code(t), "unauthorized")
	equal(t, "of no function", f.request("PUT", "/v1/functions/nope/aliases/prod", `{"version":1}`).code(t), "not_found")
}

// A reference means the same at every door.
func TestAReferenceIsUnderstoodWhereverAFunctionIsNamed(t *testing.T) {
	f := open(t, Config{})
	f.publishVersions(t, 3)
	equal(t, "alias", f.request("PUT", "/v1/functions/version/aliases/prod", `{"version":2}`).status, 201)
	equal(t, "alias", f.request("PUT", "/v1/functions/version/aliases/split", `{"weights":{"1":1,"3":1}}`).status, 201)
	c := f.socket()
	versionOf := func(id string) string {
		t.Helper()
		var x struct{ Version int }
		if err := json.Unmarshal([]byte(f.request("GET", "/v1/executions/"+id, "").body), &x); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(x.Version)
	}
	for ref, want := range map[string]string{"version": "3", "version@1": "1", "version@prod": "2", "version%40prod": "2", "version@latest": "3"} {
		called := f.request("POST", "/v1/invoke/"+ref, "")
		equal(t, ref+" called", called.body, want)
		equal(t, ref+" says its version", called.header.Get("Livefn-Version"), want)
		started := f.request("POST", "/v1/invoke/"+ref+"?async=1", "")
		equal(t, ref+" started", versionOf(started.header.Get("Livefn-Execution")), want)
		equal(t, ref+" as a webhook", f.request("POST", "/t/acme/"+ref, "").body, want)
		if strings.Contains(ref, "%") {
			continue
		}
		equal(t, ref+" over a socket", c.ask(`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"`+ref+`"}}`), `{"jsonrpc":"2.0","id":1,"result":`+want+`}`)
		var answer struct{ Result struct{ Execution string } }
		if err := json.Unmarshal([]byte(c.ask(`{"jsonrpc":"2.0","id":2,"method":"start","params":{"function":"`+ref+`"}}`)), &answer); err != nil {
			t.Fatal(err)
		}
		equal(t, ref+" started over a socket", versionOf(answer.Result.Execution), want)
	}
	for _, ref := range []string{"version@4", "version@nope", "version@", "version@03", "version@+3", "version@prod@prod"} {
		equal(t, ref, f.request("POST", "/v1/invoke/"+ref, "").code(t), "not_found")
		equal(t, ref, strings.Contains(c.ask(`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"`+ref+`"}}`), `"code":"not_found"`), true)
	}
	first := f.request("POST", "/v1/invoke/version@split", "", "Idempotency-Key: k")
	equal(t, "version", first.body == "1" || first.body == "3", true)
	equal(t, "alias", f.request("PUT", "/v1/functions/version/aliases/split", `{"version":2}`).status, 200)
	equal(t, "the same key", f.request("POST", "/v1/invoke/version@split", "", "Idempotency-Key: k").body, first.body)
}

func TestAVersionIsDeletedIfNothingIsOnIt(t *testing.T) {
	f := open(t, Config{})
	f.publishVersions(t, 2)
	start := f.request("POST", "/v1/invoke/held?async=1", "")
	equal(t, "start", start.status, 202)
	<-f.bridges.more
	equal(t, "publish", f.request("PUT", "/v1/functions/held", `{"source":"module.exports = () => 2"}`).status, 201)
	for _, path := range []string{"/v1/functions/held", "/v1/functions/held/versions/1", "/v1/functions/held/versions/1?drain=10ms"} {
		equal(t, path, f.request("DELETE", path, "").code(t), "conflict")
	}
	equal(t, "drain", f.request("DELETE", "/v1/functions/held?drain=2h", "").code(t), "invalid_request")
	drained := make(chan int, 1)
	go func() { drained <- f.request("DELETE", "/v1/functions/held/versions/1?drain=true", "").status }()
	f.bridges.release("1")
	equal(t, "drained", <-drained, 204)
	equal(t, "it is gone", f.request("GET", "/v1/functions/held/versions/1", "").code(t), "not_found")
	equal(t, "again", f.request("DELETE", "/v1/functions/held/versions/1", "").code(t), "not_found")
	equal(t, "no number", f.request("DELETE", "/v1/functions/held/versions/x", "").code(t), "not_found")
	equal(t, "the only one", f.request("DELETE", "/v1/functions/held/versions/2", "").code(t), "conflict")
	equal(t, "the function", f.request("DELETE", "/v1/functions/held", "").status, 204)
	equal(t, "setting", f.request("PUT", "/v1/functions/held", `{"source":"1","settings":{"onDeploy":"stop"}}`).code(t), "invalid_request")
}
