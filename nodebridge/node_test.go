package nodebridge

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// real is running with Node, and prints what it prints.
func real(t testing.TB, cfg Config) *Fleet {
	t.Helper()
	return running(t, cfg, func(tenant string, pid int, stream, line string) {
		t.Logf("%s %d %s: %s", tenant, pid, stream, line)
	})
}

func TestNodeAnswersThousandsOfConcurrentCalls(t *testing.T) {
	f := real(t, Config{})
	m := module(t, `module.exports = async (a, b) => { await new Promise(r => setTimeout(r, a % 7)); return [a, b, '日本🙂'] }`)
	var calls []*answer
	for i := range 5000 {
		calls = append(calls, begin(t, f, m, fmt.Sprintf("[%d,%d]", i, i*2)))
	}
	for i, a := range calls {
		if got, want := a.wait(), fmt.Sprintf(`Result [%d,%d,"日本🙂"]`, i, i*2); got != want {
			t.Fatalf("got %s want %s", got, want)
		}
	}
}

func TestNodeSaysWhatIsInAModule(t *testing.T) {
	f := real(t, Config{})
	info, err := f.Load(t.Context(), "acme", module(t, `module.exports = function * (a, b = 2, hub) { yield a }`))
	check(t, "error", err, nil)
	check(t, "info", info, Info{Declared: 3, Generator: true})

	_, err = f.Load(t.Context(), "acme", module(t, `module.exports = (`))
	if !fault.Is(err, fault.VersionBroken) || !strings.Contains(err.Error(), "SyntaxError") || !strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
	broken := module(t, `module.exports = 5`)
	if got := invoke(t, f, broken, "[]"); !strings.Contains(got, `"code":"version_broken"`) {
		t.Errorf("call of a broken module: %s", got)
	}
	_, err = f.Load(t.Context(), "acme", module(t, `process.exit(3)`))
	if !fault.Is(err, fault.VersionBroken) {
		t.Errorf("a module that ends its process: %v", err)
	}
}

// A customer's other calls must not wait for a timeout because one process crashed.
func TestAKilledNodeLosesItsCallsAtOnceAndTheNextIsServed(t *testing.T) {
	f := real(t, Config{})
	m := module(t, `module.exports = async (n) => { if (n) return n; await new Promise(() => {}) }`)
	check(t, "before", invoke(t, f, m, "1"), "Result 1")
	var hanging []*answer
	for range 1000 {
		hanging = append(hanging, begin(t, f, m, "0"))
	}
	check(t, "behind them", invoke(t, f, m, "1"), "Result 1") // so they were read: what was not would be Unstarted
	pid := f.Bridges("")[0].PID
	killed := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, a := range hanging {
		check(t, "in flight", a.wait(), "Lost")
	}
	lost := time.Since(killed)
	check(t, "next", invoke(t, f, m, "2"), "Result 2")
	t.Logf("1000 calls lost in %v, next call served after %v", lost, time.Since(killed))
	check(t, "restarts", f.Bridges("")[0].Restarts, 1)
	if f.Bridges("")[0].PID == pid {
		t.Error("the same process")
	}
}

// Whatever a function does, it is its own call that pays for it.
func TestAFunctionThatMisbehavesHarmsOnlyItself(t *testing.T) {
	lines := make(chan string, 1000)
	f := running(t, Config{}, func(_ string, _ int, stream, line string) { lines <- stream + " " + line })
	calm := module(t, `module.exports = async (n) => { await new Promise(r => setImmediate(r)); return n }`)
	hangs := module(t, `module.exports = (n, hub) => new Promise((resolve) => hub.events.on('go', resolve))`)
	other := begin(t, f, hangs, "1")
	check(t, "calm", invoke(t, f, calm, "1"), "Result 1")
	for _, c := range []struct{ name, source, want string }{
		{"writes to descriptor 1", `module.exports = () => { require('fs').writeSync(1, '\xff\xff\xff\xffraw\n'); return 1 }`, `Result 1`},
		{"writes to stdout", `module.exports = () => { process.stdout.write('out\n'); process.stderr.write('err\n'); return 2 }`, `Result 2`},
		{"prints", `module.exports = () => { console.log('hello'); return 3 }`, `Result 3`},
		{"closes stdin and stdout", `module.exports = () => { const fs = require('fs'); try { fs.closeSync(0) } catch {} ; return 4 }`, `Result 4`},
		{"throws", `module.exports = () => { throw new TypeError('no') }`, `"code":"function_error"`},
		{"throws asynchronously", `module.exports = () => new Promise(() => { setTimeout(() => { throw new Error('later') }, 1) })`, `"code":"function_error"`},
		{"rejects unhandled", `module.exports = () => new Promise(() => { Promise.reject(new Error('nobody')) })`, `"code":"function_error"`},
		{"returns a cycle", `module.exports = () => { const a = {}; a.a = a; return a }`, `"code":"result_not_serializable"`},
		{"returns a BigInt", `module.exports = () => 1n`, `"code":"result_not_serializable"`},
		{"pauses, then returns", `module.exports = (n, hub) => { hub.events.emit('paused', 7); return 8 }`, `Paused [7]`},
		{"returns, then emits and pauses", `module.exports = (n, hub) => { setTimeout(() => { hub.emit('late', 1); hub.pause(1) }, 1); return 9 }`, `Result 9`},
		{"calls process.exit", `module.exports = () => { process.exit(7) }`, `"code":"function_error"`},
		{"calls process.exit later", `module.exports = () => new Promise(() => { setTimeout(() => process.exit(7), 1) })`, `"code":"function_error"`},
	} {
		a := begin(t, f, module(t, c.source), "[]")
		got := a.wait()
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s; want %s", c.name, got, c.want)
		}
		if got := invoke(t, f, calm, "5"); got != "Result 5" {
			t.Errorf("after one that %s: %s", c.name, got)
		}
	}
	check(t, "restarts", f.Bridges("")[0].Restarts, 0)
	check(t, "send", other.Send(0, "go", []byte("6")), nil)
	check(t, "one that ran all the time", other.wait(), "Result 6")
	check(t, "a raw line", strings.HasSuffix(<-lines, "raw"), true)
}

