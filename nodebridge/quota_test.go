package nodebridge

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// logged adds up what an answer got to see of an execution's logs.
func (a *answer) logged(t testing.TB) (lines int, dropped droppedLines, notices int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.others {
		payload, is := strings.CutPrefix(o, "Log ")
		if !is {
			continue
		}
		var l struct{ Dropped *droppedLines }
		if err := json.Unmarshal([]byte(payload), &l); err != nil {
			t.Fatalf("%q: %v", o, err)
		}
		if l.Dropped == nil {
			lines++
			continue
		}
		notices++
		dropped.Lines += l.Dropped.Lines
		dropped.Bytes += l.Dropped.Bytes
	}
	return lines, dropped, notices
}

// notices waits until it was told so often that something was dropped, or the call ended.
func (a *answer) notices(n int) {
	for {
		a.mu.Lock()
		seen := a.seen
		told := strings.Count(strings.Join(a.others, ""), `"dropped":{`)
		a.mu.Unlock()
		if told >= n {
			return
		}
		select {
		case <-seen:
		case <-a.done:
			return
		}
	}
}

// printed is what processes printed, as Output is told it.
type printed struct {
	mu    sync.Mutex // guards all below
	lines map[string]int
	said  []string // that speak of dropping
	seen  chan struct{}
}

func newPrinted() *printed {
	return &printed{lines: map[string]int{}, seen: make(chan struct{}, 1)}
}

func (p *printed) take(_ string, _ int, stream, line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines[stream]++
	if strings.Contains(line, "dropped") {
		p.said = append(p.said, stream+" "+line)
		select {
		case p.seen <- struct{}{}:
		default:
		}
	}
}

// wait waits until something was told to be dropped.
func (p *printed) wait(t *testing.T) {
	t.Helper()
	select {
	case <-p.seen:
	case <-time.After(patience):
		t.Fatalf("nothing was told to be dropped; saw %v", p.lines)
	}
}

// neighbours has another tenant call until stop is closed, and checks every answer.
func neighbours(t *testing.T, f *Fleet, stop <-chan struct{}) (calls int) {
	t.Helper()
	m := module(t, `module.exports = n => n + 1`)
	for ; ; calls++ {
		select {
		case <-stop:
			return calls
		default:
		}
		a := newAnswer(t, m, fmt.Sprint("[", calls, "]"))
		if err := f.Call("zeta", &a.Call); err != nil {
			t.Fatalf("a neighbour's call: %v", err)
		}
		if got, want := a.wait(), fmt.Sprint("Result ", calls+1); got != want {
			t.Fatalf("a neighbour's call gave %s, not %s", got, want)
		}
	}
}

// A function that logs without end goes on, and so do its neighbours; what it logs is bounded, and no line is
// missing without being counted.
func TestAFloodOfLogsIsBoundedAndCounted(t *testing.T) {
	f := running(t, Config{Limits: Limits{MinBridges: 1, LogRate: 100, LogBytes: 1 << 20}})
	flood := begin(t, f, module(t, `module.exports = async hub => {
		let n = 0
		while (!hub.pausing) {
			for (let i = 0; i < 100; i++) { console.log('line', n++) ; process.stderr.write('line\n'); n++ }
			await new Promise(setImmediate)
		}
		return n
	}`), "[]")
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		flood.notices(3)
	}()
	own := module(t, `module.exports = n => -n`)
	if calls := neighbours(t, f, stop); calls < 100 {
		t.Errorf("neighbours had %d calls", calls)
	}
	check(t, "another call of the same process", invoke(t, f, own, "[1]"), "Result -1")
	flood.Pause("request", time.Now().Add(patience))
	var n int64
	if _, err := fmt.Sscanf(flood.wait(), "Result %d", &n); err != nil {
		t.Fatalf("the flood ended with %s", flood.wait())
	}
	lines, dropped, notices := flood.logged(t)
	check(t, "lines that were shown or counted", int64(lines)+dropped.Lines, n)
	if lines < 300 || lines > 6000 || notices < 3 || notices > 60 {
		t.Errorf("%d lines and %d notices of what was dropped", lines, notices)
	}
	t.Logf("%d lines: %d shown, %d dropped, in %d notices", n, lines, dropped.Lines, notices)
}

// Nor does a loop that never lets go of the thread reach anybody: it ends as any such loop does.
func TestALoopThatLogsIsBoundedUntilItIsStuck(t *testing.T) {
	f := running(t, Config{StuckAfter: 500 * time.Millisecond, Limits: Limits{MinBridges: 1, LogRate: 100, LogBytes: 1 << 20}})
	flood := begin(t, f, module(t, `module.exports = () => { while (true) console.log('x'.repeat(1000)) }`), "[]")
	neighbours(t, f, flood.done)
	if got := flood.wait(); !strings.Contains(got, `"stuck"`) {
		t.Errorf("it ended with %s", got)
	}
	if lines, _, _ := flood.logged(t); lines == 0 || lines > 6000 {
		t.Errorf("%d lines", lines)
	}
}

