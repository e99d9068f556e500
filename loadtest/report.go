package loadtest

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Report is what a scenario measured.
type Report struct {
	Transport   Transport        `json:"transport"`
	Function    string           `json:"function"`
	Connections int              `json:"connections"`
	InFlight    int              `json:"inFlight"`
	Rate        float64          `json:"rate,omitempty"` // calls due each second; absent in the closed loop
	Seconds     float64          `json:"seconds"`
	Calls       int64            `json:"calls"` // answered with a result
	PerSecond   float64          `json:"perSecond"`
	Errors      map[string]int64 `json:"errors"`           // by code
	Unsent      int64            `json:"unsent,omitempty"` // due, but no connection was free until the end
	Late        float64          `json:"late,omitempty"`   // open loop: milliseconds that the generator itself was late, 99th percentile
	Latency     Latency          `json:"latency"`
}

// Latency is a distribution in milliseconds. In the open loop it counts from when a call was due, and
// holds the unsent calls with the time that they had waited by the end.
type Latency struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func (t *tally) report() *Report {
	r, h := t.run, t.latencies
	calls := h.TotalCount() - t.unsent
	ms := func(ns int64) float64 { return float64(ns) / 1e6 }
	rep := &Report{
		Transport: r.Transport, Function: r.Function, Connections: r.Connections, InFlight: r.InFlight, Rate: r.Rate,
		Seconds: r.Duration.Seconds(), Calls: calls, PerSecond: float64(calls) / r.Duration.Seconds(),
		Errors: t.errors, Unsent: t.unsent,
	}
	if t.lateness.TotalCount() > 0 {
		rep.Late = ms(t.lateness.ValueAtPercentile(99))
	}
	if h.TotalCount() > 0 { // an empty one has a maximum
		rep.Latency = Latency{
			Min: ms(h.Min()), Mean: h.Mean() / 1e6,
			P50: ms(h.ValueAtPercentile(50)), P90: ms(h.ValueAtPercentile(90)), P99: ms(h.ValueAtPercentile(99)),
			P999: ms(h.ValueAtPercentile(99.9)), Max: ms(h.Max()),
		}
	}
	return rep
}

// Failed gives the number of calls that ended in an error.
func (r *Report) Failed() int64 {
	n := int64(0)
	for _, count := range r.Errors {
		n += count
	}
	return n
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	loop := "as fast as answers come"
	if r.Rate > 0 {
		loop = "due at " + count(r.Rate) + "/s"
	}
	fmt.Fprintf(&b, "%s over %s: %s × %d in flight, %s, %s\n\n", r.Function, r.Transport,
		plural(r.Connections, "connection"), r.InFlight, loop, time.Duration(r.Seconds*1e9))
	fmt.Fprintf(&b, "calls    %s (%s/s)\n", count(float64(r.Calls)), count(r.PerSecond))
	l := r.Latency
	fmt.Fprintf(&b, "latency  p50 %s   p90 %s   p99 %s   p99.9 %s   max %s\n",
		millis(l.P50), millis(l.P90), millis(l.P99), millis(l.P999), millis(l.Max))
	if r.Rate > 0 {
		fmt.Fprintf(&b, "late     p99 %s: the generator's own share of these latencies\n", millis(r.Late))
	}
	if r.Unsent > 0 {
		fmt.Fprintf(&b, "unsent   %s calls were due and found no free connection: the hub is slower than the rate\n", count(float64(r.Unsent)))
	}
	if r.Failed() == 0 {
		fmt.Fprintf(&b, "errors   none\n")
	} else {
		fmt.Fprintf(&b, "errors   %s\n", count(float64(r.Failed())))
		for _, code := range slices.Sorted(maps.Keys(r.Errors)) {
			fmt.Fprintf(&b, "         %s  %s\n", code, count(float64(r.Errors[code])))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(float64(n)) + " " + noun + "s"
}

// count writes a whole number in groups of three digits.
func count(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// millis writes milliseconds with three significant digits.
func millis(ms float64) string {
	switch {
	case ms < 0.9995:
		return fmt.Sprintf("%.0f µs", ms*1000)
	case ms < 9.995:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 99.95:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 9999.5:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}
