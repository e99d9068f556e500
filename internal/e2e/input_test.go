package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// problem is a problem document; Detail is for people, so tests only want one.
type problem struct {
	Type, Title, Code, Detail string
	Status                    int
	Execution, Name, Stack    string
}

// neighbour is a function that has nothing to do with what goes wrong; it must go on working.
func (h *hub) neighbour() {
	h.t.Helper()
	var sum int
	h.http().json("POST", "/v1/invoke/add", []int{1, 2}, http.StatusOK, &sum)
	if sum != 3 {
		h.t.Errorf("the neighbour says 1 + 2 = %d", sum)
	}
}

// wantProblem checks a refusal, whole.
func wantProblem(t *testing.T, res response, status int, code string) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(res.body, &p); err != nil {
		t.Fatalf("status %d and no problem document: %.300s", res.status, res.body)
	}
	if res.status != status || p.Status != status || p.Code != code || p.Type != "urn:livefn:error:"+code || p.Title == "" || p.Detail == "" ||
		res.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("status %d (%s), want %d %s: %s", res.status, res.header.Get("Content-Type"), status, code, res.body)
	}
	return p
}

// badInput is a hub with functions to misuse.
func badInput(t *testing.T) *hub {
	t.Helper()
	h := startHub(t)
	h.publish("add", "module.exports = (a, b) => a + b")
	h.publish("throws", "module.exports = () => { throw new RangeError('no such row') }")
	h.publish("rejects", "module.exports = async () => { throw 'just a string' }")
	h.publish("cycle", "module.exports = () => { const a = {}; a.a = a; return a }")
	h.publish("bigint", "module.exports = () => 1n")
	h.publish("exits", "module.exports = () => process.exit(3)")
	h.publish("nothing", "module.exports = () => {}")
	h.publish("hold", `module.exports = async (hub) => {
		await new Promise(resolve => hub.events.once('pause', resolve))
		return hub.pause()
	}`)
	return h
}

