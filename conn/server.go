package conn

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/tenants"
)

// Server is the front door. It serves one listener, once.
type Server struct {
	cfg     Config
	hub     *hub.Hub
	tenants *tenants.Registry
	http    *fasthttp.Server
	routes  []route

	ctx    context.Context // ends when running requests must end: later than Serve's own
	cancel context.CancelCauseFunc
	live   liveSet
	doors  *arrivals
	own    ownOrigins
	quotas quotas
	group  group
	wait   waiters
	beats  atomic.Int64 // counts PingEvery

	onDrain  func() // nil: the operator can't ask for a drain
	onBackup func(ctx context.Context, w io.Writer) error
}

// New makes a server. It does nothing until Serve.
func New(cfg Config, h *hub.Hub, reg *tenants.Registry) *Server {
	cfg.setDefaults()
	s := &Server{cfg: cfg, hub: h, tenants: reg}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.doors = newArrivals(cfg.ConnectRate, cfg.ConnectBurst, cfg.ReconnectAfter)
	s.own = newOwnOrigins(cfg.Origins)
	s.quotas.keep = cfg.MaxSubjects
	s.routes = s.table()
	reg.OnRevoke(s.recheck)
	s.http = &fasthttp.Server{
		Handler:                      s.handle,
		ErrorHandler:                 s.badRequest,
		HeaderReceived:               s.headerReceived,
		Logger:                       fasthttpLog{cfg.Log},
		Concurrency:                  cfg.MaxConns,
		ReadBufferSize:               cfg.MaxHeaderBytes,
		MaxRequestBodySize:           cfg.MaxBody,
		ReadTimeout:                  cfg.HeaderTimeout,
		IdleTimeout:                  cfg.IdleTimeout,
		WriteTimeout:                 cfg.BodyTimeout,
		MaxIdleWorkerDuration:        250 * time.Millisecond, // also how long its cleaner outlives Serve
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		DisablePreParseMultipartForm: true,
		LazyRequestTime:              true,
		SecureErrorLogMessage:        true,
		KeepHijackedConns:            true,
		CloseOnShutdown:              true,
	}
	return s
}

// life is the context of what requests start.
func (s *Server) life() context.Context { return s.ctx }

// spawn runs f in a goroutine that Serve waits for.
func (s *Server) spawn(f func()) { s.group.run(f) }

// Serve answers on ln until ctx ends or ln fails. Then it lets clients go, waits for running requests,
// DrainWithin at most, and returns when all is closed.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	l := &listener{Listener: ln, open: map[*tracked]struct{}{}}
	failed := make(chan error, 1)
	s.spawn(func() { failed <- s.http.Serve(l) })
	ticker := time.NewTicker(s.cfg.PingEvery)
	defer ticker.Stop()
	var err error
	for ctx.Err() == nil && err == nil {
		select {
		case <-ctx.Done():
		case err = <-failed:
			if err == nil {
				err = net.ErrClosed
			}
		case <-ticker.C:
			s.quotas.sweep(time.Now())
			now := s.beats.Add(1)
			for _, v := range s.live.list() {
				v.beat(now)
			}
		}
	}
	s.drain(l)
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// drain ends what is left.
func (s *Server) drain(l *listener) {
	for _, v := range s.live.close() {
		v.leave("drain", s.reconnectAfter())
	}
	limit, cancel := context.WithTimeout(context.Background(), s.cfg.DrainWithin)
	defer cancel()
	if s.http.ShutdownWithContext(limit) != nil || !s.live.wait(limit) {
		f := fault.New(fault.Drained, "The hub is shutting down and did not wait longer.")
		s.wait.abort(f)
		s.cancel(f)
		for _, v := range s.live.list() {
			v.abort()
		}
		last, cancel := context.WithTimeout(context.Background(), s.cfg.CloseWithin)
		defer cancel()
		if s.http.ShutdownWithContext(last) != nil || !s.live.wait(last) {
			l.closeAll()
		}
	}
	s.cancel(context.Canceled)
	_ = l.Close() // fasthttp does not know it if Serve ends before that has begun to accept
	s.group.wait()
}

