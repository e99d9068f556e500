package conn

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// fasthttp has one clock for the process, which never ends.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// bridges stands in for Node: functions are named by what they do.
type bridges struct {
	mu   sync.Mutex
	held []*nodebridge.Call // calls of the function held, until release
	more chan struct{}      // a call was held, or a flood is over
	wg   sync.WaitGroup
}

func (b *bridges) Load(context.Context, string, *nodebridge.Module) (nodebridge.Info, error) {
	return nodebridge.Info{}, nil
}

// Unload and Remove have nothing to end.
func (b *bridges) Unload(string, *nodebridge.Module) {}
func (b *bridges) Remove(string)                     {}
func (b *bridges) Limit(string, nodebridge.Limits)   {}

func (b *bridges) Call(_ string, c *nodebridge.Call) error {
	function, args, enc := c.Module.Function, append([]byte(nil), c.Args...), c.Encoding
	b.mu.Lock()
	defer b.mu.Unlock()
	if function == "held" {
		c.Accept(b, 1)
		b.held = append(b.held, c)
		b.more <- struct{}{}
		return nil
	}
	c.Accept(b, 1)
	b.wg.Go(func() {
		run(c, function, args, enc)
		if function == "flood" {
			b.more <- struct{}{}
		}
	})
	return nil
}

// Carry lets held calls pause and be cancelled.
func (b *bridges) Carry(kind nodebridge.Kind, _ uint32, _ []byte) {
	if kind != nodebridge.Pause {
		return
	}
	b.wg.Go(func() {
		for _, c := range b.take() {
			receive(c, nodebridge.Paused, "\x00\x00[7]")
		}
	})
}

func (b *bridges) take() []*nodebridge.Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := b.held
	b.held = nil
	return held
}

// release answers the held calls.
func (b *bridges) release(result string) {
	for _, c := range b.take() {
		receive(c, nodebridge.Result, "\x00"+result)
	}
}

func receive(c *nodebridge.Call, kind nodebridge.Kind, payload string) {
	var b nodebridge.Batch
	c.Receiver.Receive(nodebridge.Frame{Kind: kind, Payload: []byte(payload)}, &b)
	b.Flush()
}

func run(c *nodebridge.Call, function string, args []byte, enc nodebridge.Encoding) {
	switch function {
	case "echo":
		receive(c, nodebridge.Result, string(rune(enc))+string(args))
	case "version":
		receive(c, nodebridge.Result, "\x00"+strconv.Itoa(c.Module.Version))
	case "boom":
		receive(c, nodebridge.Error, `{"code":"function_error","name":"TypeError","message":"no \"luck\"","stack":"TypeError: no luck\n at index.js:1"}`)
	case "progress":
		receive(c, nodebridge.Event, "\x08progress"+`{"done":1}`)
		receive(c, nodebridge.Event, "\x06result"+`2`)
		receive(c, nodebridge.Result, "\x00\"done\"")
	case "flood":
		for range 2000 {
			receive(c, nodebridge.Event, "\x05flood\""+strings.Repeat("x", 10_000)+`"`)
		}
		receive(c, nodebridge.Result, "\x00true")
	}
}

// front is a server on a real hub and registry; its end is checked in Cleanup.
type front struct {
	t       testing.TB
	srv     *Server
	addr    string
	key     string
	bridges *bridges
	full    atomic.Bool // the disk has no room left for the store
	stop    func()      // ends Serve and waits
}

func (f *front) free() (int64, error) {
	if f.full.Load() {
		return 200 << 20, nil
	}
	return 1 << 40, nil
}

const adminKey = "admin-key"

