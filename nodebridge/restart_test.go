package nodebridge

import (
	"testing"
	"time"
)

func TestReplacementsComeAtOnceThenBackOff(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name        string
		lived, want []time.Duration
	}{
		{"crashes in a row", []time.Duration{ms, ms, ms, ms, ms, ms}, []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 500 * ms, 500 * ms}},
		{"never ready", []time.Duration{0, 0, 0}, []time.Duration{100 * ms, 100 * ms, 200 * ms}},
		{"stays up now and then", []time.Duration{ms, ms, ms, time.Minute, ms}, []time.Duration{0, 100 * ms, 200 * ms, 0, 100 * ms}},
	} {
		r := restarts{first: 100 * ms, longest: 500 * ms, forget: 30 * time.Second}
		for i, lived := range c.lived {
			check(t, c.name, r.next(lived, 1), c.want[i])
		}
	}
	r := restarts{first: 100 * ms, longest: 500 * ms, forget: time.Second, row: 2}
	check(t, "jitter goes down to nothing", r.next(ms, 0), 0)
	r = restarts{first: 100 * ms, longest: time.Hour, forget: time.Second, row: 1 << 40}
	check(t, "a very long row", r.next(ms, 1), time.Hour)
}
