package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// What was acknowledged on a durable stream is there after a kill, in order, once, and a pattern's position of
// before goes on after it.
func TestAKilledHubLosesNoEventThatItAcknowledged(t *testing.T) {
	h := startHub(t)
	type event struct {
		Stream   string
		Offset   int
		Data     int
		Position struct {
			Epoch  string
			Offset int
		}
	}
	type page struct {
		Events    []event
		Next      string
		Recovered *bool
	}
	streams := []string{"orders.eu", "orders.us"}
	for _, s := range streams {
		h.http().json("PUT", "/v1/streams/"+s, map[string]any{"durable": true}, http.StatusOK, nil)
	}
	h.http().json("POST", "/v1/streams/orders.eu/events", map[string]any{"type": "first"}, http.StatusOK, nil)
	var first page
	h.http().json("GET", "/v1/streams/orders.>/events", nil, http.StatusOK, &first)
	since := fmt.Sprintf("%s:%d", first.Events[0].Position.Epoch, first.Events[0].Position.Offset)

	url, key := h.url, h.key
	publish := func(stream string, n int64) bool {
		req, err := http.NewRequest("POST", url+"/v1/streams/"+stream+"/events", strings.NewReader(fmt.Sprintf(`{"type":"n","data":%d}`, n)))
		if err != nil {
			t.Error(err)
			return false
		}
		req.Header.Set("Authorization", "Bearer "+key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return false // it was killed
		}
		return res.Body.Close() == nil && res.StatusCode == http.StatusOK
	}
	acknowledged := make([]atomic.Int64, len(streams))
	var publishers sync.WaitGroup
	enough := make(chan struct{})
	begun := sync.OnceFunc(func() { close(enough) })
	for i, s := range streams {
		publishers.Go(func() {
			defer begun()
			for n := int64(1); ; n++ {
				if !publish(s, n) {
					return
				}
				acknowledged[i].Store(n)
				if n == 200 {
					begun()
				}
			}
		})
	}
	<-enough
	h.kill()
	publishers.Wait()
	if acknowledged[0].Load() < 200 && acknowledged[1].Load() < 200 {
		t.Fatal("a publish was refused before the kill")
	}
	h.start()

	got := map[string]int{}
	for next := since; next != ""; {
		var p page
		h.http().json("GET", "/v1/streams/orders.>/events?limit=1000&since="+next, nil, http.StatusOK, &p)
		if p.Recovered != nil {
			t.Errorf("since %s: not recovered", next)
		}
		for _, ev := range p.Events {
			if got[ev.Stream]++; ev.Data != got[ev.Stream] {
				t.Fatalf("%s has %d, want %d", ev.Stream, ev.Data, got[ev.Stream])
			}
		}
		next = p.Next
	}
	for i, s := range streams {
		if n := int(acknowledged[i].Load()); got[s] < n || got[s] > n+1 { // one may have been under way
			t.Errorf("%s has %d events, %d were acknowledged", s, got[s], n)
		}
	}
}
