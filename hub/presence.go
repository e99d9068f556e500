package hub

import (
	"cmp"
	"slices"
	"sync"

	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// Member is who is behind a subscription.
type Member struct {
	Connection string `json:"connection"`
	Subject    string `json:"subject,omitempty"` // who signed in, if the token says
}

// Presence is who is subscribed to a stream, or to the same pattern.
type Presence struct {
	Stream  string   `json:"stream"`
	Total   int      `json:"total"`   // connections
	Members []Member `json:"members"` // the first MaxPresence by connection
}

// PresenceChange tells that somebody came or left.
type PresenceChange struct {
	Joined bool
	Member Member
	Total  int // connections, after it
}

// PresenceWatcher is a Subscriber that can be told of changes; as Deliver, it must not block.
type PresenceWatcher interface {
	PresenceChanged(sub *Subscription, change PresenceChange, b *nodebridge.Batch)
}

// presence is who is subscribed to what, of one tenant. Of a room with more connections than most no changes
// are told: all of a crowd's comings and goings told to all of the crowd would be too much.
type presence struct {
	most  int
	mu    sync.Mutex // guards rooms, and makes changes of a room be told in order
	rooms map[string]*room
}

// room is who is subscribed to one stream or pattern.
type room struct {
	members  map[string]*memberCount // by connection
	watchers []*Subscription
}

type memberCount struct {
	Member
	n int // subscriptions
}

func (p *presence) join(sub *Subscription) {
	if sub.member == nil {
		return
	}
	var b nodebridge.Batch
	p.mu.Lock()
	r := p.rooms[sub.pattern]
	if r == nil {
		r = &room{members: map[string]*memberCount{}}
		p.rooms[sub.pattern] = r
	}
	m := r.members[sub.member.Connection]
	if m == nil {
		m = &memberCount{Member: *sub.member}
		r.members[m.Connection] = m
		p.tell(r, PresenceChange{true, m.Member, len(r.members)}, &b)
	}
	m.n++
	sub.present = true
	p.mu.Unlock()
	b.Flush()
}

// watch has sub told of changes from now on, if it wants and is still there.
func (p *presence) watch(sub *Subscription) {
	if !sub.watches || sub.member == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if sub.present {
		r := p.rooms[sub.pattern]
		r.watchers = append(r.watchers, sub)
	}
}

// leave takes sub out, if it is in. quiet: the stream has ended, which all are told.
func (p *presence) leave(sub *Subscription, quiet bool, b *nodebridge.Batch) {
	if sub.member == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !sub.present {
		return
	}
	sub.present = false
	r := p.rooms[sub.pattern]
	if i := slices.Index(r.watchers, sub); i >= 0 {
		r.watchers = slices.Delete(r.watchers, i, i+1)
	}
	m := r.members[sub.member.Connection]
	if m.n--; m.n > 0 {
		return
	}
	delete(r.members, m.Connection)
	if !quiet {
		p.tell(r, PresenceChange{false, m.Member, len(r.members)}, b)
	}
	if len(r.members) == 0 {
		delete(p.rooms, sub.pattern)
	}
}

// tell has those who watch a room told of a change; mu is held.
func (p *presence) tell(r *room, change PresenceChange, b *nodebridge.Batch) {
	if change.Total > p.most {
		return
	}
	for _, sub := range r.watchers {
		sub.tellPresence(change, b)
	}
}

// Presence says who is subscribed to a stream, or to a pattern: to just that, as they wrote it.
func (h *Hub) Presence(owner *tenants.Tenant, pattern string) (Presence, error) {
	if _, err := checkPattern(pattern); err != nil {
		return Presence{}, err
	}
	p := &h.tenant(owner).presence
	answer := Presence{Stream: pattern, Members: []Member{}}
	p.mu.Lock()
	if r := p.rooms[pattern]; r != nil {
		answer.Total = len(r.members)
		for _, m := range r.members {
			answer.Members = append(answer.Members, m.Member)
		}
	}
	p.mu.Unlock()
	slices.SortFunc(answer.Members, func(a, b Member) int { return cmp.Compare(a.Connection, b.Connection) })
	answer.Members = answer.Members[:min(answer.Total, p.most)]
	return answer, nil
}

// membership is a subscription's part in presence.
type membership struct {
	member  *Member // who is subscribed; nil: nobody to be shown
	watches bool    // is told of others
	present bool    // is in its room; guarded by presence.mu
}

func (s *Subscription) tellPresence(change PresenceChange, b *nodebridge.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to, ok := s.to.(PresenceWatcher); ok && !s.closed {
		to.PresenceChanged(s, change, b)
	}
}
