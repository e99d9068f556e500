package conn

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

const (
	headerExecution = "Livefn-Execution"
	headerVersion   = "Livefn-Version"
	executionsPath  = "/v1/executions/"
)

// waiter is a handler that is parked until its execution is answered. Reply copies the answer into
// the response: its handler does not touch it meanwhile.
type waiter struct {
	req   hub.Request
	ctx   *fasthttp.RequestCtx
	state atomic.Uint32
	done  chan struct{} // has room for the one token of the answer

	execution string
	version   int // of the function
	failure   *hub.Failure
	paused    bool
	fault     *fault.Fault // of abort
}

// The states of a waiter.
const (
	waiterIdle     = iota
	waiterWaiting  // the answer may come
	waiterAnswered // it came, or the wait was aborted
	waiterGone     // the handler went on without it: a later answer is dropped
)

// Reply takes the answer. A pause is one: over HTTP nobody waits for a resume.
func (w *waiter) Reply(a *hub.Answer, _ *nodebridge.Batch) bool {
	if !w.state.CompareAndSwap(waiterWaiting, waiterAnswered) {
		return true
	}
	w.execution, w.version = a.Execution, a.Version
	switch a.State {
	case hub.Succeeded:
		setResult(&w.ctx.Response, a)
	case hub.Paused:
		w.paused = true
	default:
		w.failure = a.Failure
	}
	w.done <- struct{}{}
	return true
}

func setResult(r *fasthttp.Response, a *hub.Answer) {
	switch a.Encoding {
	case nodebridge.Nothing:
		r.SetStatusCode(fasthttp.StatusNoContent)
		r.Header.SetContentType("")
	case nodebridge.Bytes:
		r.Header.SetContentType("application/octet-stream")
		setBody(r, a.Result)
	default:
		r.Header.SetContentType("application/json")
		setBody(r, a.Result)
	}
}

// setBody makes an answer's result the body. A large one is not copied: that would hold up who reads the bridge, and
// the memory would stay with fasthttp's.
func setBody(r *fasthttp.Response, result []byte) {
	if len(result) > nodebridge.MaxPayload {
		r.SetBodyRaw(result)
		return
	}
	r.SetBody(result)
}

// finish writes the rest of the response once the answer came.
func (w *waiter) finish(s *Server) {
	ctx := w.ctx
	switch {
	case w.fault != nil:
		s.fail(ctx, w.fault)
	case w.paused:
		accepted(ctx, w.execution)
	case w.failure != nil:
		problemOfFailure(w.execution, w.failure).write(ctx)
	default:
		ctx.Response.Header.SetCanonical(headerExecutionBytes, w.executionBytes())
	}
	if w.fault == nil {
		var digits [20]byte
		ctx.Response.Header.SetCanonical(headerVersionBytes, strconv.AppendInt(digits[:0], int64(w.version), 10))
	}
}

var (
	headerExecutionBytes = []byte(headerExecution)
	headerVersionBytes   = []byte(headerVersion)
)

// executionBytes gives the execution's id without a copy.
func (w *waiter) executionBytes() []byte {
	return unsafe.Slice(unsafe.StringData(w.execution), len(w.execution)) //nolint:gosec // read only
}

// accepted answers that an execution goes on without the caller.
func accepted(ctx *fasthttp.RequestCtx, execution string) {
	ctx.Response.Header.Set(headerExecution, execution)
	ctx.Response.Header.Set(fasthttp.HeaderLocation, executionsPath+execution)
	writeJSON(ctx, fasthttp.StatusAccepted, started{execution})
}

// within waits for the answer for d at most.
func (w *waiter) within(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-w.done:
		return true
	case <-t.C:
	}
	if w.state.CompareAndSwap(waiterWaiting, waiterGone) {
		return false
	}
	<-w.done // it comes this moment
	return true
}

// waiters is every waiter there is, so that all can be aborted; the free ones are used again.
type waiters struct {
	mu      sync.Mutex // guards the rest
	all     []*waiter
	free    []*waiter
	aborted *fault.Fault
}

// take gives a waiter for ctx that waits.
func (l *waiters) take(ctx *fasthttp.RequestCtx) (*waiter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.aborted != nil {
		return nil, l.aborted
	}
	var w *waiter
	if n := len(l.free); n > 0 {
		w, l.free = l.free[n-1], l.free[:n-1]
	} else {
		w = &waiter{done: make(chan struct{}, 1)}
		l.all = append(l.all, w)
	}
	w.ctx = ctx
	w.state.Store(waiterWaiting)
	return w, nil
}

// put takes a waiter back. One whose answer may still come is left to it.
func (l *waiters) put(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.state.Load() == waiterGone || w.fault != nil {
		for i, have := range l.all {
			if have == w {
				l.all[i] = l.all[len(l.all)-1]
				l.all[len(l.all)-1] = nil
				l.all = l.all[:len(l.all)-1]
				break
			}
		}
		return
	}
	w.state.Store(waiterIdle)
	w.req, w.ctx, w.execution, w.version, w.failure, w.paused = hub.Request{}, nil, "", 0, nil, false
	l.free = append(l.free, w)
}

// abort answers all who wait, and all who come, with f.
func (l *waiters) abort(f *fault.Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aborted = f
	for _, w := range l.all {
		if w.state.CompareAndSwap(waiterWaiting, waiterAnswered) {
			w.fault = f
			w.done <- struct{}{}
		}
	}
}
