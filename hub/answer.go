package hub

import (
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// Request asks for one execution. Function and Args are borrowed: they are read before Invoke or
// Start returns, never later.
type Request struct {
	Function    string              // name, name@version
	Args        []byte              // JSON (an array is the arguments, any other value the one), or bytes
	Encoding    nodebridge.Encoding // of Args
	Key         string              // idempotency key; "" for none
	Timeout     time.Duration       // the caller's own limit; 0: none
	Delay       time.Duration       // of a durable start: how long it stays queued; 0: not
	Priority    int                 // of a durable start: -100 to 100; higher goes first
	Caller      string              // who asked, if a token says; shown as caller
	Trigger     string              // what started it, if it was no caller; shown as trigger
	Parent      string              // the execution that asked for it
	Depth       int                 // how many executions above it asked for one another
	Traceparent string              // W3C Trace Context, passed on to the function
	Events      Subscriber          // nil, or told every event of the execution from the first on
}

// encoding is that of Args: empty JSON is no arguments.
func (req *Request) encoding() nodebridge.Encoding {
	if len(req.Args) == 0 && req.Encoding == nodebridge.JSON {
		return nodebridge.Nothing
	}
	return req.Encoding
}

// Answer is how an execution ended, or that it paused. Result is borrowed if it has nodebridge.MaxPayload bytes or
// fewer; a larger one may be kept, and is never written to.
type Answer struct {
	Execution string
	Version   int   // of the function, that gave the answer
	State     State // Succeeded, Failed, Cancelled or Paused
	Encoding  nodebridge.Encoding
	Result    []byte
	Failure   *Failure // for Failed and Cancelled
}

// Failure is why an execution failed. Code is function_error when the function itself threw; then
// Name, Message and Stack are the function's.
type Failure struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Name    string     `json:"name,omitempty"`
	Stack   string     `json:"stack,omitempty"`
}

// Replier waits for the answer to one execution.
type Replier interface {
	// Reply is called on the goroutine that reads the bridge or on the store's committer: it must not
	// block. b collects what should be flushed once the chunk or group is done. After an answer with
	// State Paused the replier may go on waiting by returning false; after any other, nothing more comes.
	Reply(a *Answer, b *nodebridge.Batch) (done bool)
}
