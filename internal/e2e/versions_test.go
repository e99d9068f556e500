package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// versioned is the n-th source of a function whose module holds a MiB, and which says what it was built as.
func versioned(n int, esm bool) string {
	body := fmt.Sprintf(`const held = Buffer.alloc(1 << 20, 1)
%s function v (hub) { return { built: %d, version: hub.execution.version, rss: process.memoryUsage.rss(), held: held.length } }`, map[bool]string{true: "export default", false: "module.exports ="}[esm], n)
	return body
}

// A function is published again and again while it is called all the time: no call is lost, each is answered
// by one version as it was published, what is called after a publish is that version or a later one, and the
// process does not grow with the number of publishes.
func TestPublishingManyTimesUnderLoadLosesNothingAndMixesNothing(t *testing.T) {
	const publishes, callers, room = 500, 4, 320 << 20
	h := startHub(t)
	for _, esm := range []bool{false, true} {
		name := map[bool]string{false: "required", true: "imported"}[esm]
		t.Run(name, func(t *testing.T) {
			var ready, most atomic.Int64 // the newest version that was answered as published; the largest process
			var answered atomic.Int64
			publish := func(n int) {
				var v struct{ Version int64 }
				h.http().json("PUT", "/v1/functions/"+name, map[string]any{"source": versioned(n, esm)}, http.StatusCreated, &v)
				if v.Version != int64(n) {
					t.Fatalf("publish %d gave version %d", n, v.Version)
				}
				ready.Store(v.Version)
			}
			publish(1)
			var wg sync.WaitGroup
			over := make(chan struct{})
			for range callers {
				wg.Go(func() {
					for {
						select {
						case <-over:
							return
						default:
						}
						least := ready.Load()
						res := h.http().raw("POST", "/v1/invoke/"+name, strings.NewReader(""))
						var a struct{ Built, Version, RSS int64 }
						if err := json.Unmarshal(res.body, &a); err != nil || res.status != http.StatusOK || a.Built != a.Version || a.Version < least || res.header.Get("Livefn-Version") != strconv.FormatInt(a.Version, 10) {
							t.Errorf("with version %d ready: %d %q %s", least, res.status, res.header.Get("Livefn-Version"), res.body)
							return
						}
						answered.Add(1)
						most.Store(max(most.Load(), a.RSS))
					}
				})
			}
			for n := 2; n <= publishes; n++ {
				publish(n)
			}
			close(over)
			wg.Wait()
			t.Logf("%d calls answered, the largest process had %d MiB", answered.Load(), most.Load()>>20)
			if most.Load() > room {
				t.Errorf("a process grew to %d MiB over %d publishes of a MiB", most.Load()>>20, publishes)
			}
			if answered.Load() < publishes {
				t.Errorf("only %d calls were answered meanwhile", answered.Load())
			}
			var page struct{ Items []struct{ Version int } }
			h.http().json("GET", "/v1/functions/"+name+"/versions", nil, http.StatusOK, &page)
			if len(page.Items) > 60 {
				t.Errorf("%d versions are kept", len(page.Items))
			}
		})
	}
}

// Each publish has the bridges forget what is no longer in use; a version that is being loaded is not that.
func TestAVersionIsLoadedWhileOthersArePublished(t *testing.T) {
	h := startHub(t)
	h.publish("other", "module.exports = () => 0")
	slow := make(chan response, 1)
	go func() {
		source := `console.log('loading'); await new Promise(resolve => setTimeout(resolve, 2000)); export default () => 'slow'`
		body, _ := json.Marshal(map[string]string{"source": source}) // strings
		slow <- h.http().raw("PUT", "/v1/functions/slow", strings.NewReader(string(body)))
	}()
	n := 0
	for done := false; !done; n++ {
		select {
		case res := <-slow:
			if res.status != http.StatusCreated {
				t.Errorf("%d %s", res.status, res.body)
			}
			done = true
		default:
			h.publish("other", fmt.Sprintf("module.exports = () => %d", n+1))
		}
	}
	if n < 3 {
		t.Errorf("only %d publishes meanwhile", n)
	}
	if res := h.http().raw("POST", "/v1/invoke/slow", strings.NewReader("")); string(res.body) != `"slow"` {
		t.Errorf("%d %s", res.status, res.body)
	}
}
