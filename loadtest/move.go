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
	"sync"
	"syscall"
	"time"
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

var errNoRoom = errors.New("the hub has no room for a large call now")

// refusedPause is how long Move waits after that.
const refusedPause = 100 * time.Millisecond

// Run moves until ctx ends. It writes a line to out once the first payload was moved, and what it has moved, as JSON,
// at the end.
func (m Move) Run(ctx context.Context, out io.Writer) error {
	moved, err := m.run(ctx, out)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(moved)
}

func (m Move) run(ctx context.Context, out io.Writer) (moved Moved, err error) {
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
		case errors.Is(err, errNoRoom): // what was cut off before is still on its way
			select {
			case <-time.After(refusedPause):
			case <-ctx.Done():
			}
			continue
		case err != nil:
			return moved, err
		case n < int64(least):
			return moved, fmt.Errorf("a large call was answered with %d bytes", n)
		}
		if moved.Calls++; moved.Calls == 1 {
			if _, err := fmt.Fprintln(out, "moving"); err != nil {
				return moved, err
			}
		}
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
	if res.StatusCode == http.StatusTooManyRequests {
		return 0, errNoRoom
	}
	if res.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(res.Body, 2048))
		return 0, fmt.Errorf("a large call was answered %s: %s", res.Status, why)
	}
	return io.Copy(io.Discard, res.Body)
}

// apart is Run in a process of its own, made with the program livefn; began is called once it moves.
func (m Move) apart(ctx context.Context, livefn string, began func()) (moved Moved, err error) {
	out, err := childUntil(ctx, began, []string{livefn, "load", "peer", "move", "--url", m.URL, "--what", m.What, "--bytes", strconv.Itoa(m.Bytes)}, "LIVEFN_KEY="+m.Key)
	if err == nil {
		if _, figures, ok := bytes.Cut(out, []byte("\n")); ok { // else it was ended before it had begun
			err = json.Unmarshal(figures, &moved)
		}
	}
	return moved, err
}

// spin parses as much JSON as it can, in a process of Node that has nothing to do with the hub: what the machine
// itself does to small calls beside it.
func spin(ctx context.Context, node string, size int, began func()) error {
	_, err := childUntil(ctx, began, []string{node, "-e", `
const b = Buffer.from('["' + 'x'.repeat(` + strconv.Itoa(size) + ` - 4) + '"]')
process.on('SIGTERM', () => process.exit(0))
console.log('spinning')
const turn = () => { JSON.parse(b.toString()); setImmediate(turn) }
turn()`})
	return err
}

// childUntil runs a program until ctx ends, tells it to end, and gives what it has written; began is called when it
// writes for the first time.
func childUntil(ctx context.Context, began func(), args []string, env ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // our own program
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	out := firstWrite{began: sync.OnceFunc(began)}
	var complaint tail
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	exit, isExit := errors.AsType[*exec.ExitError](err)
	if err == nil || errors.Is(err, ctx.Err()) && (!isExit || exit.Success()) {
		return out.b, nil
	}
	return nil, fmt.Errorf("%s: %w%s", args[0], err, complaint.last())
}

// firstWrite keeps what is written.
type firstWrite struct {
	began func()
	b     []byte
}

func (w *firstWrite) Write(b []byte) (int, error) {
	w.b = append(w.b, b...)
	w.began()
	return len(b), nil
}
