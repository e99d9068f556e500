package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestEverySubscriberHasEachEventOnceOrWasTold is the whole way of an event, under all that goes wrong with it at
// random: publishers over HTTP, the hub (killed, drained and started again), retention that trims, a network that
// drops, delays, half-opens and garbles, and SDKs whose programs end and resume. A model knows what was acknowledged;
// between two events that a subscriber gets of one stream there is none of those, unless it was told (recovered:
// false), and nothing comes twice, or late. LIVEFN_SEED repeats a run's decisions.
func TestEverySubscriberHasEachEventOnceOrWasTold(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv("LIVEFN_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano() % 100_000)
	}
	t.Logf("LIVEFN_SEED=%d", seed)
	draw := rand.New(rand.NewPCG(seed, 6)) //nolint:gosec // a test's decisions

	h := startHub(t)
	for name, retention := range map[string]map[string]any{
		"trimmed.d": {"durable": true, "maxEvents": 50}, "whole.d": {"durable": true},
		"trimmed.m": {"maxEvents": 20}, "whole.m": {"maxEvents": 100_000, "maxBytes": 64 << 20},
	} {
		h.http().json("PUT", "/v1/streams/"+name, retention, http.StatusOK, nil)
	}
	m := &recovery{t: t, publishers: map[string]*publisher{}}
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	for _, name := range []string{"trimmed.d", "whole.d", "trimmed.m", "whole.m"} {
		p := &publisher{url: h.url + "/v1/streams/" + name + "/events", key: h.key, acknowledged: map[int]bool{}}
		m.publishers[name] = p
		publishing.Go(func() { p.publish(stop) })
	}
	n := h.network(m.line)
	subscribe := func() {
		names := []string{"trimmed.d", "whole.d", "trimmed.m", "whole.m", "whole.*", "trimmed.>", "*.d"}
		name := names[len(m.subscribers)%len(names)]
		since := "start"
		if draw.IntN(3) == 0 {
			since = "new"
		}
		n.do("subscribe %d %s %s", m.add(name), name, since)
	}
	for range 7 {
		subscribe()
	}
	restart := func(end func()) func() {
		return func() {
			end()
			m.restarted()
			h.startAgainAtTheSameAddress()
		}
	}
	actions := []func(){
		func() { n.do("drop") }, func() { n.do("halfOpen") }, func() { n.do("garble down") }, func() { n.do("garble up") },
		func() { n.do("delay %d", draw.IntN(30)) }, func() { n.do("delay 0") },
		func() { n.do("refuse true"); m.progress(50); n.do("refuse false") },
		func() { n.do("resume %d", draw.IntN(len(m.subscribers))) }, func() { n.do("resume %d", draw.IntN(len(m.subscribers))) },
		subscribe, restart(h.kill), restart(h.stop),
	}
	deck := slices.Concat(actions, actions)
	draw.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	for _, act := range deck {
		m.progress(10 + draw.IntN(40))
		act()
	}
	n.do("delay 0")
	m.progress(50)
	close(stop)
	publishing.Wait()
	for name := range m.publishers {
		h.http().json("POST", "/v1/streams/"+name+"/events", map[string]any{"type": "end"}, http.StatusOK, nil)
	}
	m.ended()
	n.end()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.subscribers {
		t.Logf("%-10s %5d events, told of %d gaps", s.name, s.got, s.told)
	}
}

// publisher counts in one stream, and notes what was acknowledged.
type publisher struct {
	url, key string

	mu           sync.Mutex // guards the rest
	n            int        // the newest that was acknowledged, or may have been published
	acknowledged map[int]bool
}

func (p *publisher) publish(stop <-chan struct{}) {
	pace := time.NewTicker(3 * time.Millisecond)
	defer pace.Stop()
	for n := 1; ; n++ {
		select {
		case <-pace.C:
		case <-stop:
			return
		}
		req, err := http.NewRequest("POST", p.url, strings.NewReader(fmt.Sprintf(`{"type":"n","data":%d}`, n)))
		if err != nil {
			panic(err) // the URL is the test's
		}
		req.Header.Set("Authorization", "Bearer "+p.key)
		res, err := http.DefaultClient.Do(req)
		ok := false
		if err == nil { // else the hub is away
			_, err = io.Copy(io.Discard, res.Body)
			ok = res.Body.Close() == nil && err == nil && res.StatusCode == http.StatusOK
		}
		p.mu.Lock()
		p.n = n
		p.acknowledged[n] = ok
		p.mu.Unlock()
	}
}

// between gives an event that was acknowledged after a and before b; 0: there is none.
func (p *publisher) between(a, b int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := a + 1; n < b; n++ {
		if p.acknowledged[n] {
			return n
		}
	}
	return 0
}

// recovery is the model.
type recovery struct {
	t          *testing.T
	publishers map[string]*publisher

	mu          sync.Mutex // guards the rest
	restarts    int
	subscribers []*subscriber
	more        chan struct{} // closed when a subscriber has got something; nil: nobody waits
}

// subscriber is what one got, over all its connections, and the programs it was.
type subscriber struct {
	name  string
	last  map[string]int  // by stream, the newest event
	may   map[string]bool // by stream, whether it was told of a gap since then
	ended map[string]bool
	got   int
	told  int
	since int // restarts before it came
}

