package conn

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/nodebridge"
)

// newMember names a connection for those who ask who is subscribed.
func newMember(subject string) *hub.Member {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	return &hub.Member{Connection: hex.EncodeToString(b[:]), Subject: subject}
}

// member gives the session as presence shows it. It is for the reading goroutine.
func (s *Session) member() *hub.Member {
	if s.shown == nil {
		s.shown = newMember(s.caller.Load().subject())
	}
	return s.shown
}

// presence answers who is subscribed to a stream or pattern.
func (s *Session) presence(r *rpcRequest, c *call) {
	p := params{r: r}
	stream := string(p.stream())
	if f := p.done(); f != nil {
		c.invalid(f)
		return
	}
	t := s.caller.Load().Tenant
	s.later(c, func(context.Context) (any, error) { return s.srv.hub.Presence(t, stream) })
}

// presenceNote is the params of a presence notification.
type presenceNote struct {
	Subscription string `json:"subscription"`
	Stream       string `json:"stream"`
	Event        string `json:"event"` // join or leave
	hub.Member
	Total int `json:"total"` // connections after it
}

// PresenceChanged tells a subscription that asked for it who came or left.
func (k *sink) PresenceChanged(sub *hub.Subscription, change hub.PresenceChange, b *nodebridge.Batch) {
	k.open(sub, b)
	note := presenceNote{k.name, sub.Stream(), "leave", change.Member, change.Total}
	if change.Joined {
		note.Event = "join"
	}
	js, _ := json.Marshal(note) // strings and a number
	k.s.out.text(b, presenceHead, js, rpcTail)
}

var presenceHead = []byte(`{"jsonrpc":"2.0","method":"presence","params":`)

// Busy and Calm let only the newest events of a subscription with latest wait.
func (k *sink) Busy() bool                     { return k.s.out.Busy() }
func (k *sink) Calm(ctx context.Context) error { return k.s.out.Calm(ctx) }

// latestOf reads latest: true, or a JSON pointer into the data.
func latestOf(p *params) (latest bool, by string) {
	if v := p.raw("latest"); len(v) == 0 || v[0] != '"' {
		return p.bool("latest"), ""
	}
	return true, string(p.text("latest"))
}