// Bytes are bounded as lines are.
func TestAFewLongLinesAreAFlood(t *testing.T) {
	f := running(t, Config{Limits: Limits{MinBridges: 1, LogBytes: 10_000}})
	a := begin(t, f, module(t, `module.exports = () => { for (let i = 0; i < 10; i++) console.log('x'.repeat(6000)) }`), "[]")
	check(t, "answer", a.wait(), "Result \x02")
	lines, dropped, notices := a.logged(t)
	check(t, "lines shown", lines, 2) // the second begins within the limit
	check(t, "lines dropped", dropped, droppedLines{Lines: 8, Bytes: 48_000})
	check(t, "notices", notices, 1)
}

// Code that writes frames itself passes by the bridge's own quota, and not by the hub's.
func TestForgedLogsAreBounded(t *testing.T) {
	out := newPrinted()
	f := running(t, Config{Limits: Limits{MinBridges: 1, LogRate: 10, LogBytes: 1 << 20}}, out.take)
	forger := module(t, `
	const fs = require('node:fs')
	const payload = Buffer.from('{"level":"info","message":"forged"}')
	module.exports = (index, seconds) => {
		const frame = Buffer.alloc(9 + payload.length)
		frame.writeUInt32LE(5 + payload.length); frame[4] = 0x87; frame.writeUInt32LE(index, 5)
		payload.copy(frame, 9)
		const many = Buffer.concat(Array(1000).fill(frame))
		let n = 0
		for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
			try { fs.writeSync(4, many.subarray(0, frame.length)); n++ } catch (err) { if (err.code !== 'EAGAIN') throw err }
		}
		return n
	}`)
	invoke(t, f, forger, "[0, 0]")
	a := begin(t, f, forger, "[0, 1.5]")
	neighbours(t, f, a.done)
	var n int
	if _, err := fmt.Sscanf(a.wait(), "Result %d", &n); err != nil || n < 1000 {
		t.Fatalf("it ended with %s", a.wait())
	}
	f.Remove("acme") // or any frame that comes a second later has it told
	out.wait(t)
	out.mu.Lock()
	defer out.mu.Unlock()
	if got := out.lines["log"]; got > 10*margin*60 {
		t.Errorf("%d of %d forged lines passed", got, n)
	}
	if !strings.Contains(out.said[0], `"dropped":{"lines":`) {
		t.Errorf("it was told as %q", out.said)
	}
}

// What is written to the standard streams past the bridge is bounded, too, and nobody waits for its reader long.
func TestAFloodOfStrayOutputIsBounded(t *testing.T) {
	out := newPrinted()
	f := running(t, Config{Limits: Limits{MinBridges: 1, LogRate: 10, LogBytes: 1 << 20}}, out.take)
	a := begin(t, f, module(t, `
	const fs = require('node:fs'), child = require('node:child_process')
	module.exports = () => {
		const many = Buffer.from('stray\n'.repeat(1000))
		for (let i = 0; i < 100; i++) { try { fs.writeSync(1, many) } catch (err) { if (err.code !== 'EAGAIN') throw err } }
		return child.spawnSync('/bin/sh', ['-c', 'yes | head -c 10000000'], { stdio: ['ignore', 'inherit', 'inherit'] }).status
	}`), "[]")
	neighbours(t, f, a.done)
	check(t, "answer", a.wait(), "Result 0")
	f.Remove("acme")
	out.wait(t)
	out.mu.Lock()
	defer out.mu.Unlock()
	if got := out.lines["stdout"]; got < 10 || got > 10*60 {
		t.Errorf("%d lines of stray output", got)
	}
}

// A change of the limit reaches processes that run.
func TestLimitsOfLogsHoldAtOnce(t *testing.T) {
	f := running(t, Config{Limits: Limits{MinBridges: 1}})
	m := module(t, `module.exports = () => { for (let i = 0; i < 100; i++) console.log(i) }`)
	lines := func() int {
		a := begin(t, f, m, "[]")
		check(t, "answer", a.wait(), "Result \x02")
		n, _, _ := a.logged(t)
		return n
	}
	check(t, "lines without a limit", lines(), 100)
	f.Limit("acme", Limits{MinBridges: 1, LogRate: 20}) // of the process 200: what it logged just now counts
	check(t, "lines with one", lines(), 20)
	f.Limit("acme", Limits{MinBridges: 1})
	check(t, "lines without one again", lines(), 100)
}
