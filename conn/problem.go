package conn

import (
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/fault"
)

// statuses is the only mapping from a fault's code to an HTTP status.
var statuses = map[fault.Code]int{
	fault.Unauthorized:          fasthttp.StatusUnauthorized,
	fault.Forbidden:             fasthttp.StatusForbidden,
	fault.NotFound:              fasthttp.StatusNotFound,
	fault.InvalidRequest:        fasthttp.StatusBadRequest,
	fault.PayloadTooLarge:       fasthttp.StatusRequestEntityTooLarge,
	fault.Conflict:              fasthttp.StatusConflict,
	fault.RateLimited:           fasthttp.StatusTooManyRequests,
	fault.Overloaded:            fasthttp.StatusTooManyRequests,
	fault.InstallFailed:         fasthttp.StatusUnprocessableEntity,
	fault.VersionBroken:         fasthttp.StatusUnprocessableEntity,
	fault.FunctionError:         fasthttp.StatusInternalServerError,
	fault.ResultNotSerializable: fasthttp.StatusInternalServerError,
	fault.Timeout:               fasthttp.StatusGatewayTimeout,
	fault.Cancelled:             fasthttp.StatusConflict,
	fault.BridgeLost:            fasthttp.StatusBadGateway,
	fault.Stuck:                 fasthttp.StatusBadGateway,
	fault.OutOfMemory:           fasthttp.StatusBadGateway,
	fault.Drained:               fasthttp.StatusServiceUnavailable,
	fault.StorageUnavailable:    fasthttp.StatusServiceUnavailable,
	fault.Internal:              fasthttp.StatusInternalServerError,
}

var titles = func() map[fault.Code]string {
	m := map[fault.Code]string{}
	for _, e := range fault.Table {
		m[e.Code] = e.Title
	}
	return m
}()

// problem is a problem document (RFC 9457).
type problem struct {
	Type      string     `json:"type"`
	Title     string     `json:"title"`
	Status    int        `json:"status"`
	Code      fault.Code `json:"code"`
	Detail    string     `json:"detail"`
	Execution string     `json:"execution,omitempty"`
	Name      string     `json:"name,omitempty"`  // of what the function threw
	Stack     string     `json:"stack,omitempty"` // likewise

	retryAfter time.Duration
}

func problemOf(f *fault.Fault) *problem {
	return (&problem{Detail: f.Detail, Execution: f.Execution, retryAfter: f.RetryAfter}).of(f.Code)
}

// problemOfFailure is for an execution that failed.
func problemOfFailure(execution string, f *hub.Failure) *problem {
	return (&problem{Detail: f.Message, Execution: execution, Name: f.Name, Stack: f.Stack}).of(f.Code)
}

func (p *problem) of(code fault.Code) *problem {
	p.Code, p.Type, p.Title, p.Status = code, "urn:livefn:error:"+string(code), titles[code], statuses[code]
	if p.Status == 0 {
		p.Status = fasthttp.StatusInternalServerError
	}
	if p.retryAfter == 0 && (p.Status == fasthttp.StatusTooManyRequests || p.Status == fasthttp.StatusServiceUnavailable) {
		p.retryAfter = time.Second
	}
	return p
}

func (p *problem) json() []byte { return encode(p) }

// write makes the document the response.
func (p *problem) write(ctx *fasthttp.RequestCtx) {
	r := &ctx.Response
	r.ResetBody()
	r.SetStatusCode(p.Status)
	r.Header.SetContentType("application/problem+json")
	if p.retryAfter > 0 {
		r.Header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(int((p.retryAfter+time.Second-1)/time.Second)))
	}
	if p.Code == fault.Unauthorized {
		r.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
	}
	if p.Execution != "" {
		r.Header.Set(headerExecution, p.Execution)
	}
	r.SetBodyRaw(p.json())
}

// rpcError is the error member of a JSON-RPC response.
type rpcError struct {
	Code    int      `json:"code"`
	Message string   `json:"message"`
	Data    *rpcData `json:"data,omitempty"`
}

type rpcData struct {
	Code       fault.Code `json:"code"`
	Execution  string     `json:"execution,omitempty"`
	Name       string     `json:"name,omitempty"`
	Stack      string     `json:"stack,omitempty"`
	RetryAfter int64      `json:"retryAfter,omitempty"` // milliseconds
}

// rpc gives the problem as a JSON-RPC error.
func (p *problem) rpc(code int) []byte {
	return encode(rpcError{code, p.Detail, &rpcData{p.Code, p.Execution, p.Name, p.Stack, p.retryAfter.Milliseconds()}})
}

// fail answers with err as a problem document; what the hub did not expect goes to its log.
func (s *Server) fail(ctx *fasthttp.RequestCtx, err error) {
	f := fault.From(err)
	s.logFault(f, string(ctx.Method()), string(ctx.Path()))
	if f.Code == fault.RateLimited {
		s.brake()
	}
	problemOf(f).write(ctx)
}

// brake lets a connection wait for its refusal. To refuse costs about as much as to call: a client that comes back at
// once would take the machine from other tenants with its refusals alone.
func (s *Server) brake() {
	pause := time.NewTimer(s.cfg.RefusePause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-s.ctx.Done():
	}
}

func (s *Server) logFault(f *fault.Fault, method, path string) {
	if f.Code == fault.Internal || f.Code == fault.StorageUnavailable {
		s.cfg.Log.Error("request failed", "method", method, "path", path, "code", f.Code, "detail", f.Detail, "cause", f.Cause)
	}
}
