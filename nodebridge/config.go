package nodebridge

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/livefn/livefn/internal/sandbox"
)

// Config is how a Fleet runs its processes. The zero value of each field stands for the default
// written beside it.
type Config struct {
	Node     string   // the program; default "node", as found in the hub's PATH
	NodeArgs []string // given to it before the script; default none
	Dir      string   // for the bridges' private folders, emptied at start; default: a new one under os.TempDir

	Walls     *sandbox.Walls // around each process; nil: none, for code that is trusted
	Functions string         // with Walls: the folder that has for each tenant one of its name, which is all of it that its processes see

	Warm   int      // with Walls: processes that are kept ready for tenants that have none; default none
	Keeper []string // the program that holds the mounts through which these see their tenant's functions: it calls sandbox.Keep with its last two arguments

	Limits        Limits        // of a tenant that Fleet.Limit says nothing of; default one bridge
	MaxMessage    int           // bytes of one message, either way; default 64 MiB and 64 KiB for its head
	HeavyFrom     int           // bytes of arguments, of a result or of an event from which on a call has a bridge apart from small ones, where a tenant may have two; default 1 MiB
	MaxOutgoing   int           // bytes that may wait to be written to one bridge; default twice MaxMessage
	MaxWaiting    int           // calls of a tenant that may wait while no bridge is live; default 10000
	MaxWaitTime   time.Duration // how long a call may wait for a live bridge; default 10s
	PingEvery     time.Duration // how often the event loop of a bridge with calls is looked at; default 100ms
	StuckAfter    time.Duration // a bridge whose event loop has not turned for so long while calls wait is ended; default 2s
	LoadTimeout   time.Duration // the same while it loads a module; default 30s
	MaxLine       int           // bytes of a line of stray output, longer ones are cut up; default 8 KiB
	MaxTmp        int           // with Walls: bytes that a process may have in its /tmp, and in /dev/shm, in memory; default 128 MiB
	WarmAfter     time.Duration // pause between the starts of two warm processes; default 100ms
	WarmMinFree   int64         // bytes of memory that the machine must have available to start one; default 512 MiB
	ReadyTimeout  time.Duration // from a process's start to its Ready; default 20s
	RestartFirst  time.Duration // longest pause before the second replacement in a row; default 100ms
	RestartMax    time.Duration // longest pause before any replacement; default 10s
	RestartForget time.Duration // a bridge that lived so long starts the row anew; default 30s
	GrowDelay     time.Duration // delay of the fastest event loop at which a tenant gets a further bridge; default 30ms
	GrowInFlight  int           // calls in flight in each bridge above which it does; default 2000
	GrowAfter     time.Duration // how long one of these, or calls that wait, must last; default 500ms
	ShrinkAfter   time.Duration // how long the load must have fitted into fewer bridges before there are fewer; default 60s
	RecycleAge    time.Duration // how old a bridge must be to be replaced for its memory; default 60s
	RecycleAfter  int           // modules of versions no longer in use that a bridge lets go of before another takes its place; default 100
	IdleAfter     time.Duration // how long a tenant that may have none must be without calls before it has none; default 10m
}

func (c Config) withDefaults() Config {
	set(&c.Node, "node")
	set(&c.MaxTmp, sandbox.DefaultTmp)
	if c.Limits == (Limits{}) {
		c.Limits = Limits{MinBridges: 1, MaxBridges: 1}
	}
	set(&c.MaxMessage, 64<<20+64<<10)
	set(&c.HeavyFrom, 1<<20)
	set(&c.MaxOutgoing, 2*c.MaxMessage)
	set(&c.MaxWaiting, 10000)
	set(&c.MaxWaitTime, 10*time.Second)
	set(&c.PingEvery, 100*time.Millisecond)
	set(&c.StuckAfter, 2*time.Second)
	set(&c.LoadTimeout, 30*time.Second)
	set(&c.MaxLine, 8<<10)
	set(&c.WarmAfter, 100*time.Millisecond)
	set(&c.WarmMinFree, 512<<20)
	set(&c.ReadyTimeout, 20*time.Second)
	set(&c.RestartFirst, 100*time.Millisecond)
	set(&c.RestartMax, 10*time.Second)
	set(&c.RestartForget, 30*time.Second)
	set(&c.RecycleAfter, 100)
	set(&c.GrowDelay, 30*time.Millisecond)
	set(&c.GrowInFlight, 2000)
	set(&c.GrowAfter, 500*time.Millisecond)
	set(&c.ShrinkAfter, time.Minute)
	set(&c.RecycleAge, time.Minute)
	set(&c.IdleAfter, 10*time.Minute)
	return c
}

// functions is the folder of a tenant's functions.
func (c *Config) functions(tenant string) string { return filepath.Join(c.Functions, tenant) }

// inside is where a tenant's process finds m.
func (c *Config) inside(m *Module) string {
	if c.Walls == nil {
		return m.Dir
	}
	rest, ok := strings.CutPrefix(m.Dir, c.functions(m.Tenant)+string(filepath.Separator))
	if !ok {
		return m.Dir // which it does not see
	}
	return functionsInside + "/" + filepath.ToSlash(rest)
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