func TestAnArgumentAndResultOf64MBWhileSmallCallsGoOn(t *testing.T) {
	f := real(t, Config{})
	big := module(t, `module.exports = (s) => s`)
	small := module(t, `module.exports = (a, b) => a + b`)
	check(t, "small", invoke(t, f, small, "[1,2]"), "Result 3")
	bytes := make([]byte, 64<<20)
	for i := range bytes {
		bytes[i] = byte(i>>16) ^ byte(i)
	}
	a := newAnswer(t, big, "")
	a.Args, a.Encoding = bytes, Bytes
	if err := f.Call("acme", &a.Call); err != nil {
		t.Fatal(err)
	}
	var slowest time.Duration
	n := 0
	for ended := false; !ended; n++ {
		start := time.Now()
		check(t, "small", invoke(t, f, small, "[1,2]"), "Result 3")
		slowest = max(slowest, time.Since(start))
		select {
		case <-a.done:
			ended = true
		default:
		}
	}
	t.Logf("%d small calls meanwhile, the slowest took %v", n, slowest)
	if n < 10 {
		t.Errorf("%d small calls were answered meanwhile", n)
	}
	if got := a.final; got.Kind != Result || Encoding(got.Payload[0]) != Bytes || string(got.Payload[1:]) != string(bytes) {
		t.Errorf("the answer differs: kind %#x, %d bytes", uint8(got.Kind), len(got.Payload))
	}

	text := `["` + strings.Repeat("é", 5<<20) + `"]`
	check(t, "text", invoke(t, f, big, text) == "Result "+text[1:len(text)-1], true)
	tooLarge := module(t, `module.exports = () => 'x'.repeat(70e6)`)
	if got := invoke(t, f, tooLarge, "[]"); !strings.Contains(got, `"code":"payload_too_large"`) {
		t.Errorf("a result over the limit: %.200s", got)
	}
}

func TestFunctionsSeeAnEnvironmentOfTheirOwn(t *testing.T) {
	t.Setenv("LIVEFN_ADMIN_KEY", "secret")
	f := real(t, Config{})
	got := invoke(t, f, module(t, `module.exports = () => ({ names: Object.keys(process.env).sort(), home: require('os').homedir() === process.cwd(), tz: new Date(0).getHours() })`), "[]")
	check(t, "environment", got, `Result {"names":["HOME","LANG","NODE_ENV","PATH","TMPDIR","TZ"],"home":true,"tz":0}`)
}

// What a function started must not outlive its tenant's process.
func TestChildrenOfFunctionsEndWithTheFleet(t *testing.T) {
	var pids []int
	t.Run("fleet", func(t *testing.T) {
		f := real(t, Config{})
		got := invoke(t, f, module(t, `module.exports = () => [process.pid, require('child_process').spawn('sleep', ['1000'], { stdio: 'inherit' }).pid]`), "[]")
		if err := json.Unmarshal([]byte(strings.TrimPrefix(got, "Result ")), &pids); err != nil || len(pids) != 2 {
			t.Fatal(got, err)
		}
	})
	for _, pid := range pids {
		waitDead(t, pid)
	}
}

func TestUnloadedModulesLoadAgainAtTheirNextCall(t *testing.T) {
	f := real(t, Config{})
	m := module(t, `let n = 0; module.exports = () => ++n`)
	other := module(t, `module.exports = () => 1`)
	for range 3 {
		check(t, "answer", invoke(t, f, m, "[]"), "Result 1")
		check(t, "answer", invoke(t, f, m, "[]"), "Result 2")
		check(t, "another", invoke(t, f, other, "[]"), "Result 1") // a later chunk: no call of m is in flight
		f.Unload("acme", m)
		f.Unload("acme", other)
	}
}

func TestManyTenantsAndLargeMessagesAtOnce(t *testing.T) {
	f := real(t, Config{})
	m := module(t, `module.exports = (s) => s`)
	var wg sync.WaitGroup
	for tenant := range 2 {
		for i := range 40 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				args := fmt.Sprintf(`["%d %s"]`, i, strings.Repeat("x", i*i*500))
				a := newAnswer(t, m, args)
				if err := f.Call(fmt.Sprint("tenant-", tenant), &a.Call); err != nil {
					t.Error(err)
					return
				}
				if a.wait() != "Result "+args[1:len(args)-1] {
					t.Errorf("%d: another answer", i)
				}
			}()
		}
	}
	wg.Wait()
	check(t, "bridges", len(f.Bridges("")), 2)
}

func TestAFleetThatEndsWhileItsProcessesStartLeavesNone(t *testing.T) {
	f := NewFleet(Config{Dir: t.TempDir() + "/bridges"})
	ctx, cancel := context.WithCancel(t.Context())
	a := begin(t, f, module(t, `module.exports = () => 1`), "[]")
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	time.AfterFunc(5*time.Millisecond, cancel)
	check(t, "Run", <-done, nil)
	check(t, "the call", a.wait(), "Lost")
}
