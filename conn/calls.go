package conn

import (
	"encoding/base64"
	"sync"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// The pieces of a JSON-RPC response: head, id, middle, result or error, tail.
var (
	rpcHead      = []byte(`{"jsonrpc":"2.0","id":`)
	rpcResult    = []byte(`,"result":`)
	rpcErrorHead = rpcHead
	rpcErrorMid  = []byte(`,"error":`)
	rpcTail      = []byte(`}`)
	rpcTrue      = []byte(`true`)
	base64Head   = []byte(`{"base64":"`)
	base64Tail   = []byte(`"}`)
)

// call is one request of a session that is not answered yet. It waits for answers of the hub.
type call struct {
	s     *Session
	group *rpcBatch // nil: the answer is a message of its own
	id    []byte    // its JSON; empty for a notification, which is not answered
}

var calls = sync.Pool{New: func() any { return &call{id: make([]byte, 0, 24)} }}

// newCall counts r among the session's calls; it gives nil after it refused one too many.
func (s *Session) newCall(r *rpcRequest, group *rpcBatch) *call {
	c := calls.Get().(*call)
	c.s, c.group, c.id = s, group, append(c.id[:0], r.id...)
	if int(s.calls.Add(1)) > s.srv.cfg.MaxCalls {
		c.fail(fault.New(fault.Overloaded, "This connection has %d requests under way, which is its limit. Wait for answers.", s.srv.cfg.MaxCalls), &s.batch)
		return nil
	}
	return c
}

// Reply sends what an invoke waited for. While the execution is paused it waits on.
func (c *call) Reply(a *hub.Answer, b *nodebridge.Batch) bool {
	switch {
	case a.State == hub.Paused:
		return false
	case a.State != hub.Succeeded:
		c.error(problemOfFailure(a.Execution, a.Failure).rpc(rpcFault), b)
	case a.Encoding == nodebridge.Bytes:
		enc := make([]byte, base64.StdEncoding.EncodedLen(len(a.Result)))
		base64.StdEncoding.Encode(enc, a.Result)
		c.answer(b, rpcResult, base64Head, enc, base64Tail)
	case a.Encoding == nodebridge.Nothing:
		c.answer(b, rpcResult, null, nil, nil)
	default:
		c.answer(b, rpcResult, a.Result, nil, nil)
	}
	return true
}

// result answers with JSON.
func (c *call) result(json []byte, b *nodebridge.Batch) { c.answer(b, rpcResult, json, nil, nil) }

// fail answers with a fault; b is nil for who has no batch.
func (c *call) fail(err error, b *nodebridge.Batch) {
	f := fault.From(err)
	c.s.srv.logFault(f, "WS", string(c.id))
	c.error(problemOf(f).rpc(rpcFault), b)
}

// invalid answers that the params are wrong.
func (c *call) invalid(f *fault.Fault) { c.error(problemOf(f).rpc(rpcInvalidParams), &c.s.batch) }

func (c *call) error(json []byte, b *nodebridge.Batch) { c.answer(b, rpcErrorMid, json, nil, nil) }

// answer sends the response and gives the call back: c must not be used after.
func (c *call) answer(b *nodebridge.Batch, mid, p, q, r []byte) {
	switch s := c.s; {
	case len(c.id) == 0:
		if c.group != nil {
			c.group.none(b)
		}
	case c.group != nil:
		c.group.add(b, rpcHead, c.id, mid, p, q, r, rpcTail)
	default:
		s.out.text(b, rpcHead, c.id, mid, p, q, r, rpcTail)
	}
	s := c.s
	c.s, c.group = nil, nil
	calls.Put(c)
	if s.calls.Add(-1) == 0 {
		s.leaveIfIdle()
	}
}

// rpcBatch collects the answers to a JSON-RPC batch, which go out as one array.
type rpcBatch struct {
	s    *Session
	mu   sync.Mutex // guards the rest
	left int        // requests that are not done
	out  []byte     // the answers so far, each with a comma or bracket before it
}

func newBatch(s *Session, reqs []rpcRequest) *rpcBatch { return &rpcBatch{s: s, left: len(reqs)} }

// add takes the answer to one of the batch.
func (g *rpcBatch) add(b *nodebridge.Batch, parts ...[]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.out) == 0 {
		g.out = append(g.out, '[')
	} else {
		g.out = append(g.out, ',')
	}
	for _, p := range parts {
		g.out = append(g.out, p...)
	}
	g.doneLocked(b)
}

// none is for a notification that is done.
func (g *rpcBatch) none(b *nodebridge.Batch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.doneLocked(b)
}

func (g *rpcBatch) doneLocked(b *nodebridge.Batch) {
	if g.left--; g.left == 0 && len(g.out) > 0 {
		g.s.out.text(b, g.out, []byte{']'})
	}
}
