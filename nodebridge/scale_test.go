package nodebridge

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// simulation is a tenant whose calls come at a rate and take so much of an event loop's time. Each bridge works
// off its part as one CPU does; what it does not get done delays its event loop.
type simulation struct {
	limits   Limits
	cost     time.Duration            // of the event loop a call
	rate     func(at float64) float64 // calls a second at a time in seconds
	duration time.Duration
}

// outcome is what became of it.
type outcome struct {
	sizes          []int // once a tick
	grows, shrinks int
	turns          int           // times that it shrank after it grew, or grew after it shrank
	worst          time.Duration // longest delay of an event loop
	late           time.Duration // time with a delay over 100 ms
}

const simulatedTick = 100 * time.Millisecond

// startsIn is how long a simulated bridge takes to start.
const startsIn = 3 // ticks

func (sim simulation) run(t *testing.T) (o outcome) {
	t.Helper()
	c := Config{}.withDefaults()
	var s scaler
	start := time.Unix(1_000_000, 0)
	live, backlog := 0, 0.0 // seconds of work that wait in all bridges
	var starting []int      // ticks to go
	last := 0               // +1 grew, -1 shrank
	for at := time.Duration(0); at < sim.duration; at += simulatedTick {
		for i := range starting {
			starting[i]--
		}
		for len(starting) > 0 && starting[0] <= 0 {
			starting, live = starting[1:], live+1
		}
		calls := sim.rate(at.Seconds()) * simulatedTick.Seconds()
		work := backlog + calls*sim.cost.Seconds()
		done := min(work, float64(live)*simulatedTick.Seconds())
		backlog = work - done
		l := load{at: start.Add(at), live: live, starting: len(starting), calls: calls > 0, busy: done / simulatedTick.Seconds()}
		if live > 0 {
			l.delay = time.Duration(backlog / float64(live) * float64(time.Second))
			l.inFlight = int(math.Ceil(backlog / sim.cost.Seconds()))
		} else if backlog > 0 {
			l.waiting = int(math.Ceil(backlog / sim.cost.Seconds()))
		}
		now := live + len(starting)
		want := s.want(&c, &sim.limits, now, l)
		if want < 0 || want > max(sim.limits.MaxBridges, 1) || want < sim.limits.MinBridges {
			t.Fatalf("at %v: %d bridges, the limits are %+v", at, want, sim.limits)
		}
		way := last
		switch {
		case want > now:
			way = 1
			o.grows++
			for range want - now {
				starting = append(starting, startsIn)
			}
		case want < now:
			way = -1
			o.shrinks++
			live -= now - want
		}
		if last != 0 && way != last {
			o.turns++
		}
		last = way
		o.sizes = append(o.sizes, want)
		o.worst = max(o.worst, l.delay)
		if l.delay > 100*time.Millisecond || live == 0 && backlog > 0 {
			o.late += simulatedTick
		}
	}
	return o
}

// between gives the least and the most bridges in a part of the time, in seconds.
func (o outcome) between(from, to float64) (least, most int) {
	part := o.sizes[int(from/simulatedTick.Seconds()):int(to/simulatedTick.Seconds())]
	least, most = part[0], part[0]
	for _, n := range part {
		least, most = min(least, n), max(most, n)
	}
	return least, most
}

func steps(rates map[float64]float64) func(float64) float64 {
	return func(at float64) (rate float64) {
		last := -1.0
		for from, r := range rates {
			if from <= at && from > last {
				last, rate = from, r
			}
		}
		return rate
	}
}

// A load that does not change must not make the size change, whatever the load is.
func TestAConstantLoadSettlesAndStays(t *testing.T) {
	for _, share := range []float64{0.01, 0.3, 0.59, 0.61, 0.7, 0.9, 0.99, 1.01, 1.2, 1.5, 2.5, 3.3, 5, 7.7, 20} {
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			sim := simulation{Limits{MinBridges: 1, MaxBridges: 8}, time.Millisecond, func(float64) float64 { return share * 1000 }, 2 * time.Hour}
			o := sim.run(t)
			least, most := o.between(1800, 7200) // the smallest number that it fits into, or up to what leaves room to spare
			if need, roomy := int(math.Ceil(share)), int(math.Ceil(share/shrinkBusy)); least < min(need, 8) || most > min(8, roomy) {
				t.Errorf("%d to %d bridges for %.2f", least, most, share)
			}
			if o.turns > 1 {
				t.Errorf("the size turned %d times", o.turns)
			}
			if share < 7.7 && o.late > 10*time.Second {
				t.Errorf("calls were late for %v", o.late)
			}
		})
	}
}

func TestAStepIsFollowedUpSoonAndDownAfterACoolDown(t *testing.T) {
	sim := simulation{Limits{MinBridges: 1, MaxBridges: 10}, time.Millisecond, steps(map[float64]float64{0: 100, 60: 4500, 600: 100}), time.Hour}
	o := sim.run(t)
	if least, most := o.between(0, 60); least != 1 || most != 1 {
		t.Errorf("before: %d to %d", least, most)
	}
	if least, most := o.between(66, 600); least < 5 || most > 10 {
		t.Errorf("within 6 s of the step: %d to %d", least, most)
	}
	if least, most := o.between(300, 600); least < 5 || most > 8 {
		t.Errorf("settled: %d to %d", least, most)
	}
	if least, _ := o.between(600, 659); least < 5 {
		t.Errorf("before the cool-down was over there were %d", least)
	}
	if _, most := o.between(1200, 3600); most != 1 {
		t.Errorf("long after the step: %d", most)
	}
	check(t, "turns", o.turns, 1)
}

