package loadtest

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Rounding must not add up: call k is due at k/rate, also after a million calls at an odd rate.
func TestTheScheduleDoesNotDrift(t *testing.T) {
	s := schedule{rate: 3000}
	if got := s.due(3_000_000); got != int64(1000*time.Second) {
		t.Errorf("call 3,000,000 is due at %s", time.Duration(got))
	}
	for k := int64(1); k < 10_000; k++ {
		gap := s.due(k) - s.due(k-1)
		if math.Abs(float64(gap)-1e9/3000) > 1.5 {
			t.Fatalf("gap %d is %d ns", k, gap)
		}
	}
}

func testRun() *run {
	return &run{Scenario: Scenario{Transport: HTTP, Function: "add", Connections: 64, InFlight: 1, Duration: 2 * time.Second},
		begin: int64(time.Second), end: int64(3 * time.Second)}
}

func TestPercentilesAreThoseOfTheMeasuredPart(t *testing.T) {
	r := testRun()
	a, b := newTally(r), newTally(r)
	for ms := int64(1); ms <= 1000; ms++ { // 1 to 1000 ms, all answered at 2 s
		into := []*tally{a, b}[ms%2]
		into.record(int64(2*time.Second)-ms*1e6, int64(2*time.Second), "")
	}
	a.record(0, int64(time.Second)-1, "")                        // warm-up
	b.record(0, int64(3*time.Second), "")                        // too late
	b.record(int64(2*time.Second), int64(2*time.Second), "full") // an error has no latency
	a.merge(b)
	got := a.report()
	l := got.Latency
	if got.Calls != 1000 || got.PerSecond != 500 || got.Failed() != 1 {
		t.Fatalf("%+v", got)
	}
	for _, c := range [][2]float64{{l.Min, 1}, {l.P50, 500}, {l.P90, 900}, {l.P99, 990}, {l.P999, 999}, {l.Max, 1000}, {l.Mean, 500.5}} {
		if math.Abs(c[0]-c[1]) > c[1]/500 {
			t.Errorf("%v, want %v within three digits: %+v", c[0], c[1], l)
		}
	}
}

// golden compares with a file of testdata; UPDATE_GOLDEN=1 writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

func TestReportsReadWell(t *testing.T) {
	var b bytes.Buffer
	for _, r := range []*Report{
		{Transport: HTTP, Function: "add", Connections: 64, InFlight: 1, Seconds: 10, Calls: 1234567, PerSecond: 123456.7,
			Latency: Latency{P50: 0.4567, P90: 0.99, P99: 9.876, P999: 98.76, Max: 12345}},
		{Transport: WebSocket, Function: "add", Connections: 1, InFlight: 16, Rate: 5000, Seconds: 1.5, Calls: 900, PerSecond: 600, Unsent: 4100, Late: 0.25,
			Errors: map[string]int64{"overloaded": 2000, "connection_lost": 3}, Latency: Latency{P50: 123.4}},
	} {
		if err := r.Print(&b); err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n")
	}
	golden(t, "reports.txt", b.Bytes())
}

// Ratios are taken within a round: here the machine slows to half in the second one, and neither
// peer's ratio may notice.
func TestRatiosAreThoseOfEachRound(t *testing.T) {
	round := func(perSecond, p50 float64) *Report {
		return &Report{PerSecond: perSecond, Latency: Latency{P50: p50, P99: 3 * p50}}
	}
	rows := func() []*Row {
		return []*Row{
			{Peer: peerEcho, reports: []*Report{round(60000, 1), round(30000, 2), round(60000, 1)}},
			{Peer: peerNodeHTTP, Error: "it ended by itself"},
			{Peer: peerLivefn, reports: []*Report{round(54000, 1.1), round(27000, 2.2), round(54000, 1.1)}},
		}
	}
	f := Figures{Title: "(a, b) => a + b, JSON in and out", Unit: "calls/s", Rounds: 3, Seconds: 2, Tables: []Table{newTable(tables[0], rows()), newTable(tables[2], rows()), newTable(tables[3], rows())}}
	for _, r := range f.Tables[2].Rows { // each at a rate of its own: a quotient of these would mean nothing
		if r.Ratio != 0 {
			t.Errorf("a ratio between different loads: %+v", *r)
		}
	}
	if got := f.Tables[0].row(peerLivefn).Ratio; math.Abs(got-0.9) > 1e-9 {
		t.Errorf("ratio %v", got)
	}
	if r := newTable(tables[0], []*Row{{reports: []*Report{round(100, 1), round(100, 1), round(100, 1)}},
		{Peer: peerLivefn, reports: []*Report{round(50, 1), round(90, 1), round(60, 1)}}}).row(peerLivefn); r.Ratio != 0.6 || r.Low != 0.5 || r.High != 0.9 {
		t.Errorf("a spread of ratios: %+v", *r)
	}
	if f.Complete() {
		t.Error("a comparison without node:http is taken for complete")
	}
	var b bytes.Buffer
	if err := f.Print(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "figures.txt", b.Bytes())
}