func TestBadInputOverHTTPIsAProblemWithAStableCodeAndDisturbsNobody(t *testing.T) {
	h := badInput(t)
	source := func(text string) string {
		b, _ := json.Marshal(map[string]string{"source": text})
		return string(b)
	}
	const unknown = "/v1/executions/01JDZZZZZZZZZZZZZZZZZZZZZZ"
	tests := []struct {
		name, method, path, body string
		status                   int
		code                     string
		detail                   string // a part of it
	}{
		{"an unknown function", "POST", "/v1/invoke/ad", "[]", 404, "not_found", `"ad"`},
		{"an unknown version", "POST", "/v1/invoke/add@99", "[]", 404, "not_found", "99"},
		{"a version that is no number", "POST", "/v1/invoke/add@x", "[]", 404, "not_found", ""},
		{"an unknown function, started", "POST", "/v1/invoke/ad?async=1", "[]", 404, "not_found", `"ad"`},
		{"an unknown path", "GET", "/v1/nowhere", "", 404, "not_found", "/v1/nowhere"},
		{"a wrong method", "DELETE", "/v1/executions", "", 405, "invalid_request", "DELETE"},
		{"arguments that are not JSON", "POST", "/v1/invoke/add", "[1, 2", 400, "invalid_request", ""},
		{"arguments that are not JSON, started", "POST", "/v1/invoke/add?async=1", "[1, 2", 400, "invalid_request", ""},
		{"a function that throws", "POST", "/v1/invoke/throws", "[]", 500, "function_error", "no such row"},
		{"a function that throws a string", "POST", "/v1/invoke/rejects", "[]", 500, "function_error", "just a string"},
		{"a result with a cycle", "POST", "/v1/invoke/cycle", "[]", 500, "result_not_serializable", ""},
		{"a result that is a BigInt", "POST", "/v1/invoke/bigint", "[]", 500, "result_not_serializable", ""},

		{"source with a syntax error", "PUT", "/v1/functions/new", source("module.exports = ("), 422, "version_broken", "SyntaxError"},
		{"source that exports nothing", "PUT", "/v1/functions/new", source("const a = 1"), 422, "version_broken", ""},
		{"an export that is no function", "PUT", "/v1/functions/new", source("module.exports = 42"), 422, "version_broken", ""},
		{"source that throws", "PUT", "/v1/functions/new", source("throw new Error('not today')"), 422, "version_broken", "not today"},
		{"source that requires what is not there", "PUT", "/v1/functions/new", source("require('no-such-module')"), 422, "version_broken", "no-such-module"},
		{"a dependency that does not exist", "PUT", "/v1/functions/new", `{"source": "module.exports = () => {}", "dependencies": {"no-such-package": "1.0.0"}}`, 422, "install_failed", "no-such-package"},
		{"a version of a dependency that does not exist", "PUT", "/v1/functions/new", `{"source": "module.exports = () => {}", "dependencies": {"lodash": "99.0.0"}}`, 422, "install_failed", "lodash"},
		{"dependencies that conflict", "PUT", "/v1/functions/new", `{"source": "module.exports = () => {}", "dependencies": {"plug": "1.0.0", "socket": "1.0.0"}}`, 422, "install_failed", "conflict"},
		{"a publish that is not JSON", "PUT", "/v1/functions/new", `{"source": `, 400, "invalid_request", ""},
		{"a publish of nothing", "PUT", "/v1/functions/new", ``, 400, "invalid_request", ""},
		{"a publish without source", "PUT", "/v1/functions/new", `{}`, 400, "invalid_request", "source"},
		{"a publish with source and files", "PUT", "/v1/functions/new", `{"source": "1", "files": {"index.js": "1"}}`, 400, "invalid_request", "source"},
		{"a publish with an unknown member", "PUT", "/v1/functions/new", `{"source": "module.exports = () => {}", "colour": "red"}`, 400, "invalid_request", "colour"},
		{"a source of the wrong type", "PUT", "/v1/functions/new", `{"source": 7}`, 400, "invalid_request", "source"},
		{"a dependency of the wrong type", "PUT", "/v1/functions/new", `{"source": "module.exports = () => {}", "dependencies": {"lodash": 4}}`, 400, "invalid_request", "dependencies"},
		{"a setting of the wrong type", "PUT", "/v1/functions/new", `{"source": "module.exports = () => {}", "settings": {"concurrency": "many"}}`, 400, "invalid_request", "concurrency"},
		{"an unknown setting", "PUT", "/v1/functions/new", `{"source": "module.exports = () => {}", "settings": {"color": 1}}`, 400, "invalid_request", "color"},
		{"a file outside the project", "PUT", "/v1/functions/new", `{"files": {"../index.js": "module.exports = () => {}"}}`, 400, "invalid_request", "../index.js"},
		{"a project without its module", "PUT", "/v1/functions/new", `{"files": {"README.md": "hello"}}`, 422, "version_broken", ""},
		{"a name that is none", "PUT", "/v1/functions/no%20name", source("module.exports = () => {}"), 400, "invalid_request", ""},

		{"an unknown execution", "GET", unknown, "", 404, "not_found", ""},
		{"an id that is none", "GET", "/v1/executions/..%2f..%2fetc", "", 404, "not_found", ""},
		{"the events of an unknown execution", "GET", unknown + "/events", "", 404, "not_found", ""},
		{"a pause of an unknown execution", "POST", unknown + "/pause", "", 404, "not_found", ""},
		{"a resume of an unknown execution", "POST", unknown + "/resume", "", 404, "not_found", ""},
		{"a cancel of an unknown execution", "POST", unknown + "/cancel", "", 404, "not_found", ""},
		{"an event to an unknown execution", "POST", unknown + "/events", `{"type": "a"}`, 404, "not_found", ""},
		{"an event without a type", "POST", unknown + "/events", `{"data": 1}`, 400, "invalid_request", "type"},
		{"a resume with a version of the wrong type", "POST", unknown + "/resume", `{"version": "new"}`, 400, "invalid_request", "version"},
		{"a list in an unknown state", "GET", "/v1/executions?state=sleeping", "", 400, "invalid_request", "sleeping"},
		{"a list with a limit that is none", "GET", "/v1/executions?limit=many", "", 400, "invalid_request", "limit"},
		{"the admin's work with a tenant's key", "GET", "/v1/admin/tenants", "", 403, "forbidden", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			res := h.http().raw(test.method, test.path, strings.NewReader(test.body))
			p := wantProblem(t, res, test.status, test.code)
			if !strings.Contains(p.Detail, test.detail) {
				t.Errorf("the detail %q does not say %q", p.Detail, test.detail)
			}
			h.neighbour()
		})
	}
	t.Run("what the function threw is told whole", func(t *testing.T) {
		res := h.http().raw("POST", "/v1/invoke/throws", nil)
		p := wantProblem(t, res, 500, "function_error")
		if p.Name != "RangeError" || p.Detail != "no such row" || !strings.Contains(p.Stack, "index.js:1") ||
			p.Execution == "" || p.Execution != res.header.Get("Livefn-Execution") {
			t.Errorf("it says %s", res.body)
		}
		if strings.Contains(p.Stack, h.home) {
			t.Errorf("the stack shows the hub's folders: %s", p.Stack)
		}
	})
	t.Run("a function that ends its process harms only itself", func(t *testing.T) {
		p := wantProblem(t, h.http().raw("POST", "/v1/invoke/exits", nil), 500, "function_error")
		if !strings.Contains(p.Detail, "process.exit(3)") {
			t.Errorf("it says %+v", p)
		}
		h.neighbour()
	})
	t.Run("no key, and one that nobody has", func(t *testing.T) {
		for _, key := range []string{"", "lf_e2e_0000000000000000000000"} {
			wantProblem(t, h.as(key).raw("POST", "/v1/invoke/add", strings.NewReader("[1,2]")), 401, "unauthorized")
		}
		h.neighbour()
	})
	t.Run("a version that could not be published leaves latest where it was", func(t *testing.T) {
		wantProblem(t, h.http().raw("PUT", "/v1/functions/add", strings.NewReader(source("nonsense("))), 422, "version_broken")
		h.neighbour()
	})
	t.Run("undefined is no JSON and no fault", func(t *testing.T) {
		if res := h.http().raw("POST", "/v1/invoke/nothing", nil); res.status != 204 || len(res.body) != 0 {
			t.Errorf("status %d: %s", res.status, res.body)
		}
	})
	t.Run("a body over the limit is refused before it was sent", func(t *testing.T) {
		res := h.bare(t, "POST /v1/invoke/add HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "+h.key+"\r\nContent-Length: 100000000000\r\n\r\n[1")
		wantProblem(t, res, 413, "payload_too_large")
		h.neighbour()
	})
	t.Run("a body over the limit is refused while it is sent", func(t *testing.T) {
		res := h.http().raw("POST", "/v1/invoke/add", io.LimitReader(zeros{}, 65<<20))
		wantProblem(t, res, 413, "payload_too_large")
		h.neighbour()
	})
	t.Run("what is not HTTP", func(t *testing.T) {
		wantProblem(t, h.bare(t, "HELLO\r\n\r\n"), 400, "invalid_request")
		h.neighbour()
	})
	t.Run("headers over the limit", func(t *testing.T) {
		res := h.bare(t, "GET /healthz HTTP/1.1\r\nHost: h\r\nX-Long: "+strings.Repeat("x", 64<<10)+"\r\n\r\n")
		wantProblem(t, res, 431, "payload_too_large")
		h.neighbour()
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// bare sends bytes on a connection of their own and reads one response.
func (h *hub) bare(t *testing.T, text string) response {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, text) // the hub may answer and close before it has read all of it
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no response: %v", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		dump, _ := httputil.DumpResponse(res, false)
		t.Fatalf("%v in\n%s", err, dump)
	}
	return response{res.StatusCode, res.Header, body}
}

