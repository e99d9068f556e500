package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/livefn/livefn/conn"
	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/backup"
	"github.com/livefn/livefn/internal/samples"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/internal/units"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// ServeCmd runs the hub.
type ServeCmd struct {
	Listen        string `help:"Address to listen on." default:"127.0.0.1:8080" env:"LIVEFN_LISTEN"`
	PublicURL     urls   `name:"public-url" help:"Addresses at which browsers reach the hub by name, as https://hub.example.com: its own pages, the dashboard, are those of these. May be repeated, or have commas." placeholder:"URL" env:"LIVEFN_PUBLIC_URL"`
	Data          string `help:"Folder of everything the hub keeps." default:"./data" env:"LIVEFN_DATA" type:"path"`
	AdminKey      string `help:"Key of the operator; without one the admin API is off." env:"LIVEFN_ADMIN_KEY"`
	Dev           bool   `help:"Also make the tenant dev with a printed key and the sample functions."`
	Node          string `help:"The node program that runs functions." default:"node" env:"LIVEFN_NODE"`
	NodeRuntimes  int    `help:"Other versions of Node that are kept, for functions whose engines.node asks for one; 0: none." default:"8" env:"LIVEFN_NODE_RUNTIMES"`
	Npm           string `help:"The npm program that installs packages." default:"npm" env:"LIVEFN_NPM"`
	BridgesMin    int    `help:"Node processes kept for each tenant from its first call on; 0: none once it is idle." default:"1" env:"LIVEFN_BRIDGES_MIN"`
	BridgesMax    int    `help:"Node processes for each tenant, as many as its load asks for." default:"4" env:"LIVEFN_BRIDGES_MAX"`
	Isolation     string `help:"Walls around functions: bwrap; auto, where they can be built; or none, for code that you trust." default:"bwrap" enum:"bwrap,auto,none" env:"LIVEFN_ISOLATION"`
	Warm          int    `help:"Processes behind walls that are kept ready for tenants that have none." default:"2" env:"LIVEFN_WARM"`
	Network       string `help:"Network of functions of tenants that were given no other: full, or none, which takes walls." default:"full" enum:"full,none" env:"LIVEFN_NETWORK"`
	AllowScripts  bool   `help:"Run packages' lifecycle scripts on install where a tenant does not say, and where there are no walls." env:"LIVEFN_ALLOW_SCRIPTS"`
	MaxEvent      string `help:"Largest data of one event, up to 64MiB." default:"1MiB" env:"LIVEFN_MAX_EVENT"`
	MinFree       string `help:"Room on the disk below which durable work is refused." default:"256MiB" env:"LIVEFN_MIN_FREE"`
	DrainTimeout  string `help:"How long a stop waits for executions to pause or end; a second signal ends the hub at once." default:"30s" env:"LIVEFN_DRAIN_TIMEOUT"`
	KeepEnded     string `help:"How long ended durable executions are kept; 0: for ever." default:"7d" env:"LIVEFN_KEEP_ENDED"`
	KeepVersions  int    `help:"Newest versions of a function that are kept, and older ones only while something needs them; 0: all." default:"50" env:"LIVEFN_KEEP_VERSIONS"`
	SecretKey     string `help:"Key with which secrets at rest are sealed: 32 bytes in base64 or hex, or @FILE. Without one a key is made in the data folder." placeholder:"KEY" env:"LIVEFN_SECRET_KEY"`
	SecretKeyOld  string `help:"Keys that were given before, with commas: what they seal moves to the present one." placeholder:"KEYS" env:"LIVEFN_SECRET_KEY_OLD"`
	ForgetSecrets bool   `help:"Start without the secrets whose key is lost." env:"LIVEFN_FORGET_SECRETS"`
	LogLevel      string `help:"debug, info, warn or error." default:"info" enum:"debug,info,warn,error" env:"LIVEFN_LOG_LEVEL"`
}

// orAll makes the flag's 0 the configuration's -1.
func orAll(keep int) int {
	if keep == 0 {
		return -1
	}
	return keep
}

// devTenant is the tenant that --dev makes; its key is kept in the data folder, for the next start.
const (
	devTenant  = "dev"
	devKeyFile = "dev.key"
)

