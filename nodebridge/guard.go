package nodebridge

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// What a bridge may use of the machine. Where the hub can't give a process a cgroup of its own, it watches: a
// process that passes its tenant's memory is ended, and its calls say why; one that comes near is replaced before
// that. Behind the watching, which takes a moment, stand V8's own limit for its heap and the kernel's for what
// one process may map.

// errRecycled says that a bridge ended because it had grown, before it passed its limit.
var errRecycled = errors.New("its memory had come near the limit, and another one took its place")

const (
	guardIdle = 500 * time.Millisecond // how often one without calls is looked at: code may go on behind its answer
	softShare = 0.8                    // of Limits.Memory: where SoftMemory says nothing, it is recycled from there on
	heapShare = 0.75                   // of Limits.Memory: V8 collects garbage harder before its heap passes that
	slack     = 512 << 20              // what a process maps beside its heap: stacks of threads, code
)

// guard ends the bridge if it uses more than it may, and says whether it should be recycled.
func (b *Bridge) guard(l *Limits, now time.Time, busy bool) (worn bool) {
	memory := b.used.memory
	if l.Memory > 0 && (busy || now.Sub(b.guarded) >= guardIdle) {
		b.guarded = now
		memory = max(memory, residentOf(b.p.pid())) // of the process alone, which costs one read
	}
	switch {
	case l.Memory > 0 && memory > l.Memory:
		b.fail(fault.New(fault.OutOfMemory, "The process used %d MiB of memory, with what it had started; the limit is %d MiB (memory). %s",
			memory>>20, l.Memory>>20, b.suspects(ping{behind: math.MaxUint64})))
	case l.Processes > 0 && b.used.processes > l.Processes:
		b.fail(fault.New(fault.BridgeLost, "There were %d processes where the limit is %d (processes), so all were ended. %s",
			b.used.processes, l.Processes, b.suspects(ping{behind: math.MaxUint64})))
	}
	soft := l.SoftMemory
	if soft == 0 {
		soft = int64(float64(l.Memory) * softShare)
	}
	return soft > 0 && memory > soft && now.Sub(b.started) >= b.cfg.RecycleAge
}

// heapFlag gives Node's option for the heap of a process with these limits, if they say anything of it.
func (l *Limits) heapFlag() []string {
	if l.Memory == 0 {
		return nil
	}
	return []string{fmt.Sprintf("--max-old-space-size=%d", max(32, int64(float64(l.Memory)*heapShare)>>20))}
}

// heapFull is what V8 says on stderr before it ends a process whose heap is full.
const heapFull = "JavaScript heap out of memory"

// heard takes a line of stderr: it may be the process's last words.
func (b *Bridge) heard(stream, line string) {
	if stream != "stderr" || !strings.Contains(line, heapFull) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.why == nil {
		b.why = fault.New(fault.OutOfMemory, "The heap of the process was full (memory). %s", b.suspectsLocked(ping{behind: math.MaxUint64}))
	}
}