func TestBadInputOverAWebSocketIsAnErrorWithAStableCodeAndDisturbsNobody(t *testing.T) {
	h := badInput(t)
	s := h.socket()
	const unknown = `{"execution":"01JDZZZZZZZZZZZZZZZZZZZZZZ"`
	tests := []struct {
		name, method, params string
		number               int
		code                 string // "" where JSON-RPC's own number says it all
		message              string // a part of it
	}{
		{"an unknown method", "fly", `{}`, -32601, "", "fly"},
		{"no parameters", "invoke", ``, -32602, "invalid_request", "function"},
		{"parameters that are a list", "invoke", `["add", 1, 2]`, -32602, "invalid_request", "object"},
		{"a missing parameter", "invoke", `{"args":[1,2]}`, -32602, "invalid_request", "function"},
		{"a parameter of the wrong type", "invoke", `{"function":7}`, -32602, "invalid_request", "function"},
		{"an unknown parameter", "invoke", `{"function":"add","colour":"red"}`, -32602, "invalid_request", "colour"},
		{"a timeout that is none", "invoke", `{"function":"add","timeout":"soon"}`, -32602, "invalid_request", "timeout"},
		{"an unknown function", "invoke", `{"function":"ad"}`, -32000, "not_found", `"ad"`},
		{"an unknown function, started", "start", `{"function":"ad"}`, -32000, "not_found", `"ad"`},
		{"a function that throws", "invoke", `{"function":"throws"}`, -32000, "function_error", "no such row"},
		{"a result with a cycle", "invoke", `{"function":"cycle"}`, -32000, "result_not_serializable", ""},
		{"a result that is a BigInt", "invoke", `{"function":"bigint"}`, -32000, "result_not_serializable", ""},
		{"an unknown execution", "get", unknown + `}`, -32000, "not_found", ""},
		{"a pause of an unknown execution", "pause", unknown + `}`, -32000, "not_found", ""},
		{"a resume of an unknown execution", "resume", unknown + `}`, -32000, "not_found", ""},
		{"a cancel of an unknown execution", "cancel", unknown + `}`, -32000, "not_found", ""},
		{"an event to an unknown execution", "send", unknown + `,"type":"a"}`, -32000, "not_found", ""},
		{"an event without a type", "send", unknown + `}`, -32602, "invalid_request", "type"},
		{"a list in an unknown state", "list", `{"state":"sleeping"}`, -32000, "invalid_request", "sleeping"},
		{"a stream that is none", "subscribe", `{"stream":"a..b"}`, -32000, "invalid_request", ""},
		{"the stream of an unknown execution", "subscribe", `{"stream":"execution.01JDZZZZZZZZZZZZZZZZZZZZZZ"}`, -32000, "not_found", ""},
		{"a position that is none", "subscribe", `{"stream":"function.add","since":"yesterday"}`, -32602, "invalid_request", "since"},
		{"an unknown subscription", "unsubscribe", `{"subscription":"7"}`, -32000, "not_found", ""},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			id := fmt.Sprintf(`"bad-%d"`, i)
			c := s.expect(id)
			params := ""
			if test.params != "" {
				params = `,"params":` + test.params
			}
			s.text([]byte(`{"jsonrpc":"2.0","id":` + id + `,"method":"` + test.method + `"` + params + `}`))
			a := s.await(test.method, c)
			if a.Error == nil || a.Error.Code != test.number || a.Error.Data.Code != test.code || a.Error.Message == "" || !strings.Contains(a.Error.Message, test.message) {
				t.Fatalf("got %s %+v, want %d %s", a.Result, a.Error, test.number, test.code)
			}
			var sum int
			if s.call("invoke", map[string]any{"function": "add", "args": []int{1, 2}}, &sum); sum != 3 {
				t.Errorf("the neighbour says 1 + 2 = %d", sum)
			}
		})
	}
	t.Run("messages that are no requests", func(t *testing.T) {
		for text, number := range map[string]int{
			`{"jsonrpc":"2.0","id":`: -32700,
			`[]`:                     -32600,
			`{"jsonrpc":"1.0","id":null,"method":"ping"}`: -32600,
			`{"jsonrpc":"2.0","id":null,"method":7}`:      -32600,
			`"ping"`:                                      -32600,
		} {
			c := s.expect("null")
			s.text([]byte(text))
			if a := s.await(text, c); a.Error == nil || a.Error.Code != number {
				t.Errorf("%s: got %s %+v, want %d", text, a.Result, a.Error, number)
			}
		}
	})
	t.Run("a connection that never says who it is", func(t *testing.T) {
		stranger := h.dial(nil)
		if err := stranger.fault("invoke", map[string]any{"function": "add"}); err.Code != -32000 || err.Data.Code != "unauthorized" {
			t.Errorf("got %v", err)
		}
		wantClosed(t, stranger, 4001)
	})
	t.Run("a binary message", func(t *testing.T) {
		odd := h.socket()
		odd.write.Lock()
		_ = odd.conn.WriteMessage(websocket.BinaryMessage, []byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
		odd.write.Unlock()
		wantClosed(t, odd, 1003)
	})
	t.Run("text that is not UTF-8", func(t *testing.T) {
		odd := h.socket()
		odd.text([]byte("\"\xff\xfe\""))
		wantClosed(t, odd, 1007)
	})
	h.neighbour()
}

