package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"github.com/livefn/livefn/internal/client"
	"github.com/livefn/livefn/tenants"
)

// devDrain is how long the hub of `livefn dev` waits for executions when it ends: somebody waits for the prompt.
const devDrain = "2s"

// functionName is what the hub takes as one.
var functionName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

type devCmd struct {
	Dir    string `arg:"" type:"existingdir" help:"Folder with the project."`
	Name   string `help:"The function's name; without it the name in package.json, or the folder's."`
	Listen string `help:"Address to listen on; port 0 takes a free one." default:"127.0.0.1:0"`
	Data   string `help:"Folder of everything the hub keeps; without it one in the user's cache, for each project its own." type:"path" placeholder:"DIR"`
}

// Run serves a project with a hub of its own, and publishes it again whenever it changes, until ctx ends.
func (c *devCmd) Run(ctx context.Context, s *session) error {
	files, left, err := readProject(os.DirFS(c.Dir))
	if err != nil {
		return fmt.Errorf("read %s: %w", c.Dir, err)
	}
	if len(left) > 0 && !s.json {
		fmt.Fprintf(s.note, "left out: %s\n", strings.Join(left, ", "))
	}
	if c.Name == "" {
		if c.Name, err = projectName(c.Dir, files["package.json"]); err != nil {
			return err
		}
	}
	if !functionName.MatchString(c.Name) { // no save would put that right
		return wrongUsage("%q can't be a function's name, which has up to 64 letters, digits, _ and -; give one with --name", c.Name)
	}
	hub := &ServeCmd{}
	if err := kong.ApplyDefaults(hub); err != nil { // the environment's too: LIVEFN_NODE, LIVEFN_NPM
		return err
	}
	hub.Listen, hub.Data, hub.DrainTimeout = c.Listen, c.Data, devDrain
	hub.Isolation = cmp.Or(os.Getenv("LIVEFN_ISOLATION"), isolationAuto)           // it is the developer's own code
	hub.AdminKey, hub.SecretKey, hub.SecretKeyOld, hub.PublicURL = "", "", "", nil // of another hub
	if hub.Data == "" {
		if hub.Data, err = devData(c.Dir); err != nil {
			return err
		}
	}
	shown := &devOutput{out: s.out, json: s.json, dir: relative(c.Dir), name: c.Name}
	d := &dev{session: *s, serve: hub, dir: c.Dir, name: c.Name, shown: shown}
	return hub.serve(ctx, front{
		log:    slog.New(slog.NewTextHandler(s.note, &slog.HandlerOptions{Level: slog.LevelWarn})),
		output: shown.stray,
		attend: func(front context.Context, registry *tenants.Registry, addr string) error {
			return d.attend(ctx, front, registry, addr)
		},
	})
}

// devData gives the data folder of a project: the same one each time, so that packages need not be fetched
// and the key does not change. It is not in the project: there, functions would find the project's own
// node_modules, and so packages that they don't declare.
func devData(dir string) (string, error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil { // there is no home
		cache = os.TempDir()
	}
	sum := sha256.Sum256([]byte(full))
	return filepath.Join(cache, "livefn", "dev", filepath.Base(full)+"-"+hex.EncodeToString(sum[:4])), nil
}

// relative gives a path as one would write it here: from the working folder if it is below that.
func relative(p string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, p); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return p
}

// dev is a project that is served while somebody works on it.
type dev struct {
	session
	serve     *ServeCmd
	dir, name string
	shown     *devOutput
	version   int // the one that answers; 0: none
}

// attend publishes the project, and again at each change until asked ends, and shows what it does until
// ctx ends: also while the hub is drained.
func (d *dev) attend(asked, ctx context.Context, registry *tenants.Registry, addr string) error {
	_, key, err := d.serve.devTenant(ctx, registry)
	if err != nil {
		return err
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	d.hub = &client.Client{URL: "http://" + addr, Key: key, HTTP: &http.Client{Transport: transport}}
	w, err := watch(d.dir)
	if err != nil {
		return err
	}
	defer w.close()
	d.shown.listening(d.hub.URL, key)
	g, ctx := errgroup.WithContext(ctx)
	following := make(chan struct{})
	g.Go(func() error { return d.follow(ctx, following) })
	g.Go(func() error {
		select {
		case <-following: // so that nothing of the first call is missed
		case <-ctx.Done():
			return nil
		}
		return d.republish(asked, ctx, w)
	})
	return g.Wait()
}

// follow shows what executions log and how they fail, until ctx ends. It closes ready once it is told of all.
func (d *dev) follow(ctx context.Context, ready chan struct{}) error {
	for tries := 1; ; tries++ {
		res, err := d.hub.Open(ctx, "/v1/streams/"+allExecutions+"/events")
		if err == nil {
			if ready != nil {
				close(ready)
				ready = nil
			}
			err = client.ReadEvents(res, func(m client.Message) error {
				d.shown.event(m.Data)
				return nil
			})
			_ = res.Close() // it was read to its end
		}
		if ctx.Err() != nil {
			return nil
		}
		if ready != nil {
			return fmt.Errorf("follow the function's executions: %w", err)
		}
		if pauseFor(ctx, backoff(tries)) != nil {
			return nil
		}
	}
}

// republish publishes the project now and at each change.
func (d *dev) republish(asked, ctx context.Context, w *watcher) error {
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(asked, cancel)()
	last := ""
	for {
		if err := d.publish(stop, &last); err != nil && stop.Err() == nil {
			return err
		}
		if err := w.next(stop); err != nil {
			if stop.Err() != nil {
				<-ctx.Done()
				return nil
			}
			return err
		}
	}
}

// publish publishes the project if it differs from the last one that was published. What is wrong with it
// is shown, and the version before goes on: only the hub's own faults are errors.
func (d *dev) publish(ctx context.Context, last *string) error {
	files, _, err := readProject(os.DirFS(d.dir))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // it went while it was read: that is the next change
	case err != nil:
		d.shown.broken("", err.Error(), d.version)
		return nil
	}
	tarball, err := pack(files)
	if err != nil {
		return err
	}
	read := string(tarball)
	if read == *last {
		return nil
	}
	*last = ""
	var log strings.Builder
	v, err := d.upload(ctx, tarball, &log)
	problem, isProblem := errors.AsType[*client.Problem](err)
	switch {
	case isProblem:
		d.shown.broken(problem.Code, problem.Detail, d.version)
		if problem.Code == "install_failed" {
			d.shown.install(log.String())
		}
	case err != nil:
		return err
	default:
		*last = read
		d.version = v.Version
		d.shown.published(v)
	}
	return nil
}

func (d *dev) upload(ctx context.Context, tarball []byte, log *strings.Builder) (v published, err error) {
	result, err := d.session.upload(ctx, d.name, tarball, func(line string) { log.WriteString(line + "\n") })
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal(result, &v)
}
