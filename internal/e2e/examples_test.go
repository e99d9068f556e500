package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A first impression is a pasted line. Those that serve --dev prints work as they are.
func TestTheLinesThatServeDevPrintsWorkWhenPasted(t *testing.T) {
	h := startDevHub(t)
	ran := 0
	for _, line := range h.banner {
		if !strings.HasPrefix(line, "curl ") {
			continue
		}
		ran++
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		cancel()
		switch {
		case err != nil:
			t.Errorf("%s\n%v %s", line, err, &stderr)
		case len(out) == 0 || bytes.Contains(out, []byte("urn:livefn:error:")):
			t.Errorf("%s\nanswers %s", line, out)
		case strings.Contains(line, "event-stream"):
			if !bytes.Contains(out, []byte("\nevent: result\n")) && !bytes.Contains(out, []byte("succeeded")) {
				t.Errorf("%s\nstreams %s", line, out)
			}
		case !json.Valid(out):
			t.Errorf("%s\nanswers %s", line, out)
		}
	}
	if ran < 3 {
		t.Errorf("it printed %d curl lines:\n%s", ran, strings.Join(h.banner, "\n"))
	}

	t.Run("the dashboard is where it says", func(t *testing.T) {
		page := h.as("").raw("GET", "/", nil)
		if page.status != 200 || !bytes.Contains(page.body, []byte("<title>")) {
			t.Errorf("status %d: %.200s", page.status, page.body)
		}
	})
	t.Run("every sample is there and works", func(t *testing.T) {
		people := `[[{"name":"Ada","age":36},{"name":"Grace","age":85}]]`
		for call, want := range map[string]string{
			"add [1,2]":                `3`,
			`hello ["Ada"]`:            `"Hello, Ada!"`,
			"oldest-lodash3 " + people: `{"lodash":"3.10.1","oldest":{"name":"Grace","age":85},"names":["Ada","Grace"]}`,
			"oldest-lodash4 " + people: `{"lodash":"4.18.1","oldest":{"name":"Grace","age":85},"names":["Ada","Grace"]}`,
		} {
			name, args, _ := strings.Cut(call, " ")
			if res := h.http().raw("POST", "/v1/invoke/"+name, strings.NewReader(args)); res.status != 200 || string(res.body) != want {
				t.Errorf("%s answers %d %s, want %s", call, res.status, res.body, want)
			}
		}
	})
	t.Run("a second start keeps the key and the versions", func(t *testing.T) {
		key := h.key
		h.kill()
		h.start()
		if h.key != key {
			t.Errorf("the key was %s and is %s", key, h.key)
		}
		var fn struct{ Latest, Versions int }
		h.http().json("GET", "/v1/functions/report", nil, 200, &fn)
		if fn.Latest != 1 || fn.Versions != 1 {
			t.Errorf("after it the report has %+v", fn)
		}
	})
}

// The README's tour is run as a reader would: its commands in one shell, one block after the other,
// and what they print is what it says they print (… stands for anything).
func TestTheReadmeIsTrue(t *testing.T) {
	h := startDevHub(t)
	var s *socket
	shell := startShell(t)
	blocks := readmeBlocks(t)
	for i, b := range blocks {
		if b.language != "sh" {
			continue
		}
		commands := strings.NewReplacer("http://127.0.0.1:8080", h.url, "lf_dev_…", h.key).Replace(b.text)
		out := shell.run(commands)
		if i+1 < len(blocks) && blocks[i+1].language != "sh" {
			if want := blocks[i+1].text; !matches(want, out) {
				t.Errorf("%s\nprints\n%s\nand the README says\n%s", commands, out, want)
			}
		}
		switch {
		case strings.Contains(commands, "-X PUT"):
			s = h.socket()
			s.call("subscribe", map[string]any{"stream": "function.count", "since": "new"}, nil)
		case strings.Contains(commands, "/pause"), strings.Contains(commands, "livefn pause"):
			s.nextOf("execution.paused") // a reader is slower than the function
		}
	}
}

type block struct{ language, text string }

func readmeBlocks(t *testing.T) (blocks []block) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, tour, begins := strings.Cut(string(b), "<!-- what follows")
	tour, _, ends := strings.Cut(tour, "<!-- the end of what is executed")
	if !begins || !ends {
		t.Fatal("README.md does not say what of it is executed")
	}
	for _, m := range regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$").FindAllStringSubmatch(tour, -1) {
		blocks = append(blocks, block{m[1], m[2]})
	}
	if len(blocks) < 10 {
		t.Fatalf("README.md has %d blocks to run", len(blocks))
	}
	return blocks
}

// matches compares text in which … stands for anything, regardless of space at the ends.
func matches(want, got string) bool {
	parts := strings.Split(strings.TrimSpace(want), "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("(?s)^" + strings.Join(parts, ".*") + "$").MatchString(strings.TrimSpace(got))
}

// shell is one sh that is given commands bit by bit.
type shell struct {
	t     *testing.T
	in    io.Writer
	lines chan string
	count int
}

func startShell(t *testing.T) *shell {
	t.Helper()
	cmd := exec.Command("sh", "-e")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &shell{t: t, in: in, lines: make(chan string)}
	left := make(chan struct{})
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(s.lines)
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadString('\n')
			select {
			case s.lines <- line:
			case <-left:
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		if t.Failed() {
			_ = cmd.Process.Kill()
		}
		close(left)
		<-read
		if err := cmd.Wait(); err != nil && !t.Failed() {
			t.Errorf("the shell ended with %v", err)
		}
	})
	return s
}

// run gives what commands print. The mark that ends it stands on a line of its own, whatever the
// commands left unfinished before it.
func (s *shell) run(commands string) string {
	s.t.Helper()
	s.count++
	mark := fmt.Sprintf("@@ end of block %d\n", s.count)
	if _, err := io.WriteString(s.in, commands+"\nprintf '\\n%s\\n' '"+strings.TrimSpace(mark)+"'\n"); err != nil {
		s.t.Fatal(err)
	}
	var out strings.Builder
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				s.t.Fatalf("the shell ended in\n%s\nafter\n%s", commands, out.String())
			}
			if line == mark {
				return out.String()
			}
			out.WriteString(line)
		case <-timeout:
			s.t.Fatalf("%s\ndoes not end; so far\n%s", commands, out.String())
		}
	}
}