func wantClosed(t *testing.T, s *socket, code int) {
	t.Helper()
	select {
	case <-s.closed:
		if !websocket.IsCloseError(s.err, code) {
			t.Errorf("closed with %v, want %d", s.err, code)
		}
	case <-time.After(patience):
		t.Errorf("not closed")
	}
}

// An execution is resumed once, however many ask at once, and only when it is paused. Asking twice for
// a pause changes nothing.
func TestOfTwoResumesExactlyOneWins(t *testing.T) {
	h := badInput(t)
	s := h.socket()
	id := started(t, s.await("start", s.send("start", map[string]any{"function": "hold", "args": []any{}})))
	s.call("subscribe", map[string]any{"stream": "execution." + id, "since": "start"}, nil)
	s.nextOf("execution.started")
	at := "/v1/executions/" + id

	p := wantProblem(t, h.http().raw("POST", at+"/resume", nil), 409, "conflict")
	if p.Execution != id || !strings.Contains(p.Detail, "running") {
		t.Errorf("a resume of a running one says %+v", p)
	}
	if err := s.fault("resume", map[string]any{"execution": id}); err.Data.Code != "conflict" || err.Data.Execution != id {
		t.Errorf("over the WebSocket it says %v", err)
	}

	var first, second execution
	h.http().json("POST", at+"/pause", nil, http.StatusOK, &first)
	if first.State != "pausing" && first.State != "paused" {
		t.Errorf("a pause answers %s", first.State)
	}
	s.nextOf("execution.paused")
	before := s.get(id)
	h.http().json("POST", at+"/pause", nil, http.StatusOK, &second)
	if show(second) != show(before) || show(s.get(id)) != show(before) {
		t.Errorf("a second pause answers %s, and the execution is %s\nit was %s", show(second), show(s.get(id)), show(before))
	}

	const racers = 20
	statuses := make([]int, racers)
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() { statuses[i] = h.http().raw("POST", at+"/resume", nil).status })
	}
	all.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	if count[200] != 1 || count[409] != racers-1 {
		t.Errorf("%d resumes at once were answered %v", racers, count)
	}
	s.nextOf("execution.started")
	if x := s.get(id); x.Attempt != 2 {
		t.Errorf("after one resume it is %s", show(x))
	}

	var cancelled execution
	h.http().json("POST", at+"/cancel", nil, http.StatusOK, &cancelled)
	s.nextOf("execution.cancelled")
	wantProblem(t, h.http().raw("POST", at+"/cancel", nil), 409, "conflict")
	wantProblem(t, h.http().raw("POST", at+"/pause", nil), 409, "conflict")
	wantProblem(t, h.http().raw("POST", at+"/events", strings.NewReader(`{"type":"a"}`)), 409, "conflict")
	h.neighbour()
}

