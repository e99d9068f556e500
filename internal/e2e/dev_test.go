package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// devProcess is a `livefn dev` on a project in a temporary folder.
type devProcess struct {
	*hub
	dir   string
	lines chan devLine
}

// devLine is what it prints with --json, but for times.
type devLine struct {
	Type, URL, Key, Dashboard string
	Name                      string
	Version, Serving          int
	Code, Detail, Log         string
	Execution, Level, Message string
	Error                     struct{ Code, Message, Name, Stack string }
}

func startDev(t *testing.T, files map[string]string) *devProcess {
	t.Helper()
	home := t.TempDir()
	d := &devProcess{hub: &hub{t: t, home: home, output: &output{}}, dir: filepath.Join(home, "work", "count"), lines: make(chan devLine, 1000)}
	for name, text := range files {
		d.save(name, text)
	}
	d.run()
	t.Cleanup(func() {
		d.interrupt()
		if t.Failed() {
			t.Logf("what it said:\n%s", d.output.tail())
		}
	})
	return d
}

func (d *devProcess) run() {
	d.t.Helper()
	temporary := filepath.Join(d.home, "tmp")
	if err := os.MkdirAll(temporary, 0o755); err != nil {
		d.t.Fatal(err)
	}
	d.cmd = exec.Command(program, "dev", "--json", "count")
	d.cmd.Dir = filepath.Dir(d.dir)
	d.cmd.Env = append(os.Environ(), "TMPDIR="+temporary, "XDG_CACHE_HOME="+filepath.Join(d.home, "cache"), "LIVEFN_DATA=/nowhere", "LIVEFN_LISTEN=nowhere",
		"npm_config_registry="+registry.server.URL)
	d.cmd.Stderr = d.output
	r, w, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	d.cmd.Stdout = w
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	_ = w.Close()
	exited := make(chan struct{})
	d.exited = exited
	go func() {
		d.err = d.cmd.Wait()
		close(exited)
	}()
	go func() {
		defer func() { _ = r.Close() }()
		for lines := bufio.NewScanner(r); lines.Scan(); {
			_, _ = fmt.Fprintln(d.output, lines.Text())
			var l devLine
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				l = devLine{Type: "no JSON", Detail: lines.Text()}
			}
			d.lines <- l
		}
	}()
	l := d.next("listening")
	d.url, d.key = l.URL, l.Key
}

// save writes a file as editors do: beside it first, and then in its place.
func (d *devProcess) save(name, text string) {
	d.t.Helper()
	file := filepath.Join(d.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		d.t.Fatal(err)
	}
	beside := file + "~"
	if err := os.WriteFile(beside, []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(beside, file); err != nil {
		d.t.Fatal(err)
	}
}

// next waits for a line of one of the types, past others.
func (d *devProcess) next(types ...string) devLine {
	d.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case l := <-d.lines:
			if l.Type == "no JSON" {
				d.t.Fatalf("it printed %q", l.Detail)
			}
			if slices.Contains(types, l.Type) {
				return l
			}
		case <-d.exited:
			d.t.Fatalf("it ended with %v while the test waited for %v\n%s", d.err, types, d.output.tail())
		case <-timeout:
			d.t.Fatalf("no line of the types %v\n%s", types, d.output.tail())
		}
	}
}

func (d *devProcess) wantNext(want devLine) {
	d.t.Helper()
	if got := d.next("published", "broken", "log", "failed"); !reflect.DeepEqual(got, want) {
		d.t.Errorf("it says\n%+v, want\n%+v", got, want)
	}
}

func (d *devProcess) wantAnswer(want string) {
	d.t.Helper()
	if got := strings.TrimSpace(string(d.http().raw("POST", "/v1/invoke/count", nil).body)); got != want {
		d.t.Errorf("it answers %s, want %s", got, want)
	}
}

// interrupt is Ctrl-C; it must leave nothing running.
func (d *devProcess) interrupt() {
	d.t.Helper()
	select {
	case <-d.exited:
		return
	default:
	}
	_ = d.cmd.Process.Signal(syscall.SIGINT)
	d.gone()
	if d.err != nil {
		d.t.Errorf("it ended with %v\n%s", d.err, d.output.tail())
	}
}

