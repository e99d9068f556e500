package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Message is one Server-Sent Event: its id (epoch:offset), its type and its data.
type Message struct {
	ID, Type string
	Data     []byte
}

// Lost says that an event stream ended without having been ended: connect again with the last id.
type Lost struct{ Cause error }

func (l *Lost) Error() string { return fmt.Sprintf("the event stream was cut off: %v", l.Cause) }

// Unwrap gives the cause.
func (l *Lost) Unwrap() error { return l.Cause }

// maxEvent bounds one event.
const maxEvent = 64 << 20

// Events reads the event stream at path until it ends (nil), f returns an error, or the connection is
// lost (*Lost). last is the id of the last event that the caller has; "": none.
func (c *Client) Events(ctx context.Context, path, last string, f func(Message) error) error {
	return c.Stream(ctx, http.MethodGet, path, nil, last, f)
}

// Stream makes a request whose answer is an event stream; see Events and Do.
func (c *Client) Stream(ctx context.Context, method, path string, body any, last string, f func(Message) error) error {
	stream, err := c.open(ctx, method, path, body, last)
	if err != nil {
		return err
	}
	defer stream.Close() //nolint:errcheck // read to its end, or given up
	return ReadEvents(stream, f)
}

// Open connects to the event stream at path: when it returns, events that are published from then on come.
// The caller reads them with ReadEvents, and closes it.
func (c *Client) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	return c.open(ctx, http.MethodGet, path, nil, "")
}

func (c *Client) open(ctx context.Context, method, path string, body any, last string) (io.ReadCloser, error) {
	header := []string{"Accept", "text/event-stream"}
	if last != "" {
		header = append(header, "Last-Event-ID", last)
	}
	res, err := c.send(ctx, method, path, body, header...)
	if err != nil {
		return nil, &Lost{err}
	}
	if res.StatusCode >= 400 {
		defer res.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20)) // what is there will do
		return nil, problem(res, b)
	}
	if kind := res.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		_ = res.Body.Close() // it is of no use
		return nil, fmt.Errorf("%s answers with %q, not with an event stream", path, kind)
	}
	return res.Body, nil
}

// ReadEvents reads Server-Sent Events from r (WHATWG HTML, section 9.2).
func ReadEvents(r io.Reader, f func(Message) error) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 64<<10), maxEvent)
	var m Message
	seen := false
	for sc.Scan() {
		line := bytes.TrimSuffix(sc.Bytes(), []byte("\r"))
		if len(line) == 0 {
			if seen {
				if err := f(m); err != nil {
					return err
				}
			}
			m, seen = Message{ID: m.ID}, false
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			m.ID = string(value)
		case "event":
			m.Type = string(value)
		case "data":
			if seen {
				m.Data = append(m.Data, '\n')
			}
			m.Data = append(m.Data, value...)
			seen = true
		}
	}
	if err := sc.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return fmt.Errorf("an event is over %d bytes", maxEvent)
		}
		return &Lost{err}
	}
	return nil
}
