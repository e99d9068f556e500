package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/livefn/livefn/internal/sandbox"
)

// doctorCmd says what this machine can do and what it lacks. It asks no hub.
type doctorCmd struct {
	Data string `help:"Folder of everything the hub keeps, or will." default:"./data" env:"LIVEFN_DATA" type:"path"`
	Node string `help:"The node program that runs functions." default:"node" env:"LIVEFN_NODE"`
	Npm  string `help:"The npm program that installs packages." default:"npm" env:"LIVEFN_NPM"`
}

// States of a finding.
const (
	fine = "ok"
	weak = "warning" // the hub works, with less than it could
	bad  = "missing" // the hub, with its defaults, does not work
)

// finding is one thing that was looked at.
type finding struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Found string `json:"found"`
	Do    string `json:"do,omitempty"` // what helps
}

const (
	nodeMajor  = 20      // the oldest that runs functions
	fewFiles   = 65_536  // open files: a WebSocket takes one, a bridge four
	littleDisk = 1 << 30 // bytes
	askTime    = 10 * time.Second
)

// Run exits with 1 if something is missing.
func (c *doctorCmd) Run(ctx context.Context, s *session) error {
	findings := []finding{
		c.system(),
		c.walls(),
		warmth(),
		c.user(os.Geteuid()),
		cgroups(os.DirFS("/")),
		program(ctx, "node", c.Node, func(version string) (string, string) {
			major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
			if n, err := strconv.Atoi(major); err != nil || n < nodeMajor {
				return bad, fmt.Sprintf("Install Node %d or newer, or name one with --node.", nodeMajor)
			}
			return fine, ""
		}, "Install Node, or say where it is with --node."),
		program(ctx, "npm", c.Npm, nil, "Install npm, or say where it is with --npm: functions with dependencies can't be published without it."),
		openFiles(),
		c.disk(),
	}
	lacks := slices.ContainsFunc(findings, func(f finding) bool { return f.State == bad })
	if s.json {
		if err := s.print(struct {
			OK       bool      `json:"ok"`
			Findings []finding `json:"findings"`
		}{!lacks, findings}); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			if err := s.say("%-8s %-12s %s", f.State, f.Name, f.Found); err != nil {
				return err
			}
			if f.Do != "" {
				if err := s.say("%-21s → %s", "", f.Do); err != nil {
					return err
				}
			}
		}
	}
	if lacks {
		return errors.New("something that the hub needs is missing")
	}
	return nil
}

func (c *doctorCmd) system() finding {
	f := finding{"system", fine, runtime.GOOS + "/" + runtime.GOARCH, ""}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		f.Found += ", kernel " + strings.TrimSpace(string(release))
	}
	if runtime.GOOS != "linux" {
		f.State, f.Do = weak, "Walls around functions need Linux; elsewhere livefn is for code that you trust."
	}
	return f
}

// walls builds some: that tells more than any setting of the kernel.
func (c *doctorCmd) walls() finding {
	start := time.Now()
	if _, err := sandbox.Find(); err != nil {
		return finding{"walls", bad, err.Error(), "Or run code that you trust only, with --isolation=none."}
	}
	return finding{"walls", fine, fmt.Sprintf("bubblewrap, namespaces and seccomp work (tried in %s)", time.Since(start).Round(time.Millisecond)), ""}
}

// warmth is about processes that are kept ready for tenants to come.
func warmth() finding {
	if _, err := exec.LookPath("nsenter"); err != nil {
		return finding{"warm", weak, err.Error(), "Install util-linux: without nsenter no process is kept warm, and a tenant's first call waits for Node to start."}
	}
	return finding{"warm", fine, "nsenter is there", ""}
}

func (c *doctorCmd) user(uid int) finding {
	if uid == 0 {
		return finding{"user", weak, "root", "Run the hub as a user of its own: walls hold better around processes that are not root's."}
	}
	return finding{"user", fine, "not root", ""}
}

// cgroups looks for what could hold the limits of bridges. fsys is the root of the file system.
func cgroups(fsys fs.FS) finding {
	const do = "Bridges are then bounded by no more than the hub's own watching. With systemd, Delegate=yes in the hub's unit gives it cgroups."
	if controllers, err := fs.ReadFile(fsys, "sys/fs/cgroup/cgroup.controllers"); err == nil {
		own, err := fs.ReadFile(fsys, "proc/self/cgroup")
		path, ok := strings.CutPrefix(strings.TrimSpace(string(own)), "0::")
		if err != nil || !ok {
			return finding{"cgroups", weak, "version 2; the hub's own is unknown", do}
		}
		var lacks []string
		for _, name := range []string{"cpu", "memory", "pids"} {
			if !slices.Contains(strings.Fields(string(controllers)), name) {
				lacks = append(lacks, name)
			}
		}
		info, err := fs.Stat(fsys, filepath.Join("sys/fs/cgroup", path, "cgroup.procs"))
		switch {
		case len(lacks) > 0:
			return finding{"cgroups", weak, "version 2, without " + strings.Join(lacks, ", "), do}
		case err != nil || !mayWrite(info):
			return finding{"cgroups", weak, "version 2, not delegated to this user", do}
		}
		return finding{"cgroups", fine, "version 2, delegated", ""}
	}
	if _, err := fs.Stat(fsys, "sys/fs/cgroup/memory"); err == nil {
		return finding{"cgroups", weak, "version 1", do}
	}
	return finding{"cgroups", weak, "none", do}
}

// program asks a program for its version. judge, if there is one, gives state and advice.
func program(ctx context.Context, name, path string, judge func(version string) (state, do string), missing string) finding {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return finding{name, bad, err.Error(), missing}
	}
	line, _, _ := bytes.Cut(out, []byte("\n"))
	version := string(bytes.TrimSpace(line))
	f := finding{name, fine, version, ""}
	if judge != nil {
		f.State, f.Do = judge(version)
	}
	return f
}

// nearest gives the first folder above path that exists.
func nearest(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}
