package nodebridge

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// documented are the codes that a call may end with because of what befell its process, and not because of itself.
var documented = map[string]bool{"bridge_lost": true, "stuck": true, "overloaded": true, "out_of_memory": true}

// TestEveryCallIsAnsweredOnceWhateverBefallsItsProcess loads the processes of three tenants with calls of all
// sizes, and kills them, stops them, lets them stand for a while, and keeps their loops and the machine busy, at
// random. Each call must have exactly one answer (a second one panics): its own, right to the last byte, or a
// documented fault. LIVEFN_CHAOS is how long it goes on (5s).
func TestEveryCallIsAnsweredOnceWhateverBefallsItsProcess(t *testing.T) {
	length := 5 * time.Second
	if s := os.Getenv("LIVEFN_CHAOS"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	if s := os.Getenv("LIVEFN_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("LIVEFN_SEED=%d", seed)
	f := running(t, Config{StuckAfter: 700 * time.Millisecond}, func(string, int, string, string) {})
	m := module(t, `module.exports = async (id, text, wait, spin) => {
		if (wait > 0) await new Promise(resolve => setTimeout(resolve, wait))
		for (const end = Date.now() + spin; Date.now() < end;);
		return [id, text]
	}`)
	rough, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	var work sync.WaitGroup
	var answers, refused atomic.Int64
	var mu sync.Mutex
	faults, befell := map[string]int{}, map[string]int{}
	for i := range 24 {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		tenant := fmt.Sprint("t", i%3)
		work.Go(func() {
			for n := 0; rough.Err() == nil; n++ {
				text, wait, spin := random.IntN(200), random.IntN(20), 0
				if random.IntN(200) == 0 {
					text = random.IntN(2 << 20)
				}
				if random.IntN(300) == 0 {
					spin = random.IntN(1200) // some of them for longer than a loop may
				}
				id := fmt.Sprintf("%d-%d", i, n)
				args, _ := json.Marshal([]any{id, strings.Repeat("é", text), wait, spin})
				a := newAnswer(t, m, string(args))
				if err := f.Call(tenant, &a.Call); err != nil {
					refused.Add(1)
					continue
				}
				got := a.wait()
				switch {
				case got == fmt.Sprintf(`Result [%q,"%s"]`, id, strings.Repeat("é", text)):
					answers.Add(1)
				case got == "Lost" || got == "Unstarted":
					mu.Lock()
					faults[got]++
					mu.Unlock()
				default:
					var fault struct{ Code string }
					if text, is := strings.CutPrefix(got, "Error "); !is || json.Unmarshal([]byte(text), &fault) != nil || !documented[fault.Code] {
						t.Errorf("call %s: %.300s", id, got)
					}
					mu.Lock()
					faults[fault.Code]++
					mu.Unlock()
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(seed, 1000))
	pick := func() int {
		live := f.Bridges("")
		if len(live) == 0 {
			return 0
		}
		return live[random.IntN(len(live))].PID
	}
	wait := func(ms int) {
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
		case <-rough.Done():
		}
	}
	for n := 0; rough.Err() == nil; n++ {
		what := []string{"kill", "stop", "stand", "starve"}[n%4]
		pid := pick()
		befell[what]++
		switch {
		case pid == 0:
		case what == "kill":
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		case what == "stop": // for good: the hub has to notice
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		case what == "stand":
			_ = syscall.Kill(pid, syscall.SIGSTOP)
			wait(100 + random.IntN(300))
			_ = syscall.Kill(pid, syscall.SIGCONT)
		case what == "starve": // the machine, with more than it has
			over, end := context.WithTimeout(rough, 300*time.Millisecond)
			for range 8 {
				work.Go(func() {
					for over.Err() == nil {
						_ = strings.Repeat("x", 1<<16)
					}
				})
			}
			<-over.Done()
			end()
		}
		wait(50 + random.IntN(250))
	}
	work.Wait()
	if answers.Load() < 200 || len(befell) < 4 {
		t.Errorf("there was too little to see: %d answers, %v", answers.Load(), befell)
	}
	t.Logf("%d right answers, %d refused, faults %v; %v", answers.Load(), refused.Load(), faults, befell)
	for i := range 3 { // and all is well afterwards
		a := newAnswer(t, m, `["after","",0,0]`)
		if err := f.Call(fmt.Sprint("t", i), &a.Call); err != nil {
			t.Errorf("a call afterwards: %v", err)
			continue
		}
		check(t, "afterwards", a.wait(), `Result ["after",""]`)
	}
}