func open(t testing.TB, cfg Config) *front {
	t.Helper()
	f := &front{t: t, bridges: &bridges{more: make(chan struct{}, 1000)}}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	cfg.Log = quiet
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	st, err := store.Open(dir+"/store", store.Options{Free: f.free, WatchEvery: 10 * time.Millisecond, RetryMax: 20 * time.Millisecond, Log: quiet})
	must(err)
	reg, err := tenants.Open(tenants.Config{Dir: dir + "/functions", AdminKey: adminKey, Log: quiet}, st)
	must(err)
	h := hub.New(hub.Config{}, st, reg, f.bridges, quiet)
	var parts [2]sync.WaitGroup
	var ends [2]context.CancelFunc
	for i, run := range []func(context.Context) error{st.Run, h.Run} {
		ctx, cancel := context.WithCancel(context.Background())
		ends[i] = cancel
		parts[i].Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	<-h.Ready()
	ten, key, err := reg.CreateTenant(context.Background(), "acme")
	must(err)
	f.key = key
	for _, name := range []string{"echo", "boom", "progress", "flood", "held"} {
		_, _, err := reg.Publish(context.Background(), ten, name, tenants.Publication{Source: "module.exports = () => 1"}, io.Discard)
		must(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	f.addr = ln.Addr().String()
	f.srv = New(cfg, h, reg)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- f.srv.Serve(ctx, ln) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-served:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Serve did not return")
		}
	})
	t.Cleanup(func() {
		f.stop()
		f.bridges.release("null")
		f.bridges.wg.Wait()
		ends[1]()
		parts[1].Wait()
		ends[0]()
		parts[0].Wait()
		must(st.Close())
		http.DefaultClient.CloseIdleConnections()
	})
	return f
}

// response is what came back, read to its end.
type response struct {
	status int
	header http.Header
	body   string
}

// request sends a request with the tenant's key; headers are "Name: value".
func (f *front) request(method, path, body string, headers ...string) response {
	f.t.Helper()
	res := f.open(method, path, body, headers...)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	answer := response{res.StatusCode, res.Header, string(b)}
	describe(f.t).check(f.t, res.Request, answer)
	return answer
}

// open sends a request and leaves the response's body to the test.
func (f *front) open(method, path, body string, headers ...string) *http.Response {
	f.t.Helper()
	req, err := http.NewRequest(method, "http://"+f.addr+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.key)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	return res
}

// admin sends a request with the admin key.
func (f *front) admin(method, path, body string, headers ...string) response {
	f.t.Helper()
	return f.request(method, path, body, append([]string{"Authorization: Bearer " + adminKey}, headers...)...)
}

// code gives a problem document's code, after a look at the rest of its shape.
func (r response) code(t testing.TB) string {
	t.Helper()
	var p struct {
		Type, Title, Code, Detail string
		Status                    int
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Fatalf("%q: %v", r.body, err)
	}
	if p.Type != "urn:livefn:error:"+p.Code || p.Title == "" || p.Detail == "" || p.Status != r.status ||
		r.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("not a problem document: %v %s", r.header, r.body)
	}
	return p.Code
}

// socket opens a WebSocket that is signed in.
func (f *front) socket(headers ...string) *socketClient {
	f.t.Helper()
	return f.dial("/v1/ws", append([]string{"Authorization: Bearer " + f.key}, headers...)...)
}

// socketClient is an independent client's connection.
type socketClient struct {
	*websocket.Conn
	t testing.TB
}

func (f *front) dial(path string, headers ...string) *socketClient {
	f.t.Helper()
	h := http.Header{}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
	c, res, err := websocket.DefaultDialer.Dial("ws://"+f.addr+path, h)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _, _ = res.Body.Close(), c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	return &socketClient{c, f.t}
}

// say sends a text message.
func (c *socketClient) say(msg string) {
	c.t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(msg)); err != nil {
		c.t.Fatal(err)
	}
}

// hear reads the next message.
func (c *socketClient) hear() string {
	c.t.Helper()
	_, b, err := c.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// ask sends one request and reads one answer.
func (c *socketClient) ask(msg string) string {
	c.t.Helper()
	c.say(msg)
	return c.hear()
}

// closed reads to the end and gives the close code.
func (c *socketClient) closed() CloseCode {
	c.t.Helper()
	for {
		_, _, err := c.ReadMessage()
		if e, ok := err.(*websocket.CloseError); ok {
			return CloseCode(e.Code)
		}
		if err != nil {
			c.t.Fatalf("no close frame: %v", err)
		}
	}
}

func (b *bridges) Bridges(tenant string) []nodebridge.BridgeInfo {
	return []nodebridge.BridgeInfo{{Tenant: tenant, State: "running"}}
}
func (b *bridges) Ended(string) []nodebridge.EndedBridge { return []nodebridge.EndedBridge{} }
func (b *bridges) Pools() []nodebridge.PoolInfo {
	return []nodebridge.PoolInfo{{Tenant: "acme", Bridges: map[string]int{"running": 2}, Calls: 9, Ended: map[string]uint64{"died": 3}}}
}

func (b *bridges) Notify(func(nodebridge.Notice)) {}
func (b *bridges) Measure(string)                 {}
