package conn

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/units"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// publication is the body of a publish.
type publication struct {
	Source       string            `json:"source"`
	Dependencies map[string]string `json:"dependencies"`
	Files        map[string]string `json:"files"`
	Settings     json.RawMessage   `json:"settings"`
}

func (p *publication) read(ctx *fasthttp.RequestCtx) (out tenants.Publication, err error) {
	if err := body(ctx, p, false); err != nil {
		return out, err
	}
	if (p.Source == "") == (p.Files == nil) {
		return out, invalid("The body needs either source or files.")
	}
	out.Source, out.Dependencies = p.Source, p.Dependencies
	if p.Files != nil {
		out.Files = make(map[string][]byte, len(p.Files))
		for name, content := range p.Files {
			out.Files[name] = []byte(content)
		}
	}
	if len(p.Settings) > 0 && string(p.Settings) != "null" {
		settings, err := tenants.ParseSettings(p.Settings)
		if err != nil {
			return out, err
		}
		out.Settings = &settings
	}
	return out, nil
}

// publication reads what is published: JSON, or the tarball that npm pack makes.
func (s *Server) publication(ctx *fasthttp.RequestCtx) (tenants.Publication, error) {
	kind, _, _ := strings.Cut(string(ctx.Request.Header.ContentType()), ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "application/gzip", "application/x-gzip", "application/x-tgz", "application/tar+gzip":
		files, err := s.tenants.Tarball(ctx.PostBody())
		return tenants.Publication{Files: files}, err
	default:
		return new(publication).read(ctx)
	}
}

// published is the answer to a publish.
type published struct {
	Name      string               `json:"name"`
	Version   int                  `json:"version"`
	State     tenants.VersionState `json:"state"`
	Installed map[string]string    `json:"installed"`
	MS        int64                `json:"ms"`
}

func publishedOf(v *tenants.Version) published {
	p := published{v.Function, v.Number, v.State, v.Installed, v.Took.Milliseconds()}
	if p.Installed == nil {
		p.Installed = map[string]string{}
	}
	return p
}

// publish makes a version. Whoever accepts an event stream sees the install's log as it happens.
func (s *Server) publish(ctx *fasthttp.RequestCtx, args []string) error {
	c, err := s.caller(ctx)
	if err != nil {
		return err
	}
	t := c.Tenant // not nil: see rules
	pub, err := s.publication(ctx)
	if err != nil {
		return err
	}
	if wantsEvents(ctx) {
		e := s.newEventStream(ctx, &c, true)
		if err := e.count(); err != nil {
			return err
		}
		if e.hijack(ctx, "") {
			s.spawn(func() { s.publishStream(e, t, args[0], pub) })
		}
		return nil
	}
	v, created, err := s.tenants.Publish(s.life(), t, args[0], pub, nowhere{})
	if err != nil {
		return err
	}
	status := fasthttp.StatusOK
	if created {
		status = fasthttp.StatusCreated
	}
	writeJSON(ctx, status, publishedOf(v))
	return nil
}

// publishStream publishes and tells e of it.
func (s *Server) publishStream(e *eventStream, t *tenants.Tenant, name string, pub tenants.Publication) {
	var b nodebridge.Batch
	log := &logLines{e: e}
	v, _, err := s.tenants.Publish(s.life(), t, name, pub, log)
	log.end()
	if err != nil {
		f := fault.From(err)
		s.logFault(f, "PUT", "/v1/functions/"+name)
		e.last("error", problemOf(f).json(), &b)
	} else {
		result, _ := json.Marshal(publishedOf(v))
		e.last("result", result, &b)
	}
	b.Flush()
}

// nowhere takes a log at which nobody looks; the version keeps it anyway.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// logLines sends each line that is written to it as an event `log {line}`.
type logLines struct {
	e    *eventStream
	mu   sync.Mutex // guards rest: a process's two outputs may write at once
	rest []byte
}

// maxLine is where a line without an end is broken.
const maxLine = 64 << 10

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) < maxLine {
			return len(p), nil
		}
		if i < 0 {
			i = len(l.rest) - 1
		}
		l.send(bytes.TrimRight(l.rest[:i+1], "\r\n"))
		l.rest = l.rest[i+1:]
	}
}

