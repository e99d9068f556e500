package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
)

// Kinds of large payloads.
const (
	moveBytesIn  = "arguments-bytes"
	moveBytesOut = "results-bytes"
	moveJSONIn   = "arguments-json"
	moveJSONOut  = "results-json"
	moveEventOut = "events-out"
)

// Moves are the kinds of large payloads that Move knows.
var Moves = []string{moveBytesIn, moveBytesOut, moveJSONIn, moveJSONOut, moveEventOut}

// Move calls swallow with large payloads, one after the other. It runs in a process of its own, so that it does not
// hold up who measures small calls.
type Move struct {
	URL   string // the hub
	Key   string
	What  string // one of Moves
	Bytes int
}

// Moved is what it has moved.
type Moved struct {
	Calls int   `json:"calls"`
	Bytes int64 `json:"bytes"` // both ways
}

// Run moves until ctx ends.
func (m Move) Run(ctx context.Context) (moved Moved, err error) {
	media, least := "application/json", 1
	accept := "*/*"
	var body []byte
	switch n := strconv.Itoa(m.Bytes); m.What {
	case moveBytesIn:
		media, body = "application/octet-stream", bytes.Repeat([]byte("x"), m.Bytes)
	case moveJSONIn:
		body = slices.Concat([]byte(`["`), bytes.Repeat([]byte("x"), m.Bytes-4), []byte(`"]`))
	case moveBytesOut:
		body, least = []byte("["+n+"]"), m.Bytes
	case moveJSONOut:
		body, least = []byte(`[{"text":`+n+"}]"), m.Bytes
	case moveEventOut:
		body, least, accept = []byte(`[{"event":`+n+"}]"), m.Bytes, "text/event-stream"
	default:
		return moved, fmt.Errorf("%q is none of %v", m.What, Moves)
	}
	for ctx.Err() == nil {
		n, err := m.call(ctx, media, accept, body)
		switch {
		case ctx.Err() != nil:
			return moved, nil
		case err != nil:
			return moved, err
		case n < int64(least):
			return moved, fmt.Errorf("a large call was answered with %d bytes", n)
		}
		moved.Calls++
		moved.Bytes += int64(len(body)) + n
	}
	return moved, nil
}

func (m Move) call(ctx context.Context, media, accept string, body []byte) (int64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL+"/v1/invoke/"+swallow, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", media)
	r.Header.Set("Accept", accept)
	r.Header.Set("Authorization", "Bearer "+m.Key)
	r.Close = true
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(res.Body, 2048))
		return 0, fmt.Errorf("a large call was answered %s: %s", res.Status, why)
	}
	return io.Copy(io.Discard, res.Body)
}

// with gives Run in a process of its own, made with the program livefn.
func (m Move) with(livefn string) func(context.Context) (Moved, error) {
	return func(ctx context.Context) (Moved, error) { return m.apart(ctx, livefn) }
}

func (m Move) apart(ctx context.Context, livefn string) (moved Moved, err error) {
	out, err := childUntil(ctx, []string{livefn, "load", "peer", "move", "--url", m.URL, "--what", m.What, "--bytes", strconv.Itoa(m.Bytes)}, "LIVEFN_KEY="+m.Key)
	if err == nil {
		err = json.Unmarshal(out, &moved)
	}
	return moved, err
}

// spin parses as much JSON as it can, in a process of Node that has nothing to do with the hub: what the machine
// itself does to small calls beside it.
func spin(ctx context.Context, node string, size int) error {
	_, err := childUntil(ctx, []string{node, "-e", `
const b = Buffer.from('["' + 'x'.repeat(` + strconv.Itoa(size) + ` - 4) + '"]')
process.on('SIGTERM', () => process.exit(0))
const turn = () => { JSON.parse(b.toString()); setImmediate(turn) }
turn()`})
	return err
}

// childUntil runs a program until ctx ends, tells it to end, and gives what it has written.
func childUntil(ctx context.Context, args []string, env ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // our own program
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	var out bytes.Buffer
	var complaint tail
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	exit, isExit := errors.AsType[*exec.ExitError](err)
	if err == nil || errors.Is(err, ctx.Err()) && (!isExit || exit.Success()) {
		return out.Bytes(), nil
	}
	return nil, fmt.Errorf("%s: %w%s", args[0], err, complaint.last())
}
