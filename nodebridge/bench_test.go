package nodebridge

import (
	"bytes"
	"fmt"
	"testing"
)

func BenchmarkEncode(b *testing.B) {
	c := Call{Module: &Module{handle: 7}, Execution: "01JQ8Z6W3V9T2K4M5N7P8R0S1A", Args: []byte("[1,2]")}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendInvoke(appendHead(buf[:0], Invoke, 1<<20, invokeSize(&c, c.Args)), &c, c.Args)
	}
}

// Four hundred answers in a chunk, as a busy bridge gives them, and one cut at its end.
func BenchmarkSplit(b *testing.B) {
	var chunk []byte
	for i := range uint32(400) {
		chunk = appendFrame(chunk, Result, i, []byte("\x003"))
	}
	s := splitter{from: &fromBridge}
	n := 0
	each := func(Frame) error { n++; return nil }
	b.ReportAllocs()
	for b.Loop() {
		_ = s.split(chunk[:len(chunk)-3], each)
		_ = s.split(chunk[len(chunk)-3:], each)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/frame")
}

// question is a call's arguments and its answer. Benchmarks ask many different ones, of a function that
// gets its tail object, and look at each answer: else they measure how fast calls fail, or repeat.
type question struct{ args, want []byte }

var questions = func() (q [1009]question) {
	for i := range q {
		q[i] = question{fmt.Appendf(nil, "[%d,%d]", i*7919, i), fmt.Appendf(nil, "\x00%d", i*7919+i)}
	}
	return q
}()

// asker asks one question after the other.
type asker struct {
	Call
	f  *Fleet
	at int
}

func (a *asker) ask() {
	a.at = (a.at + 1) % len(questions)
	a.Args = questions[a.at].args
	if err := a.f.Call("acme", &a.Call); err != nil {
		panic(err)
	}
}

func (a *asker) check(f Frame) {
	if f.Kind != Result || !bytes.Equal(f.Payload, questions[a.at].want) {
		panic(fmt.Sprintf("%s is answered by %s %q", a.Args, kindNames[f.Kind], f.Payload))
	}
}

func newAsker(f *Fleet, m *Module, i int) asker {
	return asker{Call: Call{Module: m, Execution: "01JQ8Z6W3V9T2K4M5N7P8R0S1A"}, f: f, at: i * 31}
}

// lane asks its next question from the flush after an answer.
type lane struct {
	asker
	left int
	done chan struct{}
}

func newLane(f *Fleet, m *Module, i, left int, done chan struct{}) *lane {
	l := &lane{asker: newAsker(f, m, i), left: left, done: done}
	l.Receiver = l
	return l
}

func (l *lane) Receive(f Frame, b *Batch) {
	l.check(f)
	if l.left--; l.left <= 0 {
		l.done <- struct{}{}
		return
	}
	b.Add(l)
}

func (l *lane) Flush() { l.ask() }

// waiter asks from a goroutine that waits for the answer.
type waiter struct {
	asker
	done chan struct{}
}

func newWaiter(f *Fleet, m *Module, i int) *waiter {
	w := &waiter{asker: newAsker(f, m, i), done: make(chan struct{}, 1)}
	w.Receiver = w
	return w
}

func (w *waiter) Receive(f Frame, _ *Batch) {
	w.check(f)
	w.done <- struct{}{}
}

// BenchmarkCall is calls through a real Node process; "answers" makes the next call from the reader's
// batch, "goroutines" from one goroutine per call in flight that waits for it, as over HTTP.
func BenchmarkCall(b *testing.B) {
	for _, inFlight := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint("answers/", inFlight), func(b *testing.B) {
			f, m := benched(b)
			done := make(chan struct{}, inFlight)
			each := b.N/inFlight + 1
			b.ReportAllocs()
			b.ResetTimer()
			for i := range inFlight {
				newLane(f, m, i, each, done).Flush()
			}
			for range inFlight {
				<-done
			}
			b.ReportMetric(float64(each*inFlight)/b.Elapsed().Seconds(), "calls/s")
		})
		b.Run(fmt.Sprint("goroutines/", inFlight), func(b *testing.B) {
			f, m := benched(b)
			finished := make(chan struct{}, inFlight)
			each := b.N/inFlight + 1
			b.ReportAllocs()
			b.ResetTimer()
			for i := range inFlight {
				go func() {
					w := newWaiter(f, m, i)
					for range each {
						w.ask()
						<-w.done
					}
					finished <- struct{}{}
				}()
			}
			for range inFlight {
				<-finished
			}
			b.ReportMetric(float64(each*inFlight)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}

// benched gives a fleet with a function of a microsecond loaded, and called often enough to be compiled.
func benched(b *testing.B) (*Fleet, *Module) {
	f, m := running(b, Config{}), module(b, `module.exports = (a, b) => a + b`)
	done := make(chan struct{}, 1)
	newLane(f, m, 0, 20000, done).Flush()
	<-done
	return f, m
}