func (l *logLines) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.send(l.rest)
	}
}

func (l *logLines) send(line []byte) {
	b, _ := json.Marshal(map[string]string{"line": string(line)})
	l.e.send("log", b, nil)
}

func (s *Server) listFunctions(ctx *fasthttp.RequestCtx, _ []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	return reply(ctx, listOf(t.Functions()), nil)
}

func (s *Server) getFunction(ctx *fasthttp.RequestCtx, args []string) error {
	fn, err := s.function(ctx, args[0])
	return reply(ctx, fn, err)
}

func (s *Server) function(ctx *fasthttp.RequestCtx, name string) (*tenants.Function, error) {
	t, err := s.tenant(ctx)
	if err != nil {
		return nil, err
	}
	return t.Function(name)
}

func (s *Server) deleteFunction(ctx *fasthttp.RequestCtx, args []string) error {
	return s.deleted(ctx, func(life context.Context, t *tenants.Tenant, drain bool) error {
		return s.tenants.DeleteFunction(life, t, args[0], drain)
	})
}

func (s *Server) deleteVersion(ctx *fasthttp.RequestCtx, args []string) error {
	number, err := strconv.Atoi(args[1])
	if err != nil {
		return fault.New(fault.NotFound, "The function %q has no version %q.", args[0], args[1])
	}
	return s.deleted(ctx, func(life context.Context, t *tenants.Tenant, drain bool) error {
		return s.tenants.DeleteVersion(life, t, args[0], number, drain)
	})
}

// Bounds of a drain before a deletion.
const (
	drainDefault = 30 * time.Second
	drainMax     = time.Hour
)

// deleted has f delete what nothing is on. With ?drain=true, or a time, what runs on it is waited for.
func (s *Server) deleted(ctx *fasthttp.RequestCtx, f func(life context.Context, t *tenants.Tenant, drain bool) error) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	life, drain := s.life(), time.Duration(0)
	switch text := string(ctx.QueryArgs().Peek("drain")); text {
	case "", "false":
	case "true":
		drain = drainDefault
	default:
		d, err := units.ParseDuration(text)
		if drain = time.Duration(d); err != nil || drain <= 0 || drain > drainMax {
			return invalid(`drain must be true, or a time up to 1h like "90s".`)
		}
	}
	if drain > 0 {
		within, cancel := context.WithTimeout(life, drain)
		defer cancel()
		life = within
	}
	return none(ctx, f(life, t, drain > 0))
}

func (s *Server) listVersions(ctx *fasthttp.RequestCtx, args []string) error {
	fn, err := s.function(ctx, args[0])
	if err != nil {
		return err
	}
	return reply(ctx, listOf(fn.Versions()), nil)
}

// getVersion shows a version with its files, lock file and install log.
func (s *Server) getVersion(ctx *fasthttp.RequestCtx, args []string) error {
	fn, err := s.function(ctx, args[0])
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(args[1])
	if args[1] == "latest" {
		number, err = fn.Latest, nil
	}
	v := fn.Version(number)
	if err != nil || v == nil {
		return fault.New(fault.NotFound, "The function %q has no version %q.", args[0], args[1])
	}
	view, err := versionView(v)
	return reply(ctx, view, err)
}

// versionView gives a version's own members, and files, lock and log.
func versionView(v *tenants.Version) (json.RawMessage, error) {
	files, err := v.Source()
	if err != nil {
		return nil, err
	}
	lock, err := v.Lock()
	if err != nil {
		return nil, err
	}
	log, err := v.Log()
	if err != nil {
		return nil, err
	}
	text := make(map[string]string, len(files))
	for name, b := range files {
		text[name] = string(b)
	}
	own, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	more, err := json.Marshal(struct {
		Files map[string]string `json:"files"`
		Lock  string            `json:"lock,omitempty"`
		Log   string            `json:"log"`
	}{text, string(lock), string(log)})
	return append(append(own[:len(own)-1], ','), more[1:]...), err // two objects as one: both have members
}
