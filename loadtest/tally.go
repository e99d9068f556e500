package loadtest

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept in an HdrHistogram of nanoseconds: to 64 ns below 100 µs, to three digits above.
const (
	lowest  = 64
	highest = int64(5 * time.Minute)
	digits  = 3
)

// tally is what one goroutine counted; tallies are merged at the end.
type tally struct {
	run       *run
	latencies *hdrhistogram.Histogram
	lateness  *hdrhistogram.Histogram // see pacer
	errors    map[string]int64
	unsent    int64
}

func newTally(r *run) *tally {
	return &tally{run: r, latencies: hdrhistogram.New(lowest, highest, digits),
		lateness: hdrhistogram.New(lowest, highest, 1), errors: map[string]int64{}}
}

// record counts an answer if it belongs to the measured part: by when it came in the closed loop,
// where the number of answers in the window is the rate, by when it was due in the open loop, where
// every call that was due must be accounted for however late its answer.
func (t *tally) record(due, now int64, code string) {
	at := now
	if t.run.Rate > 0 {
		at = due
	}
	if code != "" {
		if at >= t.run.begin {
			t.errors[code]++
		}
		return
	}
	if at >= t.run.begin && at < t.run.end {
		_ = t.latencies.RecordValue(min(now-due, highest)) // is in range
	}
}

// fail counts what has no answer. Warm-up or not: it should not happen.
func (t *tally) fail(code string) { t.errors[code]++ }

// late counts by how much the generator missed the moment at which it could have sent a call.
func (t *tally) late(due, could, now int64) {
	if due >= t.run.begin {
		_ = t.lateness.RecordValue(min(max(now-could, 0), highest))
	}
}

// skip counts a call that was due and for which no connection was free until the end. Its latency is
// at least what it had waited by then.
func (t *tally) skip(due int64) {
	if due >= t.run.begin {
		t.unsent++
		_ = t.latencies.RecordValue(min(max(t.run.end-due, 0), highest))
	}
}

func (t *tally) merge(o *tally) {
	t.latencies.Merge(o.latencies)
	t.lateness.Merge(o.lateness)
	for code, n := range o.errors {
		t.errors[code] += n
	}
	t.unsent += o.unsent
}
