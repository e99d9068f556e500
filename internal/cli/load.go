package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/livefn/livefn/loadtest"
)

type loadCmd struct {
	Run     loadRunCmd     `cmd:"" default:"withargs" help:"Call one function again and again; the default."`
	Compare loadCompareCmd `cmd:"" help:"Measure livefn beside fasthttp, node:http and ws on this machine; without --url, a hub is started for it."`
	Durable loadDurableCmd `cmd:"" help:"Measure durable executions and a drain, with a hub that is started for it."`
	FanOut  loadFanOutCmd  `cmd:"" name:"fanout" help:"Measure one event to many subscribers beside the centrifuge library and a bare loop; wants Go."`
	Idle    loadIdleCmd    `cmd:"" help:"Measure the memory of idle subscribed connections."`
	Storm   loadStormCmd   `cmd:"" help:"Drop subscribed clients all at once, and measure how they come back."`
	Large   loadLargeCmd   `cmd:"" help:"Measure small calls beside payloads of 60 MiB of the same tenant."`
	Flood   loadFloodCmd   `cmd:"" help:"Measure one tenant's calls beside another tenant that floods the hub."`
	Soak    loadSoakCmd    `cmd:"" help:"Load a hub with everything at once for long, and see whether what it uses grows."`
	Peer    loadPeerCmd    `cmd:"" hidden:"" help:"Run a peer of a comparison."`
}

type loadRunCmd struct {
	Name string   `arg:"" help:"Function, or function@version."`
	Args []string `arg:"" optional:"" name:"json" help:"Its arguments: JSON, @FILE, or - for standard input."`

	WS          bool          `name:"ws" help:"Over WebSockets, in place of HTTP."`
	Connections int           `help:"Connections." default:"64" short:"c"`
	InFlight    int           `help:"Calls on one WebSocket at once; 16 without it." short:"i"`
	Rate        float64       `help:"Calls each second at a constant rate (open loop); without it, as fast as answers come." short:"r"`
	Duration    time.Duration `help:"How long to measure." default:"10s" short:"d"`
	WarmUp      time.Duration `help:"How long to load before." default:"1s"`
	Timeout     time.Duration `help:"For each call." default:"10s"`
	Expect      string        `help:"JSON that every result must be." placeholder:"JSON"`
}

func (c *loadRunCmd) Run(ctx context.Context, s *session) error {
	args, err := s.arguments(c.Args)
	if err != nil {
		return err
	}
	list, err := json.Marshal(args)
	if err != nil {
		return err
	}
	if c.Connections < 1 || c.InFlight < 0 || c.Rate < 0 || c.Duration <= 0 || c.WarmUp < 0 || c.Timeout <= 0 {
		return wrongUsage("connections, duration and timeout must be above zero, and nothing below it")
	}
	if !c.WS && c.InFlight > 1 {
		return wrongUsage("over HTTP/1.1 a connection carries one call at a time; use more connections, or --ws")
	}
	scenario := loadtest.Scenario{
		URL: s.hub.URL, Key: s.hub.Key, Tenant: s.hub.Tenant, Function: c.Name, Args: list, Expect: json.RawMessage(c.Expect),
		Connections: c.Connections, InFlight: c.InFlight, Rate: c.Rate, Duration: c.Duration, WarmUp: c.WarmUp, Timeout: c.Timeout,
	}
	if c.WS {
		scenario.Transport = loadtest.WebSocket
	}
	report, err := scenario.Run(ctx)
	if err != nil {
		return err
	}
	return s.figures(report, report.Failed() == 0)
}

// itself gives the path of this program, which runs the hubs and peers that are measured.
func itself() (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the livefn program: %w", err)
	}
	return program, nil
}

// figures prints what was measured; if it is not whole, the command fails.
func (s *session) figures(f interface{ Print(w io.Writer) error }, whole bool) error {
	show := func() error { return f.Print(s.out) }
	if s.json {
		show = func() error { return s.print(f) }
	}
	if err := show(); err != nil {
		return err
	}
	if !whole {
		return errReported
	}
	return nil
}

type loadCompareCmd struct {
	Rounds   int           `help:"Interleaved rounds." default:"5"`
	Duration time.Duration `help:"Of each measurement." default:"2s"`
	WarmUp   time.Duration `help:"Before each measurement." default:"500ms"`
	Node     string        `help:"The node program." default:"node" env:"LIVEFN_NODE"`
	Npm      string        `help:"The npm program, which gets the package ws at the first use." default:"npm" env:"LIVEFN_NPM"`
}