// A spike shorter than GrowAfter is none of the pool's business; a longer one costs a single excursion.
func TestASpikeCostsOneExcursionAtMost(t *testing.T) {
	for seconds, turns := range map[float64]int{0.1: 0, 5: 1} {
		o := simulation{Limits{MinBridges: 1, MaxBridges: 8}, time.Millisecond, steps(map[float64]float64{0: 200, 300: 1200, 300 + seconds: 200}), time.Hour}.run(t)
		check(t, fmt.Sprintf("turns after %v s", seconds), o.turns, turns)
		_, most := o.between(0, 3599)
		if most > 4 {
			t.Errorf("%v s: %d bridges", seconds, most)
		}
		check(t, "at last", o.sizes[len(o.sizes)-1], 1)
	}
}

// Saw teeth of any period, that of the cool-down above all, must not start and end processes all day.
func TestASawtoothDoesNotMakeThePoolFlap(t *testing.T) {
	for _, period := range []float64{2, 10, 55, 65, 130, 250, 600} {
		t.Run(fmt.Sprint(period), func(t *testing.T) {
			o := simulation{Limits{MinBridges: 1, MaxBridges: 8}, time.Millisecond, func(at float64) float64 {
				return 3500 * math.Mod(at, period) / period
			}, 6 * time.Hour}.run(t)
			// with the longest cool-down, eight minutes, there are at most two turns a period or a cool-down
			if most := 8 + int(6*3600/max(period, 480))*2; o.turns > most {
				t.Errorf("the size turned %d times in 6 h; %d are bearable", o.turns, most)
			}
			if period < 480 && o.turns > 12 {
				t.Errorf("the size turned %d times in 6 h, though each tooth is shorter than the longest cool-down", o.turns)
			}
		})
	}
}

func TestADayIsFollowed(t *testing.T) {
	o := simulation{Limits{MinBridges: 0, MaxBridges: 8}, time.Millisecond, func(at float64) float64 {
		return max(0, 5000*math.Sin(2*math.Pi*at/86400))
	}, 3 * 24 * time.Hour}.run(t)
	for day := range 3 {
		noon, night := float64(day)*86400+21600, float64(day)*86400+75000
		if least, most := o.between(noon-600, noon+600); least < 5 || most > 8 {
			t.Errorf("day %d, noon: %d to %d bridges", day, least, most)
		}
		if least, most := o.between(night-600, night+600); least != 0 || most != 0 {
			t.Errorf("day %d, night: %d to %d bridges", day, least, most)
		}
	}
	if o.turns > 3*4 {
		t.Errorf("the size turned %d times in three days", o.turns)
	}
	if o.late > 3*10*time.Second {
		t.Errorf("calls were late for %v in three days, %v at worst", o.late, o.worst)
	}
}

// The limits hold at once when they change, and a pool of none begins with the first call.
func TestALimitThatChangesIsFollowed(t *testing.T) {
	c := Config{}.withDefaults()
	var s scaler
	at := time.Unix(1000, 0)
	calm := load{at: at, live: 3}
	for _, one := range []struct {
		limits Limits
		now    int
		l      load
		want   int
	}{
		{Limits{MinBridges: 5, MaxBridges: 8}, 3, calm, 5},
		{Limits{MinBridges: 0, MaxBridges: 2}, 3, calm, 2},
		{Limits{}, 3, calm, 1},
		{Limits{MinBridges: 4, MaxBridges: 2}, 3, calm, 4},
		{Limits{MaxBridges: 2}, 0, load{at: at}, 0},
		{Limits{MaxBridges: 2}, 0, load{at: at, waiting: 1}, 1},
		{Limits{MaxBridges: 2}, 1, load{at: at, waiting: 1, starting: 1}, 1},
	} {
		check(t, fmt.Sprintf("%+v, %d", one.limits, one.now), s.want(&c, &one.limits, one.now, one.l), one.want)
	}
}

// What is in flight, or waits, makes a pool grow as a slow event loop does.
func TestCallsInFlightAndCallsThatWaitMakeAPoolGrow(t *testing.T) {
	c := Config{}.withDefaults()
	limits := Limits{MinBridges: 1, MaxBridges: 4}
	for _, l := range []load{{live: 1, inFlight: c.GrowInFlight + 1}, {live: 1, waiting: 1}, {live: 1, delay: c.GrowDelay}} {
		var s scaler
		for ms := 0; ms <= int(c.GrowAfter.Milliseconds()); ms += 100 {
			l.at = time.UnixMilli(int64(1_000_000 + ms))
			want := 1
			if ms == int(c.GrowAfter.Milliseconds()) {
				want = 2
			}
			check(t, fmt.Sprintf("%+v after %d ms", l, ms), s.want(&c, &limits, 1, l), want)
		}
	}
}
