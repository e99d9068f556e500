package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// A scale-in as callers see it, which is: not at all. Processes are taken from under calls that run; those that
// can pause go on in another process, the others come to their end where they are.
func TestCallersDoNotNoticeAScaleIn(t *testing.T) {
	h := startHub(t)
	limits := func(body map[string]any) {
		h.as(adminKey).json("PUT", "/v1/admin/tenants/e2e/limits", body, http.StatusOK, nil)
	}
	limits(map[string]any{"minBridges": 3})
	h.publish("long", `
		const me = require('crypto').randomInt(1e9) // of this process
		module.exports = async function long (n, went = [], hub) {
			for (let i = 0; i < 600; i++) {
				if (hub.pausing) return hub.pause(n, [...went, me])
				if (went.length > 0 && i > 20) break
				await new Promise(resolve => setTimeout(resolve, 10))
			}
			return { n, went: [...went, me] }
		}`)
	h.publish("deaf", `module.exports = async (n, hub) => { await new Promise(resolve => setTimeout(resolve, 4000)); return { n, asked: hub.pausing } }`)
	type bridge struct {
		InFlight int
		Memory   int64
		State    string
	}
	var page struct {
		Items []bridge
		Ended []struct{ Code string }
	}
	bridges := func() []bridge {
		h.http().json("GET", "/v1/bridges", nil, http.StatusOK, &page)
		return page.Items
	}
	for len(bridges()) < 3 {
	}
	type answer struct {
		N     int
		Went  []int
		Asked bool
	}
	var calls sync.WaitGroup
	long, deaf := make([]answer, 9), make([]answer, 9)
	for name, answers := range map[string][]answer{"long": long, "deaf": deaf} {
		for i := range answers {
			calls.Go(func() {
				res := h.http().raw("POST", "/v1/invoke/"+name, strings.NewReader(fmt.Sprintf("[%d]", i)))
				if err := json.Unmarshal(res.body, &answers[i]); err != nil || res.status != http.StatusOK || answers[i].N != i {
					t.Errorf("%s(%d): %d %s", name, i, res.status, res.body)
				}
			})
		}
	}
	var before map[int]int // how many have a bridge, by the number of calls in it
	for running := 0; running < len(long)+len(deaf); {
		running, before = 0, map[int]int{}
		for _, b := range bridges() {
			running += b.InFlight
			before[b.InFlight]++
		}
	}
	limits(map[string]any{"minBridges": 1, "maxBridges": 1})
	calls.Wait()
	for len(bridges()) > 1 {
	}
	moved, asked, last := 0, 0, map[int]bool{}
	for _, a := range long {
		if len(a.Went) == 2 {
			moved++
		}
		last[a.Went[len(a.Went)-1]] = true
	}
	for _, a := range deaf {
		if a.Asked {
			asked++
		}
	}
	// the one process that is left has a part of the calls; all others were asked to leave theirs
	if stayed := len(long) + len(deaf) - moved - asked; before[stayed] == 0 || moved == 0 || asked == 0 {
		t.Errorf("%d moved, %d were asked in vain, %d stayed; the processes had %v", moved, asked, stayed, before)
	}
	if len(last) != 1 {
		t.Errorf("those that can move ended in the processes %v", last)
	}
	if ended := fmt.Sprint(page.Ended); ended != "[{scaled_in} {scaled_in}]" || page.Items[0].State != "running" || page.Items[0].Memory < 10<<20 {
		t.Errorf("the bridges are %+v", page)
	}
}