func (c *loadCompareCmd) Run(ctx context.Context, s *session, all *commands) error {
	if c.Rounds < 1 || c.Duration <= 0 || c.WarmUp < 0 {
		return wrongUsage("rounds and duration must be above zero")
	}
	program, err := itself()
	if err != nil {
		return err
	}
	comparison := loadtest.Comparison{
		Livefn: program, URL: all.URL, Node: c.Node, Npm: c.Npm, Rounds: c.Rounds, Duration: c.Duration, WarmUp: c.WarmUp, Log: s.note,
	}
	if all.URL != "" {
		comparison.Key = s.hub.Key
	}
	figures, err := comparison.Run(ctx)
	if err != nil {
		return err
	}
	return s.figures(figures, figures.Complete())
}

type loadDurableCmd struct {
	Duration time.Duration `help:"Of each measurement of a rate." default:"5s"`
	WarmUp   time.Duration `help:"Before each measurement." default:"1s"`
	Hold     int           `help:"Executions that run when the hub is drained." default:"10000"`
	Node     string        `help:"The node program." default:"node" env:"LIVEFN_NODE"`
}

func (c *loadDurableCmd) Run(ctx context.Context, s *session) error {
	if c.Hold < 1 || c.Hold > 10_000 || c.Duration <= 0 || c.WarmUp < 0 {
		return wrongUsage("hold is 1 to 10000, as many as run at once, and duration is above zero")
	}
	program, err := itself()
	if err != nil {
		return err
	}
	figures, err := loadtest.Durability{
		Livefn: program, Node: c.Node, Duration: c.Duration, WarmUp: c.WarmUp, Hold: c.Hold, Log: s.note,
	}.Run(ctx)
	if err != nil {
		return err
	}
	return s.figures(figures, true)
}

type loadFanOutCmd struct {
	Subscribers int           `help:"Subscribers." default:"1000"`
	Rounds      int           `help:"Interleaved rounds." default:"5"`
	Duration    time.Duration `help:"Of each measurement." default:"2s"`
	Node        string        `help:"The node program." default:"node" env:"LIVEFN_NODE"`
}

func (c *loadFanOutCmd) Run(ctx context.Context, s *session) error {
	if c.Subscribers < 1 || c.Rounds < 1 || c.Duration <= 0 {
		return wrongUsage("subscribers, rounds and duration must be above zero")
	}
	program, err := itself()
	if err != nil {
		return err
	}
	figures, err := loadtest.FanOut{
		Livefn: program, Node: c.Node, Subscribers: c.Subscribers, Rounds: c.Rounds, Duration: c.Duration, Log: s.note,
	}.Run(ctx)
	if err != nil {
		return err
	}
	return s.figures(figures, figures.Complete())
}

type loadIdleCmd struct {
	Connections int           `help:"Connections. What the limit on open files does not let one hub have is shared among several." default:"10000"`
	Network     int           `help:"Their addresses are 127.0.NETWORK.2 and on." default:"0" hidden:""`
	Settle      time.Duration `help:"From the last connection to the measurement." default:"30s"`
	Node        string        `help:"The node program." default:"node" env:"LIVEFN_NODE"`
}

func (c *loadIdleCmd) Run(ctx context.Context, s *session) error {
	if c.Connections < 1 || c.Network < 0 || c.Network > 255 || c.Settle <= 0 {
		return wrongUsage("connections and settle must be above zero, and network a number of an address")
	}
	program, err := itself()
	if err != nil {
		return err
	}
	figures, err := loadtest.Idle{Livefn: program, Node: c.Node, Connections: c.Connections, Network: c.Network, Settle: c.Settle, Log: s.note}.Run(ctx)
	if err != nil {
		return err
	}
	return s.figures(figures, true)
}

type loadStormCmd struct {
	Clients int           `help:"Clients; the limit on open files bounds them." default:"10000"`
	Streams int           `help:"Streams; each client is subscribed to one." default:"100"`
	Calm    time.Duration `help:"Before the storm, and after it." default:"2s"`
	Node    string        `help:"The node program." default:"node" env:"LIVEFN_NODE"`
}