// sees gives the streams that a subscriber's name stands for.
func (s *subscriber) sees() []string {
	switch s.name {
	case "whole.*":
		return []string{"whole.d", "whole.m"}
	case "trimmed.>":
		return []string{"trimmed.d", "trimmed.m"}
	case "*.d":
		return []string{"trimmed.d", "whole.d"}
	}
	return []string{s.name}
}

func (m *recovery) add(name string) (id int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subscribers = append(m.subscribers, &subscriber{name: name, last: map[string]int{}, may: map[string]bool{}, ended: map[string]bool{}, since: m.restarts})
	return len(m.subscribers) - 1
}

func (m *recovery) restarted() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.restarts++
}

// line takes what a subscriber got.
func (m *recovery) line(text []byte) {
	var l struct {
		ID        int
		Stream    string
		Type      string
		Data      int
		Recovered *bool
		Error     string
	}
	if err := json.Unmarshal(text, &l); err != nil || l.Error != "" {
		m.t.Errorf("recovery.mjs says %s", text)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subscribers[l.ID]
	if m.more != nil {
		close(m.more)
		m.more = nil
	}
	s.got++
	if l.Recovered != nil {
		s.told++
		for _, name := range s.sees() {
			s.may[name] = true
		}
		// What is whole on disk never has a gap, and what is whole in memory only a restart can take. (A pattern is told
		// again of what was lost after each position that it resumes from.)
		if s.name == "whole.d" || s.name == "whole.m" && s.told > m.restarts-s.since {
			m.t.Errorf("%d (%s) was told of gap %d before %s, after %d restarts", l.ID, s.name, s.told, text, m.restarts)
		}
	}
	p := m.publishers[l.Stream]
	if l.Type == "end" {
		p.mu.Lock()
		l.Data = p.n + 1
		p.mu.Unlock()
		s.ended[l.Stream] = true
	}
	last, known := s.last[l.Stream]
	if l.Data <= last {
		m.t.Errorf("%d (%s) got %s after %d", l.ID, s.name, text, last)
	}
	if missed := p.between(last, l.Data); known && !s.may[l.Stream] && missed > 0 {
		m.t.Errorf("%d (%s) got %s after %d, and never %d; it was not told", l.ID, s.name, text, last, missed)
	}
	s.last[l.Stream], s.may[l.Stream] = l.Data, false
}

// until waits until a condition on the subscribers holds.
func (m *recovery) until(what string, f func() bool) {
	m.t.Helper()
	timeout := time.After(patience)
	for {
		m.mu.Lock()
		if f() || m.t.Failed() {
			m.mu.Unlock()
			return
		}
		if m.more == nil {
			m.more = make(chan struct{})
		}
		more := m.more
		m.mu.Unlock()
		select {
		case <-more:
		case <-timeout:
			m.mu.Lock()
			defer m.mu.Unlock()
			for id, s := range m.subscribers {
				m.t.Logf("%d (%s) has %v, ended %v", id, s.name, s.last, s.ended)
			}
			m.t.Fatalf("waiting until %s", what)
		}
	}
}

// progress waits until so many more events were published to each stream, or refused.
func (m *recovery) progress(n int) {
	m.t.Helper()
	for _, p := range m.publishers {
		p.mu.Lock()
		goal := p.n + n
		p.mu.Unlock()
		pace := time.NewTicker(5 * time.Millisecond)
		for at := 0; at < goal; {
			<-pace.C
			p.mu.Lock()
			at = p.n
			p.mu.Unlock()
		}
		pace.Stop()
	}
}

// ended waits until every subscriber has the end of each of its streams.
func (m *recovery) ended() {
	m.t.Helper()
	m.until("all have everything", func() bool {
		for _, s := range m.subscribers {
			for _, name := range s.sees() {
				if !s.ended[name] {
					return false
				}
			}
		}
		return true
	})
}

// network runs recovery.mjs; seen gets its lines.
func (h *hub) network(seen func(line []byte)) *network {
	h.t.Helper()
	n := &network{t: h.t, cmd: exec.Command("node", "recovery.mjs"), stderr: &output{}, read: make(chan struct{})}
	n.cmd.Env = append(os.Environ(), "LIVEFN_URL="+h.url, "LIVEFN_KEY="+h.key)
	n.cmd.Stderr = n.stderr
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if n.commands, err = n.cmd.StdinPipe(); err != nil {
		h.t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		defer close(n.read)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			seen(lines.Bytes())
		}
	}()
	h.t.Cleanup(n.end)
	return n
}

// network is a process of SDKs behind a proxy.
type network struct {
	t        *testing.T
	cmd      *exec.Cmd
	commands io.WriteCloser
	stderr   *output
	read     chan struct{} // closed when all its lines were read
	over     sync.Once
}

func (n *network) do(format string, args ...any) {
	n.t.Helper()
	if _, err := fmt.Fprintf(n.commands, format+"\n", args...); err != nil {
		n.t.Fatalf("%v; recovery.mjs said:\n%s", err, n.stderr.tail())
	}
}

// end ends it, which it must do well.
func (n *network) end() {
	n.over.Do(func() {
		_ = n.commands.Close()
		select {
		case <-n.read:
		case <-time.After(patience):
			_ = n.cmd.Process.Kill()
			n.t.Error("recovery.mjs does not end")
			<-n.read
		}
		if err := n.cmd.Wait(); err != nil || n.stderr.tail() != "" {
			n.t.Errorf("recovery.mjs ended with %v:\n%s", err, n.stderr.tail())
		}
	})
}