// The loop of somebody who writes a function: save, look, save.
func TestDevServesWhatWasSavedLast(t *testing.T) {
	d := startDev(t, map[string]string{"index.js": "module.exports = () => 1"})
	ready := func(version int) devLine { return devLine{Type: "published", Name: "count", Version: version} }
	d.wantNext(ready(1))
	d.wantAnswer("1")

	d.save("index.js", "module.exports = () => 2")
	d.wantNext(ready(2))
	d.wantAnswer("2")

	d.save("index.js", "module.exports = () => 1") // undone: what was once published
	d.wantNext(ready(3))
	d.wantAnswer("1")

	d.save("index.js", "module.exports = () => {\n  return (4\n}\n")
	broken := d.next("broken")
	if broken.Code != "version_broken" || broken.Serving != 3 || !strings.Contains(broken.Detail, "SyntaxError: count/index.js:3: Unexpected token '}'") {
		t.Errorf("a syntax error is told as %+v", broken)
	}
	d.wantAnswer("1") // the last good one goes on

	d.save("lib/deep/n.js", "module.exports = 5") // in folders that are new
	d.save("index.js", "module.exports = () => require('./lib/deep/n')")
	d.wantPublished("5")
	d.save("lib/deep/n.js", "module.exports = 6")
	d.wantPublished("6")

	d.save("package.json", `{"dependencies": {"lodash": "^4", "no-such-package": "1"}}`)
	if broken := d.next("broken"); broken.Code != "install_failed" || !strings.Contains(broken.Detail, "The package no-such-package does not exist") {
		t.Errorf("a package that does not exist is told as %+v", broken)
	}
	if log := d.next("install").Log; !strings.Contains(log, "E404") {
		t.Errorf("the install's log is %q", log)
	}
	d.wantAnswer("6")
	d.save("package.json", `{"dependencies": {"lodash": "^4"}}`)
	d.save("index.js", "module.exports = () => require('lodash').add(3, 4)")
	d.wantPublished("7")

	key := d.key
	d.interrupt()
	d.run()
	d.next("published")
	d.wantAnswer("7")
	if d.key != key {
		t.Error("the key has changed with a new start")
	}
}

// wantPublished waits until the function answers so: what was saved in two steps may be published in two.
func (d *devProcess) wantPublished(answer string) {
	d.t.Helper()
	for {
		l := d.next("published", "broken")
		if l.Type == "published" && strings.TrimSpace(string(d.http().raw("POST", "/v1/invoke/count", nil).body)) == answer {
			return
		}
	}
}

// Without a file and line that somebody can go to, an error is a riddle.
func TestDevShowsLogsAndErrorsWhereTheyWereWritten(t *testing.T) {
	d := startDev(t, map[string]string{
		"package.json": `{"name": "@acme/count", "main": "old.js"}`,
		"old.js":       "module.exports = () => 0",
		"src/index.ts": sourceTS,
	})
	d.next("published")
	compiled := filepath.Join(t.TempDir(), "dist")
	tsc := exec.Command(filepath.Join(root, "node_modules/.bin/tsc"), "--outDir", compiled, "--sourceMap", "--sourceRoot", "../src",
		"--module", "commonjs", "--target", "es2022", "--types", "", "src/index.ts")
	tsc.Dir = d.dir
	if out, err := tsc.CombinedOutput(); err != nil {
		t.Fatalf("tsc: %v\n%s", err, out)
	}
	if err := os.Rename(compiled, filepath.Join(d.dir, "dist")); err != nil { // at once, the map with the rest
		t.Fatal(err)
	}
	d.save("package.json", `{"name": "@acme/count", "main": "dist/index.js"}`)
	for d.http().raw("POST", "/v1/invoke/count", nil).status != http.StatusInternalServerError {
		d.next("published")
	}
	l := d.next("log")
	id := l.Execution
	if want := (devLine{Type: "log", Execution: id, Level: "error", Message: "here Error: printed\n    at count (count/src/index.ts:5:25)"}); id == "" || !reflect.DeepEqual(l, want) {
		t.Errorf("it logs\n%+v, want\n%+v", l, want)
	}
	want := devLine{Type: "failed", Execution: id}
	want.Error.Code, want.Error.Name, want.Error.Message = "function_error", "TypeError", "thrown"
	want.Error.Stack = "TypeError: thrown\n    at count (count/src/index.ts:6:9)"
	d.wantNext(want)
}

const sourceTS = `interface Nothing { none: number }

/** A comment, types and blank lines: the compiler's lines are others. */
export default function count (nothing?: Nothing): number {
  console.error('here', new Error('printed'))
  throw new TypeError('thrown')
}
`