func (c *loadStormCmd) Run(ctx context.Context, s *session) error {
	if c.Clients < 1 || c.Streams < 1 || c.Calm <= 0 {
		return wrongUsage("clients, streams and calm must be above zero")
	}
	program, err := itself()
	if err != nil {
		return err
	}
	figures, err := loadtest.Storm{Livefn: program, Node: c.Node, Clients: c.Clients, Streams: c.Streams, Calm: c.Calm, Log: s.note}.Run(ctx)
	if err != nil {
		return err
	}
	return s.figures(figures, figures.Whole())
}

type loadLargeCmd struct {
	Bytes    int           `help:"Of a large payload." default:"62914560"`
	Rate     float64       `help:"Small calls each second." default:"2000"`
	Rounds   int           `help:"Interleaved rounds." default:"5"`
	Duration time.Duration `help:"Of each measurement." default:"2s"`
	Node     string        `help:"The node program." default:"node" env:"LIVEFN_NODE"`
}

func (c *loadLargeCmd) Run(ctx context.Context, s *session) error {
	if c.Bytes < 16 || c.Rate <= 0 || c.Rounds < 1 || c.Duration <= 0 {
		return wrongUsage("bytes (16 at least), rate, rounds and duration must be above zero")
	}
	program, err := itself()
	if err != nil {
		return err
	}
	figures, err := loadtest.Large{Livefn: program, Node: c.Node, Bytes: c.Bytes, Rate: c.Rate, Rounds: c.Rounds, Duration: c.Duration, Log: s.note}.Run(ctx)
	if err != nil {
		return err
	}
	return s.figures(figures, figures.Whole())
}

type loadFloodCmd struct {
	Rate        float64       `help:"Calls each second of the tenant that is measured." default:"1000"`
	Limit       float64       `help:"Calls each second that the other one may make (callRate)." default:"1000"`
	Connections int           `help:"Of the other one." default:"64" short:"c"`
	Rounds      int           `help:"Interleaved rounds." default:"5"`
	Duration    time.Duration `help:"Of each measurement." default:"2s"`
	Node        string        `help:"The node program." default:"node" env:"LIVEFN_NODE"`
}

func (c *loadFloodCmd) Run(ctx context.Context, s *session) error {
	if c.Rate <= 0 || c.Limit <= 0 || c.Connections < 1 || c.Rounds < 1 || c.Duration <= 0 {
		return wrongUsage("rate, limit, connections, rounds and duration must be above zero")
	}
	program, err := itself()
	if err != nil {
		return err
	}
	figures, err := loadtest.Flood{Livefn: program, Node: c.Node, Rate: c.Rate, Limit: c.Limit, Connections: c.Connections,
		Rounds: c.Rounds, Duration: c.Duration, Log: s.note}.Run(ctx)
	if err != nil {
		return err
	}
	return s.figures(figures, figures.Whole())
}

type loadSoakCmd struct {
	Duration time.Duration `help:"How long." default:"10m" short:"d"`
	Node     string        `help:"The node program." default:"node" env:"LIVEFN_NODE"`
}

func (c *loadSoakCmd) Run(ctx context.Context, s *session) error {
	if c.Duration < time.Second {
		return wrongUsage("duration must be a second at least")
	}
	program, err := itself()
	if err != nil {
		return err
	}
	figures, err := loadtest.Soak{Livefn: program, Node: c.Node, Duration: c.Duration, Log: s.note}.Run(ctx)
	if err != nil {
		return err
	}
	return s.figures(figures, figures.Whole())
}

type loadPeerCmd struct {
	Echo loadEchoCmd `cmd:"" help:"fasthttp, sending back what it gets."`
	Loop loadLoopCmd `cmd:"" help:"One frame to one socket after the other."`
	Move loadMoveCmd `cmd:"" help:"Calls with large payloads."`
}

type loadEchoCmd struct{}

func (*loadEchoCmd) Run(ctx context.Context, out io.Writer) error { return loadtest.Echo(ctx, out) }

type loadLoopCmd struct {
	Shards int `help:"Goroutines that share the sockets." default:"1"`
}

func (c *loadLoopCmd) Run(ctx context.Context, out io.Writer) error {
	return loadtest.Loop(ctx, out, c.Shards)
}

type loadMoveCmd struct {
	What  string `help:"Which payloads." enum:"arguments-bytes,arguments-json,results-bytes,results-json,events-out" required:""`
	Bytes int    `help:"Of one." required:""`
}

func (c *loadMoveCmd) Run(ctx context.Context, s *session) error {
	return loadtest.Move{URL: s.hub.URL, Key: s.hub.Key, What: c.What, Bytes: c.Bytes}.Run(ctx, s.out)
}