// Run serves until ctx ends, or the operator asks for a drain. Then it pauses what can pause, and stops in
// order: requests, the hub, the bridges, the store.
func (c *ServeCmd) Run(ctx context.Context, out io.Writer) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	return c.serve(ctx, front{
		log: log,
		output: func(tenant string, pid int, stream, line string) {
			log.Info("output of a bridge", "tenant", tenant, "pid", pid, "stream", stream, "line", line)
		},
		attend: func(ctx context.Context, registry *tenants.Registry, addr string) error {
			return c.greet(ctx, out, registry, addr)
		},
	})
}

// front is how a hub meets the people who started it.
type front struct {
	log    *slog.Logger
	output func(tenant string, pid int, stream, line string)                        // see nodebridge.Fleet.Output
	attend func(ctx context.Context, registry *tenants.Registry, addr string) error // once the hub listens; if it fails, the hub ends
}

// serve is Run with another front.
func (c *ServeCmd) serve(ctx context.Context, f front) error {
	log := f.log
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", c.Listen, err)
	}
	defer ln.Close()
	origins, err := c.origins(ln.Addr())
	if err != nil {
		return err
	}
	minFree, err := units.ParseSize(c.MinFree)
	if err != nil {
		return fmt.Errorf("--min-free: %w", err)
	}
	maxEvent, err := units.ParseSize(c.MaxEvent)
	if err == nil && (maxEvent < 1 || maxEvent > 64<<20) {
		err = errors.New("it must be 1 to 64MiB")
	}
	if err != nil {
		return fmt.Errorf("--max-event: %w", err)
	}
	drainTimeout, err := units.ParseDuration(c.DrainTimeout)
	if err != nil {
		return fmt.Errorf("--drain-timeout: %w", err)
	}
	keepEnded, err := units.ParseDuration(c.KeepEnded)
	if err != nil {
		return fmt.Errorf("--keep-ended: %w", err)
	}
	if keepEnded == 0 {
		keepEnded = -1
	}
	st, err := store.Open(filepath.Join(c.Data, "store"), store.Options{MinFree: int64(minFree), Log: log})
	if err != nil {
		return err
	}
	defer func() {
		if err := st.Close(); err != nil {
			log.Error("close the store", "error", err)
		}
	}()
	walls, err := c.walls(log)
	if err != nil {
		return err
	}
	keeper, err := keeper()
	if err != nil {
		return err
	}
	node, err := exec.LookPath(c.Node)
	if err != nil {
		return fmt.Errorf("find node, which runs the functions (--node): %w", err)
	}
	if node, err = filepath.Abs(node); err != nil {
		return fmt.Errorf("find node: %w", err)
	}
	owned := tenants.Config{
		Dir: filepath.Join(c.Data, functionsDir), Node: node, NodeRuntimes: c.NodeRuntimes, Npm: c.Npm, AdminKey: c.AdminKey, AllowScripts: c.AllowScripts, Walls: walls, KeepVersions: orAll(c.KeepVersions), Log: log,
	}
	if err := c.secrets(&owned); err != nil {
		return err
	}
	if owned.Limits, err = c.limits(); err != nil {
		return err
	}
	registry, err := tenants.Open(owned, st)
	if err != nil {
		return err
	}
	fleet := nodebridge.NewFleet(nodebridge.Config{Node: node, Dir: filepath.Join(c.Data, bridgesDir),
		Walls: walls, Functions: registry.Folder(), Warm: max(0, c.Warm), Keeper: keeper,
		Limits: nodebridge.Limits{MinBridges: owned.Limits.MinBridges, MaxBridges: owned.Limits.MaxBridges, Memory: int64(owned.Limits.Memory), // of memory and network: those that are warm
			NoNetwork: owned.Limits.Network == tenants.NetworkNone},
	})
	fleet.Output(f.output)
	h := hub.New(hub.Config{MaxEvent: int(maxEvent), KeepEnded: time.Duration(keepEnded)}, st, registry, fleet, log)
	server := conn.New(conn.Config{Origins: origins, Log: log}, h, registry)
	server.OnBackup(func(ctx context.Context, w io.Writer) error {
		defer registry.KeepFolders()()
		return backup.Write(ctx, w, c.source(st, registry))
	})
	asked := make(chan struct{})
	server.OnDrain(sync.OnceFunc(func() { close(asked) }))
	return runStages(ctx,
		stage{"memory", releaseMemory},
		stage{"store", st.Run},
		stage{"runtimes", registry.Run},
		stage{"bridges", fleet.Run},
		stage{"hub", h.Run},
		stage{"server", func(ctx context.Context) error {
			select {
			case <-h.Ready():
			case <-ctx.Done():
				return nil
			}
			return runStages(ctx,
				stage{"listener", func(ctx context.Context) error { return server.Serve(ctx, ln) }},
				stage{"front", func(ctx context.Context) error {
					if err := f.attend(ctx, registry, ln.Addr().String()); err != nil && ctx.Err() == nil {
						return err
					}
					<-ctx.Done()
					return nil
				}},
				stage{"drain", func(ctx context.Context) error {
					select {
					case <-ctx.Done():
					case <-asked:
					}
					drain(h, time.Duration(drainTimeout), log)
					return nil
				}})
		}})
}

