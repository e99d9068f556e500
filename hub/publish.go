package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"unicode/utf8"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// Publication is an event that is to be published.
type Publication struct {
	Type       string
	Data       json.RawMessage // empty: none
	CloudEvent json.RawMessage // the attributes of a CloudEvent, as a JSON object; empty: it was none
}

// maxAttributes is the number of bytes that a CloudEvent's attributes may have.
const maxAttributes = 16 << 10

// Publish appends an event to a stream of the tenant, which is made if need be, and gives its position. It
// returns once the event is accepted; for a durable stream, once it is on disk. data is copied.
func (h *Hub) Publish(ctx context.Context, owner *tenants.Tenant, stream, eventType string, data json.RawMessage) (Position, error) {
	return h.PublishAll(ctx, owner, stream, []Publication{{Type: eventType, Data: data}})
}

// PublishAll is Publish for several events: all are appended, one behind the other, or none. It gives the
// position of the last.
func (h *Hub) PublishAll(ctx context.Context, owner *tenants.Tenant, stream string, pubs []Publication) (Position, error) {
	if err := checkStream(stream); err != nil {
		return Position{}, err
	}
	if len(pubs) == 0 {
		return Position{}, fault.New(fault.InvalidRequest, "There is no event to publish.")
	}
	checked := make([]Publication, len(pubs))
	for i, p := range pubs {
		var err error
		if checked[i], err = h.checkPublication(p); err != nil {
			return Position{}, err
		}
	}
	return h.tenant(owner).journal.publish(ctx, stream, checked)
}

// publish publishes for the function, in the order in which it asks; it never blocks.
func (a *attempt) publish(number uint32, body []byte) {
	var in struct {
		Stream string          `json:"stream"`
		Type   string          `json:"type"`
		Data   json.RawMessage `json:"data"`
	}
	err := json.Unmarshal(body, &in)
	told := func(pos Position, err error) {
		if err != nil {
			a.call.RespondFault(number, err)
			return
		}
		b, _ := json.Marshal(pos) // a string and a number
		a.call.Respond(number, nodebridge.StatusOK, nodebridge.JSON, b)
	}
	if err != nil {
		told(Position{}, fault.New(fault.InvalidRequest, "publish takes a stream, a type and data."))
		return
	}
	a.x.t.publishThen(in.Stream, Publication{Type: in.Type, Data: in.Data}, told)
}

// PublishThen is Publish for who must not wait: events are accepted in the order of the calls, and told is
// called with what Publish would give. It must not block. data is copied.
func (h *Hub) PublishThen(owner *tenants.Tenant, stream, eventType string, data json.RawMessage, told func(Position, error)) {
	h.tenant(owner).publishThen(stream, Publication{Type: eventType, Data: data}, told)
}

func (t *tenant) publishThen(stream string, pub Publication, told func(Position, error)) {
	err := checkStream(stream)
	if err == nil {
		pub, err = t.hub.checkPublication(pub)
	}
	if err != nil {
		told(Position{}, err)
		return
	}
	t.journal.whenOpen(func(err error) {
		var b nodebridge.Batch
		if err == nil {
			_, err = t.journal.submit(stream, []Publication{pub}, told, &b)
			t.hub.flushAside(&b)
		}
		if err != nil {
			told(Position{}, err)
		}
	})
}

// checkPublication gives a copy of p with its JSON made compact.
func (h *Hub) checkPublication(p Publication) (c Publication, err error) {
	if p.Type == "" || len(p.Type) > maxEventType || !utf8.ValidString(p.Type) {
		return c, fault.New(fault.InvalidRequest, "An event has a type of 1 to %d bytes of UTF-8.", maxEventType)
	}
	if limit := h.cfg.MaxEvent; len(p.Data) > limit {
		return c, fault.New(fault.PayloadTooLarge, "The event's data has %d bytes; the limit is %d.", len(p.Data), limit)
	}
	if len(p.CloudEvent) > maxAttributes {
		return c, fault.New(fault.PayloadTooLarge, "The event's attributes have %d bytes; the limit is %d.", len(p.CloudEvent), maxAttributes)
	}
	c.Type = p.Type
	if c.Data, err = compact(p.Data); err == nil {
		c.CloudEvent, err = compact(p.CloudEvent)
	}
	if err != nil {
		return c, fault.New(fault.InvalidRequest, "The event's data is not JSON.")
	}
	return c, nil
}

// compact gives JSON without white space between tokens, as one line; nil for none and for null.
func compact(js []byte) ([]byte, error) {
	if len(js) == 0 || string(js) == "null" {
		return nil, nil
	}
	var b bytes.Buffer
	b.Grow(len(js))
	err := json.Compact(&b, js)
	return b.Bytes(), err
}