// Arguments that JSON cannot hold would be a snapshot that nobody can resume: the pause is off, the
// execution goes on, and an event says why.
func TestAPauseWithUnserialisableArgumentsIsRefusedAndTheExecutionGoesOn(t *testing.T) {
	h := badInput(t)
	h.publish("stubborn", `
		module.exports = async function stubborn (hub) {
			await new Promise(resolve => hub.events.once('pause', resolve))
			hub.pause({ big: 1n })
			const word = await new Promise(resolve => hub.events.once('finish', resolve))
			return { word }
		}`)
	s := h.socket()
	id := started(t, s.await("start", s.send("start", map[string]any{"function": "stubborn", "args": []any{}})))
	s.call("subscribe", map[string]any{"stream": "execution." + id, "since": "start"}, nil)
	s.nextOf("execution.started")
	s.call("pause", map[string]any{"execution": id}, nil)
	refused := s.nextOf("execution.pause_refused")
	if !strings.Contains(string(refused.Data), "BigInt") {
		t.Errorf("the event says %s, and not that it is the BigInt", refused.Data)
	}
	if x := s.get(id); x.State != "running" || x.Pause != nil {
		t.Errorf("after it the execution is %s", show(x))
	}
	h.neighbour()
	s.call("send", map[string]any{"execution": id, "type": "finish", "data": "done"}, nil)
	s.nextOf("execution.succeeded")
	if x := s.get(id); x.State != "succeeded" || string(x.Result) != `{"word":"done"}` {
		t.Errorf("it ended as %s", show(x))
	}
}