// reconnectAfter is when a client that leaves should come back: each at another time.
func (s *Server) reconnectAfter() time.Duration {
	return jitter(s.cfg.ReconnectAfter)
}

// handle serves one request. A panic of ours ends the request, not the hub.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	defer s.recovered(ctx)
	if original := ctx.URI().PathOriginal(); hidesSlash(original) {
		s.fail(ctx, fault.New(fault.NotFound, "There is nothing at %s.", original))
		return
	}
	if origin := ctx.Request.Header.Peek(fasthttp.HeaderOrigin); len(origin) > 0 && s.cors(ctx, origin) {
		return
	}
	path := ctx.Path()
	if ref, ok := invokePath(path); ok && ctx.IsPost() {
		s.invoke(ctx, ref)
		return
	}
	s.route(ctx, path)
}

func (s *Server) recovered(ctx *fasthttp.RequestCtx) {
	if r := recover(); r != nil {
		s.logPanic(string(ctx.Path()), r)
		ctx.Response.Reset()
		problemOf(errPanic).write(ctx)
	}
}

var errPanic = fault.New(fault.Internal, "The hub could not do this; its log has the cause.")

func (s *Server) logPanic(where string, r any) {
	s.cfg.Log.Error("panic", "where", where, "panic", r, "stack", string(debug.Stack()))
}

// bigBody is from what size on a body has BodyTimeout.
const bigBody = 64 << 10

func (s *Server) headerReceived(h *fasthttp.RequestHeader) (c fasthttp.RequestConfig) {
	if n := h.ContentLength(); n > bigBody || n == -1 {
		c.ReadTimeout = s.cfg.BodyTimeout
	}
	return c
}

// badRequest answers what fasthttp could not read.
func (s *Server) badRequest(ctx *fasthttp.RequestCtx, err error) {
	p := problemOf(fault.New(fault.InvalidRequest, "This is not a valid HTTP/1.1 request."))
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		p = problemOf(fault.New(fault.PayloadTooLarge, "The body is over %d bytes (MaxBody).", s.cfg.MaxBody))
	case errors.As(err, &small):
		p = problemOf(fault.New(fault.PayloadTooLarge, "The request's line and headers are over %d bytes (MaxHeaderBytes).", s.cfg.MaxHeaderBytes))
		p.Status = fasthttp.StatusRequestHeaderFieldsTooLarge
	case errors.As(err, &timeout) && timeout.Timeout():
		p = problemOf(fault.New(fault.Timeout, "The request did not arrive in time."))
		p.Status = fasthttp.StatusRequestTimeout
	}
	if t, ok := ctx.Conn().(*tracked); ok {
		t.linger.Store(true)
	}
	p.write(ctx)
}

// fasthttpLog takes what fasthttp has to say to the operator's log.
type fasthttpLog struct{ log *slog.Logger }

func (l fasthttpLog) Printf(format string, args ...any) {
	l.log.Debug("http", "message", fault.New("", format, args...).Detail)
}

// group runs goroutines and waits for them.
type group struct {
	mu     sync.Mutex // guards closed, and orders Add before Wait
	closed bool
	wg     sync.WaitGroup
}

// run runs f in a goroutine; once the group is closed, on the caller's: what comes then has nothing
// left to wait for.
func (g *group) run(f func()) {
	g.mu.Lock()
	closed := g.closed
	if !closed {
		g.wg.Add(1)
	}
	g.mu.Unlock()
	if closed {
		f()
		return
	}
	go func() {
		defer g.wg.Done()
		f()
	}()
}

func (g *group) wait() {
	g.wg.Wait() // those that run may start others
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.wg.Wait()
}
