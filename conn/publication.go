package conn

import (
	"bytes"
	"encoding/json"
	"mime"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/fault"
)

// maxPublications is the number of events that one request may publish.
const maxPublications = 1000

// placed is the answer to a publish: the place of the last event.
type placed struct {
	hub.Position
	Events int `json:"events,omitempty"` // that an array had
}

// publishEvents publishes what the body has: an event of ours or a CloudEvent, or an array of either.
func (s *Server) publishEvents(ctx *fasthttp.RequestCtx, args []string) error {
	c, err := s.caller(ctx)
	if err != nil {
		return err
	}
	quota := s.quotas.visit(&c) // c.Tenant is not nil: see rules
	if err := quota.message(); err != nil {
		return err // first of all: what is wrong costs as much as what is right
	}
	pubs, many, err := publications(ctx)
	if err != nil {
		return err
	}
	quota.owe(len(pubs) - 1)
	pos, err := s.hub.PublishAll(s.life(), c.Tenant, args[0], pubs)
	answer := placed{Position: pos}
	if many {
		answer.Events = len(pubs)
	}
	return reply(ctx, answer, err)
}

// publications reads what a request publishes; many says that it is an array.
func publications(ctx *fasthttp.RequestCtx) (pubs []hub.Publication, many bool, err error) {
	media, _, _ := mime.ParseMediaType(string(ctx.Request.Header.ContentType()))
	one := eventOfOurs
	switch {
	case media == mediaCloudEvent:
		one = structuredCloudEvent
	case media == mediaCloudEvents:
		one, many = structuredCloudEvent, true
	case isBinaryCloudEvent(&ctx.Request.Header):
		pub, err := binaryCloudEvent(&ctx.Request.Header, ctx.PostBody())
		return []hub.Publication{pub}, false, err
	}
	js := bytes.TrimLeft(ctx.PostBody(), " \t\r\n")
	if !many && (len(js) == 0 || js[0] != '[') {
		pub, err := one(js)
		return []hub.Publication{pub}, false, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(js, &list); err != nil {
		return nil, true, invalid("The body is not a JSON array of events: %v.", err)
	}
	if n := len(list); n == 0 || n > maxPublications {
		return nil, true, invalid("The array has %d events; 1 to %d can be published at once.", n, maxPublications)
	}
	for i, js := range list {
		pub, err := one(js)
		if err != nil {
			return nil, true, invalid("Event %d of the array: %s", i, fault.From(err).Detail)
		}
		pubs = append(pubs, pub)
	}
	return pubs, true, nil
}

// eventOfOurs reads {type, data}; what says that it is a CloudEvent is read as one.
func eventOfOurs(js []byte) (pub hub.Publication, err error) {
	var e struct {
		Type        *string         `json:"type"`
		Data        json.RawMessage `json:"data"`
		SpecVersion json.RawMessage `json:"specversion"`
	}
	if json.Unmarshal(js, &e) == nil && e.SpecVersion != nil {
		return structuredCloudEvent(js)
	}
	if err := decode(js, &e); err != nil {
		return pub, err
	}
	if e.Type == nil || *e.Type == "" {
		return pub, invalid("An event is {type, data}; type must be a string that is not empty.")
	}
	return hub.Publication{Type: *e.Type, Data: e.Data}, nil
}

// publish is publishEvents for one event over a WebSocket. Events of one connection are accepted in the order
// in which they came.
func (s *Session) publish(r *rpcRequest, c *call) {
	p := params{r: r}
	stream, eventType, data := string(p.need("stream")), string(p.need("type")), p.raw("data")
	if f := p.done(); f != nil {
		c.invalid(f)
		return
	}
	s.srv.hub.PublishThen(s.caller.Load().Tenant, stream, eventType, data, func(pos hub.Position, err error) {
		if err != nil {
			c.fail(err, nil)
			return
		}
		b, _ := json.Marshal(pos) // a string and a number
		c.result(b, nil)
	})
}
