package conn

import (
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/fault"
)

// executionEvents shows an execution's stream: from its start, unless the caller says since when.
func (s *Server) executionEvents(ctx *fasthttp.RequestCtx, args []string) error {
	return s.events(ctx, "execution."+args[0], "start")
}

// streamEvents shows a stream, or what matches a pattern: what is new, unless the caller says since when.
func (s *Server) streamEvents(ctx *fasthttp.RequestCtx, args []string) error {
	return s.events(ctx, args[0], "new")
}

// events answers with Server-Sent Events, or with a page of history if the caller does not accept them.
func (s *Server) events(ctx *fasthttp.RequestCtx, stream, since string) error {
	c, err := s.caller(ctx)
	if err != nil {
		return err
	}
	t := c.Tenant // not nil: see rules
	if q := query(ctx, "since"); q != "" {
		since = q
	}
	if !wantsEvents(ctx) {
		n, err := limit(ctx)
		if err != nil {
			return err
		}
		if since == "start" || since == "new" && query(ctx, "since") == "" {
			since = ""
		}
		page, err := s.hub.History(t, stream, since, n)
		if page.Events == nil {
			page.Events = []*hub.Event{}
		}
		return reply(ctx, page, err)
	}
	if id := ctx.Request.Header.Peek("Last-Event-Id"); len(id) > 0 {
		since = string(id)
	}
	from, err := sinceText(since)
	if err != nil {
		return err
	}
	if after, busy := s.doors.turnedAway(time.Now()); busy {
		turnAwayStream(ctx, after)
		return nil
	}
	e := s.newEventStream(ctx, &c, false)
	want := hub.Interest{Pattern: stream, Since: from, Member: newMember(e.caller.subject())}
	if q := query(ctx, "latest"); q != "" {
		want.Latest = true
		if q != "true" {
			want.LatestBy = q
		}
	}
	if err := e.count(); err != nil {
		return err
	}
	sub, err := s.hub.SubscribeTo(t, want, e)
	if err != nil {
		e.close()
		return err
	}
	e.begin(sub, nil)
	e.follow(sub)
	e.hijack(ctx, "")
	return nil
}

// turnAwayStream says when to come back for a stream: too many come at once. An EventSource gives up for good on any status
// but 200 (the HTML standard, 9.2.3), and waits for as long as a stream told it before that ended. It is who has its token in the URL.
func turnAwayStream(ctx *fasthttp.RequestCtx, after time.Duration) {
	if len(bearer(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))) > 0 {
		p := problemOf(&fault.Fault{Code: fault.Overloaded, RetryAfter: after, Detail: "Too many connections come in at once (ConnectRate): come back later."})
		p.Status = fasthttp.StatusServiceUnavailable
		p.write(ctx)
		return
	}
	r := &ctx.Response
	r.Header.SetContentType("text/event-stream")
	r.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	r.SetBodyString("retry: " + strconv.FormatInt(after.Milliseconds(), 10) + "\n\n")
}

// sinceText reads "start", "new" or "epoch:offset", an event's id.
func sinceText(text string) (since hub.Since, err error) {
	switch text {
	case "start":
		return hub.Since{Start: true}, nil
	case "new":
		return since, nil
	}
	epoch, offset, ok := strings.Cut(text, ":")
	n, err := strconv.ParseUint(offset, 10, 64)
	if !ok || err != nil || epoch == "" {
		return since, invalid(`since and Last-Event-ID must be "start", "new" or an event's id, epoch:offset.`)
	}
	return hub.Since{Position: &hub.Position{Epoch: epoch, Offset: n}}, nil
}

// setStream makes a stream with the retention in the body, or gives it another.
func (s *Server) setStream(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	var r hub.Retention
	if err := body(ctx, &r, true); err != nil {
		return err
	}
	info, err := s.hub.SetStream(s.life(), t, args[0], r)
	return reply(ctx, info, err)
}

// getStream gives a stream's retention and how it stands.
func (s *Server) getStream(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	info, err := s.hub.Stream(t, args[0])
	return reply(ctx, info, err)
}

// deleteStream deletes a stream with its history.
func (s *Server) deleteStream(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	return none(ctx, s.hub.DeleteStream(s.life(), t, args[0]))
}