// drain brings the hub to rest before anything of it is stopped.
func drain(h *hub.Hub, limit time.Duration, log *slog.Logger) {
	log.Info("draining", "for", limit)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	start := time.Now()
	d := h.Drain(ctx)
	log.Info("drained", "took", time.Since(start).Round(time.Millisecond), "paused", d.Paused, "ended", d.Ended, "again", d.Again, "failed", d.Failed)
}

// greet says where the hub listens, and with --dev how to use it.
func (c *ServeCmd) greet(ctx context.Context, out io.Writer, registry *tenants.Registry, addr string) error {
	url := "http://" + addr
	if !c.Dev {
		fmt.Fprintf(out, "listening on %s\n", url)
		return nil
	}
	t, key, err := c.devTenant(ctx, registry)
	if err != nil {
		return err
	}
	for _, s := range samples.All() {
		start := time.Now()
		var install strings.Builder
		v, created, err := registry.Publish(ctx, t, s.Name, tenants.Publication{Files: s.Files}, &install)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			fmt.Fprintf(out, "sample     %-12s not published: %v\n%s", s.Name, err, install.String())
		case created:
			fmt.Fprintf(out, "sample     %-12s version %d published in %s\n", s.Name, v.Number, time.Since(start).Round(time.Millisecond))
		default:
			fmt.Fprintf(out, "sample     %-12s version %d\n", s.Name, v.Number)
		}
	}
	auth := "-H 'Authorization: Bearer " + key + "'"
	fmt.Fprintf(out, `
listening on %[1]s
dashboard    %[1]s/#key=%[2]s
key          %[2]s

Call a function, watch one run, start one that you can pause:

curl -s %[3]s %[1]s/v1/invoke/add -d '[1, 2]'
curl -sN %[3]s -H 'Accept: text/event-stream' %[1]s/v1/invoke/primes -d '[20]'
curl -s %[3]s '%[1]s/v1/invoke/report?async=1' -d '[{"rowsPerSecond": 2000}]'
curl -s %[3]s '%[1]s/v1/executions?limit=5'

`, url, key, auth)
	return nil
}

// devTenant gives the tenant dev and its key, which are made at the first start.
func (c *ServeCmd) devTenant(ctx context.Context, registry *tenants.Registry) (*tenants.Tenant, string, error) {
	path := filepath.Join(c.Data, devKeyFile)
	b, err := os.ReadFile(path) //nolint:gosec // the operator's own data folder
	if err == nil {
		key := strings.TrimSpace(string(b))
		if g, err := registry.Authenticate(key); err == nil && g.Tenant != nil && g.Tenant.Name() == devTenant {
			return g.Tenant, key, nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, "", err
	}
	t, err := registry.Tenant(devTenant)
	var key string
	if err != nil {
		t, key, err = registry.CreateTenant(ctx, devTenant)
	} else {
		_, key, err = registry.CreateKey(ctx, devTenant)
	}
	if err != nil {
		return nil, "", fmt.Errorf("make the tenant %s: %w", devTenant, err)
	}
	return t, key, os.WriteFile(path, []byte(key+"\n"), 0o600)
}
