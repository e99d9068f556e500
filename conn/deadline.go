package conn

import (
	"sync/atomic"
	"time"
)

// deadline puts off setting a connection's deadline until somebody may wait for it. fasthttp sets three
// for each request, and most are replaced before a read or write waits; setting one costs as much as
// parsing a small request.
//
// A deadline less than eagerBelow away, in the past, or none is set at once, so that it also ends a
// read or write that waits already. One that is later than what is set, by less than an eighth of the
// time it gives, is not set: the wait ends so much sooner.
type deadline struct {
	armed   atomic.Int64 // what the connection has, in ns since 1970; 0: none
	pending atomic.Int64 // what it ought to have before the next wait; 0: what it has
}

const eagerBelow = time.Second

// ask takes a deadline that somebody asked for.
func (d *deadline) ask(at time.Time, set func(time.Time) error) error {
	left := time.Until(at)
	if at.IsZero() || left < eagerBelow {
		d.pending.Store(0)
		d.armed.Store(0) // whatever comes next is set anew
		return set(at)
	}
	want, armed := at.UnixNano(), d.armed.Load()
	if armed != 0 && armed <= want && want-armed < int64(left/8) {
		d.pending.Store(0)
	} else {
		d.pending.Store(want)
	}
	return nil
}

// wait is called before a read or write that may wait.
func (d *deadline) wait(set func(time.Time) error) error {
	want := d.pending.Load()
	if want == 0 {
		return nil
	}
	d.pending.Store(0)
	d.armed.Store(want)
	return set(time.Unix(0, want))
}
