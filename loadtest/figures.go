package loadtest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Figures is what a comparison measured.
type Figures struct {
	Title   string  `json:"title"`
	Unit    string  `json:"unit"` // of perSecond
	Rounds  int     `json:"rounds"`
	Seconds float64 `json:"seconds"` // of each measurement
	Tables  []Table `json:"tables"`
}

// Table is the same load on several peers.
type Table struct {
	Title   string `json:"title"`
	Against string `json:"against,omitempty"` // the peer that ratios are to; "": none, each peer had a load of its own
	Of      string `json:"of,omitempty"`      // what the ratios compare: "perSecond", or "p50"
	Rows    []*Row `json:"rows"`
}

// Row is one peer. Its figures are medians over the rounds; Ratio is the median of each round's own
// ratio, so it need not be the quotient of two medians. Low and High are its extremes: where they lie
// far apart, something else kept the machine busy and the ratio says little.
type Row struct {
	Peer      string  `json:"peer"`
	Rate      float64 `json:"rate,omitempty"` // calls due each second, in the open loop
	PerSecond float64 `json:"perSecond"`
	P50       float64 `json:"p50"` // milliseconds
	P99       float64 `json:"p99"`
	Late      float64 `json:"late,omitempty"` // open loop: milliseconds that the generator itself was late, 99th percentile
	Ratio     float64 `json:"ratio"`
	Low       float64 `json:"ratioLow"`
	High      float64 `json:"ratioHigh"`
	Error     string  `json:"error,omitempty"` // why there are no figures

	reports []*Report // of the rounds
}

func newTable(t table, rows []*Row) Table {
	out := Table{Title: t.title, Against: t.peers[0], Of: "perSecond", Rows: rows}
	if t.latency {
		out.Of = "p50"
	}
	of := func(r *Report) float64 {
		if t.latency {
			return r.Latency.P50
		}
		return r.PerSecond
	}
	first := rows[0].reports
	if t.halfRate { // at rates of their own, peers can't be divided by each other
		first, out.Against, out.Of = nil, "", ""
	}
	for _, row := range rows {
		var perSecond, p50, p99, late, ratio []float64
		for i, r := range row.reports {
			perSecond = append(perSecond, r.PerSecond)
			p50 = append(p50, r.Latency.P50)
			p99 = append(p99, r.Latency.P99)
			late = append(late, r.Late)
			if i < len(first) && of(first[i]) > 0 {
				ratio = append(ratio, of(r)/of(first[i]))
			}
		}
		row.PerSecond, row.P50, row.P99 = median(perSecond), median(p50), median(p99)
		row.Late, row.Ratio = median(late), median(ratio)
		if len(ratio) > 0 {
			row.Low, row.High = slices.Min(ratio), slices.Max(ratio)
		}
	}
	return out
}

// median of no values is 0.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

func (t Table) row(peer string) *Row {
	for _, r := range t.Rows {
		if r.Peer == peer {
			return r
		}
	}
	return &Row{}
}

// Complete reports whether every peer was measured.
func (f *Figures) Complete() bool {
	for _, t := range f.Tables {
		for _, r := range t.Rows {
			if r.Error != "" {
				return false
			}
		}
	}
	return true
}

// Print writes the tables for people.
func (f *Figures) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; medians of %s of %gs, interleaved; ratios within a round\n",
		f.Title, plural(f.Rounds, "round"), f.Seconds)
	for _, t := range f.Tables {
		fmt.Fprintf(&b, "\n%s\n\n", t.Title)
		what, last := "÷ "+t.Against, "over rounds"
		if t.Of == "p50" {
			what = "p50 " + what
		}
		if t.Against == "" {
			what, last = "due/s", "generator late (p99)"
		}
		tw := tabwriter.NewWriter(&b, 0, 0, 3, ' ', tabwriter.AlignRight)
		fmt.Fprintf(tw, "\t%s\tp50\tp99\t%s\t%s\t\n", f.Unit, what, last)
		var errs []string
		for _, r := range t.Rows {
			if r.Error != "" {
				fmt.Fprintf(tw, "%-14s\t-\t-\t-\t-\t-\t\n", r.Peer)
				errs = append(errs, fmt.Sprintf("%s: %s\n", r.Peer, r.Error))
				continue
			}
			ratio, spread := "-", "-"
			switch {
			case t.Against == "":
				ratio, spread = count(r.Rate), millis(r.Late)
			case r.Ratio > 0:
				ratio, spread = fmt.Sprintf("%.2f", r.Ratio), fmt.Sprintf("%.2f to %.2f", r.Low, r.High)
			}
			fmt.Fprintf(tw, "%-14s\t%s\t%s\t%s\t%s\t%s\t\n", r.Peer, count(r.PerSecond), millis(r.P50), millis(r.P99), ratio, spread)
		}
		_ = tw.Flush() // to memory
		b.WriteString(strings.Join(errs, ""))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
