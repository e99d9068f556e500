package nodebridge

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// programs are others that this one is, by its first argument.
var programs = map[string]func(arg string) (status int){}

// TestMain also is the process that tests start in Node's place, to see what the Go half does about
// one that misbehaves.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "hub" {
		hubThatDies(os.Args[2], os.Args[3] == "walls")
	}
	if len(os.Args) > 2 && os.Args[1] == "fake" {
		fake(os.Args[2])
		return
	}
	if len(os.Args) > 2 && programs[os.Args[1]] != nil {
		os.Exit(programs[os.Args[1]](os.Args[2]))
	}
	goleak.VerifyTestMain(m)
}

// running starts a fleet that ends with the test, and checks that nothing of it is left then.
func running(t testing.TB, cfg Config, output ...func(tenant string, pid int, stream, line string)) *Fleet {
	t.Helper()
	cfg.Dir = filepath.Join(t.TempDir(), "bridges")
	f := NewFleet(cfg)
	if len(output) > 0 {
		f.Output(output[0])
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if left, err := os.ReadDir(cfg.Dir); !os.IsNotExist(err) {
			t.Errorf("the fleet left %v behind", left)
		}
	})
	return f
}

// faked is running with the fake in Node's place.
func faked(t testing.TB, mode string, cfg Config, output ...func(tenant string, pid int, stream, line string)) *Fleet {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Node, cfg.NodeArgs = self, []string{"fake", mode}
	return running(t, cfg, output...)
}

// module writes a function's source into a folder of its own.
func module(t testing.TB, source string) *Module {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.js"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	return NewModule(Module{Function: "f", Version: 1, Tenant: "acme", Dir: dir, Tail: true, Env: map[string]string{}})
}

// moduleIn writes a tenant's function into a folder of all functions.
func moduleIn(t testing.TB, functions, tenant, source string) *Module {
	t.Helper()
	dir := filepath.Join(functions, tenant, "f")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.js"), []byte(source), 0o640); err != nil {
		t.Fatal(err)
	}
	return NewModule(Module{Function: "f", Version: 1, Tenant: tenant, Dir: dir, Tail: true, Env: map[string]string{}})
}

// answer is a receiver that keeps what comes back.
type answer struct {
	Call
	t testing.TB

	mu     sync.Mutex // guards others, seen
	others []string   // kind and payload of frames that are not final
	seen   chan struct{}
	final  Frame
	done   chan struct{}
}

func newAnswer(t testing.TB, m *Module, args string) *answer {
	a := &answer{t: t, seen: make(chan struct{}), done: make(chan struct{}),
		Call: Call{Module: m, Execution: "01JQ8Z6W3V9T2K4M5N7P8R0S1A", Args: []byte(args)}}
	a.Receiver = a
	return a
}

func (a *answer) Receive(f Frame, _ *Batch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f.Kind.Final() {
		f.Payload = append([]byte(nil), f.Payload...)
		a.final = f
		close(a.done) // panics on a second final frame
		return
	}
	a.others = append(a.others, kindNames[f.Kind]+" "+string(f.Payload))
	close(a.seen)
	a.seen = make(chan struct{})
}

// wait gives the final frame as text: its kind and payload.
func (a *answer) wait() string {
	a.t.Helper()
	select {
	case <-a.done:
	case <-time.After(patience):
		buf := make([]byte, 1<<20)
		a.t.Fatalf("no final frame; saw %q\n%s", a.others, buf[:runtime.Stack(buf, true)])
	}
	if a.final.Kind == Result {
		return "Result " + strings.TrimPrefix(string(a.final.Payload), "\x00")
	}
	p := a.final.Payload
	if a.final.Kind == Paused {
		meta, args, _ := SplitMeta(p)
		p = append(meta, args...)
	}
	return strings.TrimSpace(kindNames[a.final.Kind] + " " + string(p))
}

// told is closed once a frame of a kind has come that is not final.
func (a *answer) told(kind string) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		defer close(c)
		for {
			a.mu.Lock()
			seen := a.seen
			for _, o := range a.others {
				if strings.HasPrefix(o, kind) {
					a.mu.Unlock()
					return
				}
			}
			a.mu.Unlock()
			select {
			case <-seen:
			case <-a.done:
				<-a.t.Context().Done() // it never will
				return
			}
		}
	}()
	return c
}

// waitFor waits for a frame that is not final and whose text has part in it.
func (a *answer) waitFor(part string) string {
	a.t.Helper()
	timeout := time.After(patience)
	for {
		a.mu.Lock()
		seen := a.seen
		for _, o := range a.others {
			if strings.Contains(o, part) {
				a.mu.Unlock()
				return o
			}
		}
		a.mu.Unlock()
		select {
		case <-seen:
		case <-a.done:
			a.t.Fatalf("ended with %s before a frame with %q", a.wait(), part)
		case <-timeout:
			a.t.Fatalf("no frame with %q", part)
		}
	}
}

// begin calls, and must be accepted.
func begin(t testing.TB, f *Fleet, m *Module, args string) *answer {
	t.Helper()
	a := newAnswer(t, m, args)
	if err := f.Call("acme", &a.Call); err != nil {
		t.Fatalf("call: %v", err)
	}
	return a
}

// invoke calls and waits.
func invoke(t testing.TB, f *Fleet, m *Module, args string) string {
	t.Helper()
	return begin(t, f, m, args).wait()
}

// check compares.
func check[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

var kindNames = map[Kind]string{Init: "Init", Load: "Load", Unload: "Unload", Invoke: "Call", Pause: "Pause",
	Cancel: "Cancel", Send: "Send", Ping: "Ping", Begin: "Begin", Data: "Data", Credit: "Credit", Ready: "Ready",
	Loaded: "Loaded", LoadFailed: "LoadFailed", Result: "Result", Error: "Error", Event: "Event", Log: "Log",
	Paused: "Paused", Refused: "Refused", Pong: "Pong", Moving: "Moving", Lost: "Lost", Unstarted: "Unstarted", Response: "Response", Taken: "Taken", Bounds: "Bounds", Request: "Request"}
