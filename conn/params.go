package conn

import (
	"strconv"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/units"
)

// params reads the params of a request strictly: a member that is missing, of the wrong type or not
// known is an error. The first one is kept.
type params struct {
	r    *rpcRequest
	used uint16 // bits of the members that were asked for
	err  *fault.Fault
}

// raw gives the JSON of a member, nil if it is not there or null.
func (p *params) raw(name string) []byte {
	for i := range p.r.params[:p.r.n] {
		if string(p.r.params[i].name) == name {
			p.used |= 1 << i
			if v := p.r.params[i].value; string(v) != "null" {
				return v
			}
		}
	}
	return nil
}

func (p *params) wrong(name, want string) {
	if p.err == nil {
		p.err = fault.New(fault.InvalidRequest, "params.%s must be %s.", name, want)
	}
}

// text gives a string that may be missing. It points into the message.
func (p *params) text(name string) []byte {
	v := p.raw(name)
	if v == nil {
		return nil
	}
	if v[0] != '"' {
		p.wrong(name, "a string")
		return nil
	}
	return text(v)
}

// need gives a string that must be there.
func (p *params) need(name string) []byte {
	v := p.text(name)
	if len(v) == 0 {
		p.wrong(name, "a string that is not empty")
	}
	return v
}

// stream gives the name of a stream, or a pattern, which may be called either.
func (p *params) stream() []byte {
	if v := p.text("pattern"); v != nil {
		return v
	}
	return p.need("stream")
}

func (p *params) bool(name string) bool {
	switch string(p.raw(name)) {
	case "true":
		return true
	case "", "false":
	default:
		p.wrong(name, "true or false")
	}
	return false
}

// int gives a whole number that is not negative; 0 if it is missing.
func (p *params) int(name string) int {
	n := p.integer(name)
	if n < 0 {
		p.wrong(name, "a whole number that is not negative")
		return 0
	}
	return n
}

// integer gives a whole number; 0 if it is missing.
func (p *params) integer(name string) int {
	v := p.raw(name)
	if v == nil {
		return 0
	}
	n, err := strconv.Atoi(string(v))
	if err != nil {
		p.wrong(name, "a whole number")
	}
	return n
}

// time gives a time in RFC 3339; the zero time if it is missing.
func (p *params) time(name string) time.Time {
	v := p.text(name)
	if v == nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, string(v))
	if err != nil {
		p.wrong(name, "a time like 2026-01-02T03:04:05Z")
	}
	return t
}

// duration gives a duration as users write it; 0 if it is missing.
func (p *params) duration(name string) time.Duration {
	v := p.raw(name)
	if v == nil {
		return 0
	}
	var d units.Duration
	if d.UnmarshalJSON(v) != nil {
		p.wrong(name, `milliseconds or a duration like "5s"`)
	}
	return time.Duration(d)
}

// done gives the first thing that is wrong, an unknown member included.
func (p *params) done() *fault.Fault {
	if p.err != nil {
		return p.err
	}
	for i := range p.r.params[:p.r.n] {
		if p.used&(1<<i) == 0 {
			return fault.New(fault.InvalidRequest, "params.%s is not known to this method.", p.r.params[i].name)
		}
	}
	if p.r.extra {
		return fault.New(fault.InvalidRequest, "params has more members than any method takes.")
	}
	return nil
}
