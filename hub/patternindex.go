package hub

import (
	"strings"

	"github.com/livefn/livefn/nodebridge"
)

// index finds the subscriptions whose pattern matches a stream's name: a tree over tokens, so that
// finding them costs what the name's tokens and the matches cost, however many others there are. Its
// owner guards it.
type index struct {
	root indexNode
	n    int // subscriptions
	slot int // of Subscription.at
}

type indexNode struct {
	tokens map[string]*indexNode
	any    *indexNode // below *
	here   subset     // patterns that end here
	rest   subset     // patterns that end with > here
}

// subset is a set of subscriptions that knows where each one stands, so that one of many is removed at
// once. A subscription stands in one subset a slot.
type subset []*Subscription

func (l *subset) add(sub *Subscription, slot int) {
	sub.at[slot] = len(*l)
	*l = append(*l, sub)
}

func (l *subset) remove(sub *Subscription, slot int) {
	i, last := sub.at[slot], len(*l)-1
	if i > last || (*l)[i] != sub {
		return
	}
	(*l)[i] = (*l)[last]
	(*l)[i].at[slot] = i
	(*l)[last] = nil
	*l = (*l)[:last]
}

func (x *index) add(sub *Subscription) {
	n := &x.root
	for rest, more := sub.pattern, true; more; {
		var token string
		token, rest, more = strings.Cut(rest, ".")
		if token == ">" {
			n.rest.add(sub, x.slot)
			x.n++
			return
		}
		n = n.make(token)
	}
	n.here.add(sub, x.slot)
	x.n++
}

func (n *indexNode) make(token string) *indexNode {
	if token == "*" {
		if n.any == nil {
			n.any = &indexNode{}
		}
		return n.any
	}
	child := n.tokens[token]
	if child == nil {
		if n.tokens == nil {
			n.tokens = map[string]*indexNode{}
		}
		child = &indexNode{}
		n.tokens[token] = child
	}
	return child
}

func (x *index) remove(sub *Subscription) {
	x.root.remove(sub, sub.pattern, x.slot)
	x.n--
}

// remove takes sub out of the tree below n, and what is empty then.
func (n *indexNode) remove(sub *Subscription, pattern string, slot int) (empty bool) {
	token, rest, more := strings.Cut(pattern, ".")
	child := n.tokens[token]
	switch token {
	case ">":
		n.rest.remove(sub, slot)
		return n.empty()
	case "*":
		child = n.any
	}
	if child == nil {
		return false
	}
	var gone bool
	if more {
		gone = child.remove(sub, rest, slot)
	} else {
		child.here.remove(sub, slot)
		gone = child.empty()
	}
	switch {
	case !gone:
	case token == "*":
		n.any = nil
	default:
		delete(n.tokens, token)
	}
	return n.empty()
}

func (n *indexNode) empty() bool {
	return len(n.here) == 0 && len(n.rest) == 0 && len(n.tokens) == 0 && n.any == nil
}

// delivery is what goes to each subscription that is found.
type delivery struct {
	evs []*Event
	one *Event // stands for evs if that is nil: no slice is made until somebody matches
	b   *nodebridge.Batch
}

func (d *delivery) to(subs subset) {
	if len(subs) == 0 {
		return
	}
	if d.evs == nil {
		d.evs = []*Event{d.one}
	}
	for _, sub := range subs {
		sub.deliver(d.evs, d.b)
	}
}

// deliver gives d to every subscription whose pattern matches name.
func (x *index) deliver(name string, d *delivery) {
	if x.n > 0 {
		x.root.deliver(name, d)
	}
}

func (n *indexNode) deliver(name string, d *delivery) {
	d.to(n.rest)
	token, rest, more := strings.Cut(name, ".")
	for _, child := range [2]*indexNode{n.tokens[token], n.any} {
		switch {
		case child == nil:
		case more:
			child.deliver(rest, d)
		default:
			d.to(child.here)
		}
	}
}

// matches reports whether some pattern matches name.
func (x *index) matches(name string) bool { return x.n > 0 && x.root.matches(name) }

func (n *indexNode) matches(name string) bool {
	if len(n.rest) > 0 {
		return true
	}
	token, rest, more := strings.Cut(name, ".")
	for _, child := range [2]*indexNode{n.tokens[token], n.any} {
		if child != nil && (more && child.matches(rest) || !more && len(child.here) > 0) {
			return true
		}
	}
	return false
}
