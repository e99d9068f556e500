package hub

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// Bounds of a page.
const (
	pageDefault = 50
	pageMax     = 1000
)

// Filter selects executions; zero values select all.
type Filter struct {
	Function string
	State    string // a state's name
	Parent   string // id of the execution that asked for them
	Key      string // idempotency key
	Trigger  string
	Caller   string    // asked for it itself: what it asked for in turn is not among them
	Since    time.Time // created at or after
	Until    time.Time // created before
	Limit    int       // 1 to 1,000; 0: 50
	Cursor   string    // the Next of the page before
}

// scanMax is how many stored executions one page looks at: of a rare kind, a page may have few or none
// and still a Next.
const scanMax = 10_000

// Page is a part of a list, newest first.
type Page struct {
	Items []View `json:"items"`
	Next  string `json:"next,omitempty"` // "": this was the last
}

// Executions lists a tenant's executions, newest first: the durable ones, and the calls that run.
func (h *Hub) Executions(owner *tenants.Tenant, f Filter) (Page, error) {
	var state State
	if f.State != "" {
		if err := state.UnmarshalText([]byte(f.State)); err != nil {
			return Page{}, err
		}
	}
	limit, err := pageLimit(f.Limit)
	if err != nil {
		return Page{}, err
	}
	if f.Cursor != "" && (len(f.Cursor) != 26 || !isToken(f.Cursor)) {
		return Page{}, fault.New(fault.InvalidRequest, "The cursor is not one that a page gave as next.")
	}
	t := h.tenant(owner)
	wanted := func(v View) bool {
		r := v.r
		return (f.Function == "" || r.Function == f.Function) && (state == 0 || r.State == state) &&
			(f.Parent == "" || r.Parent == f.Parent) && (f.Key == "" || r.Key == f.Key) && (f.Trigger == "" || r.Trigger == f.Trigger) &&
			(f.Caller == "" || r.Caller == f.Caller && r.Parent == "") &&
			(f.Since.IsZero() || r.CreatedAt >= f.Since.UnixMilli()) && (f.Until.IsZero() || r.CreatedAt < f.Until.UnixMilli())
	}
	calls := t.calls(f.Cursor, wanted)
	page := Page{Items: []View{}}
	add := func(v View) (more bool) {
		if len(page.Items) == limit {
			page.Next = page.Items[limit-1].r.ID
			return false
		}
		page.Items = append(page.Items, v)
		return true
	}
	looked, last := 0, ""
	err = t.scanStored(f, func(v View) bool {
		if looked == scanMax {
			page.Next = last
			return false
		}
		looked, last = looked+1, v.r.ID
		for len(calls) > 0 && calls[0].r.ID > v.r.ID {
			if !add(calls[0]) {
				return false
			}
			calls = calls[1:]
		}
		return !wanted(v) || add(v)
	})
	for err == nil && page.Next == "" && len(calls) > 0 && add(calls[0]) {
		calls = calls[1:]
	}
	return page, err
}

func pageLimit(n int) (int, error) {
	if n < 0 || n > pageMax {
		return 0, fault.New(fault.InvalidRequest, "limit is 1 to %d.", pageMax)
	}
	if n == 0 {
		return pageDefault, nil
	}
	return n, nil
}

// calls gives the running calls that are wanted and older than the cursor, newest first.
func (t *tenant) calls(cursor string, wanted func(View) bool) (vs []View) {
	t.live.Range(func(id string, x *Execution) bool {
		if x.shown.Load() == nil && (cursor == "" || id < cursor) {
			x.mu.Lock()
			skip := x.durable || x.evicted // not on disk yet, or over
			x.mu.Unlock()
			if v := x.View(); !skip && wanted(v) {
				vs = append(vs, v)
			}
		}
		return true
	})
	slices.SortFunc(vs, func(a, b View) int { return strings.Compare(b.r.ID, a.r.ID) })
	return vs
}

// scanStored walks the durable executions from the cursor on, newest first.
func (t *tenant) scanStored(f Filter, each func(View) bool) error {
	prefix := executionsPrefix(t.name)
	switch {
	case f.Parent != "":
		prefix = childrenPrefix(t.name, f.Parent)
	case f.Function != "":
		prefix = functionPrefix(t.name, f.Function)
	}
	rng := store.Range{Prefix: prefix, Reverse: true, KeysOnly: true}
	switch {
	case f.Cursor != "":
		rng.Start = append(bytes.Clone(prefix), f.Cursor...)
	case !f.Until.IsZero():
		rng.Start = append(bytes.Clone(prefix), idsBefore(f.Until.UnixMilli())...)
	}
	oldest := ""
	if !f.Since.IsZero() {
		oldest = idsBefore(f.Since.UnixMilli())
	}
	return t.hub.store.Scan(rng, func(k, v []byte) (bool, error) {
		_, id := executionOfKey(k)
		if id == f.Cursor {
			return true, nil
		}
		if id < oldest {
			return false, nil
		}
		if x, ok := t.live.Load(id); ok && x.shown.Load() != nil {
			return each(x.View()), nil
		}
		view, err := t.look(id)
		if fault.Is(err, fault.NotFound) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		return each(view), nil
	})
}

