// Package cli is the livefn program: `serve` runs a hub, all other commands are users of one, through
// the public API alone. cli.go parses and dispatches; each noun's commands stand in a file of its own.
//
// Output is for people on a terminal, and JSON with --json; what went wrong goes to standard error.
// Every command ends with one of three codes: 0 done, 1 the function or request failed, 2 wrong usage.
package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/livefn/livefn/internal/client"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// defaultURL is where a hub listens that was not told otherwise.
const defaultURL = "http://127.0.0.1:8080"

// commands is the program's grammar.
type commands struct {
	URL    string     `name:"url" help:"The hub; http://127.0.0.1:8080 without it." placeholder:"URL" env:"LIVEFN_URL" group:"global"`
	Key    string     `help:"Key to sign in with." placeholder:"KEY" env:"LIVEFN_KEY" group:"global"`
	Tenant string     `help:"Tenant to act as, with the operator's key." placeholder:"NAME" env:"LIVEFN_TENANT" group:"global"`
	JSON   bool       `name:"json" help:"Print JSON for programs." group:"global"`
	Config configFile `help:"YAML file with defaults for flags; flags and environment go before it." placeholder:"FILE" group:"global"`

	Serve     ServeCmd     `cmd:"" help:"Run a hub."`
	Dev       devCmd       `cmd:"" help:"Serve the project in a folder, and publish it again whenever it changes."`
	Publish   publishCmd   `cmd:"" help:"Publish a folder with a Node project as a function's next version."`
	Invoke    invokeCmd    `cmd:"" help:"Call a function and print its result."`
	Start     startCmd     `cmd:"" help:"Start a durable execution and print its id."`
	Ps        psCmd        `cmd:"" help:"List executions, newest first."`
	Tail      tailCmd      `cmd:"" help:"Print events as they happen."`
	Send      sendCmd      `cmd:"" help:"Send an event into an execution."`
	Pause     pauseCmd     `cmd:"" help:"Ask an execution to pause."`
	Resume    resumeCmd    `cmd:"" help:"Resume a paused execution."`
	Cancel    cancelCmd    `cmd:"" help:"Cancel an execution."`
	Retry     retryCmd     `cmd:"" help:"Run an execution again that failed or was cancelled."`
	Logs      logsCmd      `cmd:"" help:"Print what an execution logs, or all of a function's; with -f as it happens."`
	Functions functionsCmd `cmd:"" help:"List functions."`
	Alias     aliasCmd     `cmd:"" help:"List a function's aliases, set, roll back and delete them."`
	Triggers  triggersCmd  `cmd:"" help:"List, make and delete triggers: schedules, and patterns over streams."`
	Tenants   tenantsCmd   `cmd:"" help:"Make, list and delete tenants (operator)."`
	Keys      keysCmd      `cmd:"" help:"Make, list and delete a tenant's keys (operator)."`
	Bridges   bridgesCmd   `cmd:"" help:"List Node processes, and those that ended last."`
	Limits    limitsCmd    `cmd:"" help:"Show and set what a tenant may take (operator)."`
	Packages  packagesCmd  `cmd:"" help:"Show and change how packages are installed: registries, their tokens, and whether scripts run."`
	Origins   originsCmd   `cmd:"" help:"Show and set whose pages may act as the tenant."`
	Token     tokenCmd     `cmd:"" help:"Mint and revoke tokens for pages, and manage their keys."`
	Backup    backupCmd    `cmd:"" help:"Write a backup of a running hub into a file (operator)."`
	Restore   restoreCmd   `cmd:"" help:"Make a data folder of a backup."`
	Secrets   secretsCmd   `cmd:"" help:"Make a key for secrets at rest (operator)."`
	Load      loadCmd      `cmd:"" help:"Measure calls against a hub, or beside other servers."`
	Doctor    doctorCmd    `cmd:"" help:"Say what this machine can do for a hub, and what it lacks."`
	Keeper    keeperCmd    `cmd:"" hidden:"" help:"Hold the mounts through which warm processes see functions; the hub starts it."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// session is what a command works with.
type session struct {
	hub  *client.Client
	in   io.Reader
	out  io.Writer
	note io.Writer // for people, beside the result: progress, hints
	json bool
}

// usageError is a mistake in how the program was called.
type usageError struct {
	error
	command string // whose help says more; "": the program's
}

func wrongUsage(format string, args ...any) error {
	return usageError{error: fmt.Errorf(format, args...)}
}

// commandOf gives the command that was chosen, with a space before it.
func commandOf(k *kong.Context) string {
	n := k.Selected()
	if n == nil {
		for _, p := range k.Path { // one that wants another behind it
			if p.Command != nil {
				n = p.Command
			}
		}
	}
	var name string
	for ; n != nil && n.Type == kong.CommandNode; n = n.Parent {
		if n.Parent == nil || n.Parent.DefaultCmd != n {
			name = " " + n.Name + name
		}
	}
	return name
}

// exited carries an exit code out of kong, which wants to exit by itself after --help.
type exited int

// Run is the program: it does what args say and gives the exit code.
func Run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) (code int) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case exited:
			code = int(e)
		default:
			panic(e)
		}
	}()
	var c commands
	parser, err := kong.New(&c,
		kong.Name("livefn"),
		kong.Description("Functions that are fast to call, live to watch, and can be paused."),
		kong.Writers(out, errs),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ExplicitGroups([]kong.Group{{Key: "global", Title: "Global flags:"}}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.BindTo(out, (*io.Writer)(nil)),
	)
	if err != nil {
		return complain(errs, false, err)
	}
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case len(args) == 1 && args[0] == "--version": // what many programs know
		args = []string{"version"}
	}
	k, err := parser.Parse(shield(args))
	if err != nil {
		wrong := usageError{error: err}
		if p, ok := errors.AsType[*kong.ParseError](err); ok {
			wrong.command = commandOf(p.Context)
		}
		return complain(errs, c.JSON, wrong)
	}
	if u, err := url.Parse(c.URL); c.URL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return complain(errs, c.JSON, wrongUsage("%q is not a hub's URL like %s", c.URL, defaultURL))
	}
	hub := &client.Client{URL: cmp.Or(c.URL, defaultURL), Key: c.Key, Tenant: c.Tenant}
	if err := k.Run(&session{hub: hub, in: in, out: out, note: errs, json: c.JSON}, &c); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return exitFailed // Ctrl-C needs no explanation
		}
		if wrong, ok := errors.AsType[usageError](err); ok {
			wrong.command = commandOf(k)
			err = wrong
		}
		return complain(errs, c.JSON, err)
	}
	return exitDone
}

// complain says what went wrong and gives the exit code for it.
func complain(w io.Writer, asJSON bool, err error) int {
	code := exitFailed
	usage, wrong := errors.AsType[usageError](err)
	if wrong {
		code = exitUsage
	}
	if errors.Is(err, errReported) {
		return code
	}
	problem, isProblem := errors.AsType[*client.Problem](err)
	if asJSON {
		var line any = problem
		if !isProblem {
			kind := "failed"
			if wrong {
				kind = "usage"
			}
			line = map[string]string{"code": kind, "detail": err.Error()}
		}
		b, _ := json.Marshal(line) // strings and numbers
		fmt.Fprintf(w, "%s\n", b)
		return code
	}
	switch {
	case wrong:
		fmt.Fprintf(w, "livefn: %v\nSee livefn%s --help.\n", usage, usage.command)
	case isProblem:
		fmt.Fprintf(w, "livefn: %v\n", problem)
		if problem.Stack != "" {
			fmt.Fprintf(w, "%s\n", indent(problem.Stack))
		}
		if h := hint(problem); h != "" {
			fmt.Fprintln(w, h)
		}
	default:
		op, ok := errors.AsType[*net.OpError](err)
		if u, isURL := errors.AsType[*url.Error](err); ok && op.Op == "dial" && isURL {
			fmt.Fprintf(w, "livefn: %s cannot be reached: %v\n", origin(u.URL), op.Err)
			fmt.Fprintf(w, "Is a hub running there? Start one with `livefn serve`, or set LIVEFN_URL.\n")
			return code
		}
		fmt.Fprintf(w, "livefn: %v\n", err)
	}
	return code
}

// hint says what to do about a problem where the hub can't know how it is done here.
func hint(p *client.Problem) string {
	switch {
	case p.Code == "unauthorized":
		return "Set LIVEFN_KEY, or --key; for tenants and keys LIVEFN_ADMIN_KEY, or --admin-key."
	case p.Code == "forbidden" && strings.Contains(p.Detail, "admin key"):
		return "Set LIVEFN_ADMIN_KEY, or --admin-key."
	case p.Code == "invalid_request" && strings.Contains(p.Detail, "Livefn-Tenant"):
		return "Set LIVEFN_TENANT, or --tenant."
	}
	return ""
}

// origin gives the part of a URL that says which hub.
func origin(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return link
	}
	return u.Scheme + "://" + u.Host
}

// errReported ends a command whose output has said all already.
var errReported = errors.New("failed")

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n    ")
}

// shield puts a space, which JSON allows, before negative numbers: kong would take them for flags.
func shield(args []string) []string {
	args = slices.Clone(args)
	for i, a := range args {
		if len(a) > 1 && a[0] == '-' && a[1] >= '0' && a[1] <= '9' {
			args[i] = " " + a
		}
	}
	return args
}
