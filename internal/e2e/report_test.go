package e2e

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/livefn/livefn/internal/samples"
)

// The main job, end to end: a real function with packages from npm, published over HTTP, started
// durably over a WebSocket, watched, spoken to, paused; the hub killed without warning, started again
// on the same data; the function resumed. What it gives at the end is, whole, what it gives when nobody
// disturbs it, and what this test adds up by itself.
func TestAReportThatWasPausedOverAKilledHubEqualsOneThatNeverWas(t *testing.T) {
	h := startHub(t)
	files := sample(t, "report").Files
	installed := h.publishFiles("report", files)
	if want := map[string]string{"csv-parse": "7.0.3", "lodash": "4.18.1"}; !reflect.DeepEqual(installed, want) {
		t.Fatalf("installed %v, want %v", installed, want)
	}

	var undisturbed any
	h.http().json("POST", "/v1/invoke/report", []any{}, http.StatusOK, &undisturbed)
	if want := reportOf(t, files["orders.csv"]); !reflect.DeepEqual(undisturbed, want) {
		t.Fatalf("an undisturbed run gave\n%s\nwant\n%s", show(undisturbed), show(want))
	}

	s := h.socket()
	var started struct{ Execution string }
	s.call("start", map[string]any{"function": "report", "args": []any{map[string]any{"rowsPerSecond": 10_000}}}, &started)
	id := started.Execution
	watch := &watcher{t: t}
	var sub struct {
		Epoch     string
		Recovered bool
	}
	s.call("subscribe", map[string]any{"stream": "execution." + id, "since": "start"}, &sub)
	watch.until(s, "progress past 5,000 rows", func(ev event) bool { return ev.Type == "progress" && done(t, ev) >= 5_000 })

	s.call("send", map[string]any{"execution": id, "type": "speed", "data": map[string]any{"rowsPerSecond": 5_000}}, nil)
	said := watch.until(s, "the function to say its new speed", func(ev event) bool { return ev.Type == "speed" })
	if string(said.Data) != `{"rowsPerSecond":5000}` {
		t.Fatalf("the event that came back is %s", said.Data)
	}

	var answered execution
	s.call("pause", map[string]any{"execution": id}, &answered)
	if answered.State != "pausing" && answered.State != "paused" {
		t.Fatalf("after a pause the execution is %s", answered.State)
	}
	watch.until(s, "execution.paused", func(ev event) bool { return ev.Type == "execution.paused" })
	paused := s.get(id)
	var args []struct {
		RowsPerSecond int
		Done          int
	}
	if paused.State != "paused" || paused.Pause == nil || json.Unmarshal(paused.Pause.Args, &args) != nil || len(args) != 2 {
		t.Fatalf("paused, but %s", show(paused))
	}
	if args[0].RowsPerSecond != 5_000 || args[1].Done < 5_000 || args[1].Done >= 50_000 {
		t.Fatalf("it paused with %+v", args)
	}

	h.kill()
	<-s.closed
	h.start()
	s = h.socket()
	if again := s.get(id); !reflect.DeepEqual(again, paused) {
		t.Fatalf("before the kill\n%s\nafter it\n%s", show(paused), show(again))
	}

	since := map[string]any{"epoch": sub.Epoch, "offset": watch.last}
	s.call("subscribe", map[string]any{"stream": "execution." + id, "since": since}, &sub)
	if !sub.Recovered {
		t.Errorf("the stream was not recovered from offset %d", watch.last)
	}
	s.call("resume", map[string]any{"execution": id}, nil)
	watch.until(s, "progress after the resume", func(ev event) bool { return ev.Type == "progress" && done(t, ev) > args[1].Done })
	s.call("send", map[string]any{"execution": id, "type": "speed", "data": map[string]any{"rowsPerSecond": 0}}, nil)
	watch.until(s, "execution.succeeded", func(ev event) bool { return ev.Type == "execution.succeeded" })

	x := s.get(id)
	var result any
	if err := json.Unmarshal(x.Result, &result); err != nil {
		t.Fatalf("%v in %s", err, show(x))
	}
	if !reflect.DeepEqual(result, undisturbed) {
		t.Errorf("the paused run gave\n%s\nthe undisturbed one\n%s", show(result), show(undisturbed))
	}
	if x.State != "succeeded" || x.Attempt != 2 || x.Version != 1 || x.Pause != nil || x.Error != nil {
		t.Errorf("it ended as %s", show(x))
	}
	want := []string{"execution.queued", "execution.started", "execution.pausing", "execution.paused", "execution.resumed", "execution.started", "execution.succeeded"}
	if !slices.Equal(watch.lifecycle, want) {
		t.Errorf("its life was %q, want %q", watch.lifecycle, want)
	}
}

// watcher sees the events of one stream over several connections, and wants no gap and no repetition.
type watcher struct {
	t         *testing.T
	last      uint64 // offset
	lifecycle []string
}

func (w *watcher) until(s *socket, what string, f func(event) bool) event {
	w.t.Helper()
	return s.next(what, func(ev event) bool {
		if ev.Offset != w.last+1 {
			w.t.Errorf("after offset %d came %d (%s)", w.last, ev.Offset, ev.Type)
		}
		w.last = ev.Offset
		if len(ev.Type) > 10 && ev.Type[:10] == "execution." {
			w.lifecycle = append(w.lifecycle, ev.Type)
		}
		return f(ev)
	})
}

func done(t *testing.T, ev event) int {
	t.Helper()
	var progress struct{ Done, Of int }
	if err := json.Unmarshal(ev.Data, &progress); err != nil || progress.Of != 50_000 {
		t.Fatalf("progress %s", ev.Data)
	}
	return progress.Done
}

func sample(t *testing.T, name string) samples.Sample {
	t.Helper()
	for _, s := range samples.All() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no sample %s", name)
	return samples.Sample{}
}

func show(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// reportOf adds the orders up with another CSV parser and in another language.
func reportOf(t *testing.T, orders []byte) any {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(orders)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	groups := map[string]map[string]float64{"country": {}, "category": {}, "month": {}, "customer": {}}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, row := range rows[1:] {
		number := func(name string) float64 {
			f, err := strconv.ParseFloat(row[column[name]], 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		// Half a cent goes up, as in JavaScript.
		cents := math.Floor(number("quantity")*math.Floor(number("unit_price")*100+0.5)*(1-number("discount")) + 0.5)
		total += cents
		groups["country"][row[column["country"]]] += cents
		groups["category"][row[column["category"]]] += cents
		groups["month"][row[column["date"]][:7]] += cents
		groups["customer"][row[column["customer"]]] += cents
	}
	table := func(name string) []any {
		list := []any{}
		for key, cents := range groups[name] {
			list = append(list, map[string]any{name: key, "revenue": cents / 100})
		}
		slices.SortFunc(list, func(a, b any) int {
			x, y := a.(map[string]any), b.(map[string]any)
			if byRevenue := cmp.Compare(y["revenue"].(float64), x["revenue"].(float64)); byRevenue != 0 && name != "month" {
				return byRevenue
			}
			return cmp.Compare(x[name].(string), y[name].(string))
		})
		return list
	}
	return map[string]any{
		"orders": float64(len(rows) - 1), "revenue": total / 100,
		"countries": table("country"), "categories": table("category"), "months": table("month"), "customers": table("customer")[:10],
	}
}