// idsBefore gives an id before all that are made at or after a time: ids begin with their time.
func idsBefore(ms int64) string {
	var id ulid.ULID
	_ = id.SetTime(uint64(max(0, ms))) //nolint:gosec // not negative, and not after 10889
	return id.String()[:10]
}

// EventPage is a part of a stream's history, oldest first.
type EventPage struct {
	Events []*Event `json:"events"`
	Epoch  string   `json:"epoch"`
	Next   string   `json:"next,omitempty"` // since for the next page; "": nothing more now

	Lost bool // something after the position that was asked for is gone: "recovered": false

	placed bool // of a pattern: events have positions
}

// MarshalJSON gives the page.
func (p EventPage) MarshalJSON() ([]byte, error) {
	b := []byte(`{"events":[`)
	for i, ev := range p.Events {
		if i > 0 {
			b = append(b, ',')
		}
		members := ev.Members()
		if p.placed {
			members = ev.placedMembers(p.Epoch)
		}
		b = append(append(append(b, '{'), members...), '}')
	}
	b = appendString(append(b, `],"epoch":`...), p.Epoch)
	if p.Next != "" {
		b = appendString(append(b, `,"next":`...), p.Next)
	}
	if p.Lost {
		b = append(b, `,"recovered":false`...)
	}
	return append(b, '}'), nil
}

// History reads a page of a stream's history after since: "" for its start, or "epoch:offset". A
// position of another epoch begins at the start.
func (h *Hub) History(owner *tenants.Tenant, name, since string, limit int) (EventPage, error) {
	limit, err := pageLimit(limit)
	if err != nil {
		return EventPage{}, err
	}
	wild, err := checkPattern(name)
	if err != nil {
		return EventPage{}, err
	}
	from := Since{Start: true}
	if since != "" {
		p, err := ParsePosition(since)
		if err != nil {
			return EventPage{}, err
		}
		from = Since{Position: &p}
	}
	t := h.tenant(owner)
	if own, _ := patternScope(name); own {
		return t.journal.history(name, wild, from, limit)
	}
	if wild {
		return EventPage{Events: []*Event{}, Epoch: h.epoch, Lost: from.Position != nil}, nil
	}
	s, err := t.streamOf(name)
	if err != nil {
		return EventPage{}, err
	}
	if s == nil {
		return EventPage{Events: []*Event{}, Epoch: h.epoch}, nil
	}
	s.mu.Lock()
	offset, recovered := s.startLocked(from)
	evs, ok := s.ringAfterLocked(offset)
	evs, top := slices.Clone(evs), s.top
	s.mu.Unlock()
	if !ok {
		if evs, err = s.readOlder(offset); err != nil {
			return EventPage{}, err
		}
	}
	if len(evs) > limit {
		evs = evs[:limit]
	}
	page := EventPage{Events: evs, Epoch: s.epoch, Lost: !recovered}
	if page.Events == nil {
		page.Events = []*Event{}
	}
	if n := len(evs); n > 0 && evs[n-1].Offset < top {
		page.Next = Position{s.epoch, evs[n-1].Offset}.String()
	}
	return page, nil
}

// streamOf gives the stream with a name; nil for a function's that nobody watches.
func (t *tenant) streamOf(name string) (*stream, error) {
	kind, rest, _ := strings.Cut(name, ".")
	switch kind {
	case "execution":
		x, err := t.own(rest)
		if err != nil {
			return nil, err
		}
		var b nodebridge.Batch
		s := x.streamLocked(&b)
		x.mu.Unlock()
		b.Flush()
		x.evictIfIdle()
		return s, nil
	case "function":
		if _, err := t.owner.Function(rest); err != nil {
			return nil, err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.functions[rest], nil
	}
	if name == bridgesStream {
		return t.bridges.stream, nil
	}
	return nil, noHubStream(name)
}

// String gives "epoch:offset", as event ids of Server-Sent Events are written.
func (p Position) String() string { return p.Epoch + ":" + strconv.FormatUint(p.Offset, 10) }

// ParsePosition reads what Position.String gives.
func ParsePosition(s string) (Position, error) {
	epoch, n, ok := strings.Cut(s, ":")
	offset, err := strconv.ParseUint(n, 10, 64)
	if !ok || err != nil || epoch == "" || len(epoch) > 64 {
		return Position{}, fault.New(fault.InvalidRequest, "%q is not a position; it is epoch:offset, the id of an event.", s)
	}
	return Position{epoch, offset}, nil
}
