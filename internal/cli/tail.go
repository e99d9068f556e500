package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/livefn/livefn/internal/client"
)

type tailCmd struct {
	Pattern string `arg:"" help:"Stream or pattern: function.add, function.>, execution.ID. An execution's ends with it."`
	Since   string `help:"start, new, or an event's id (epoch:offset). An execution's is shown from its start." placeholder:"WHEN"`
}

// errEnded is how the last event of an execution ends the stream from inside.
var errEnded = errors.New("the execution has ended")

// Run prints events and connects again where it was when the connection is lost.
func (c *tailCmd) Run(ctx context.Context, s *session) error {
	path := "/v1/streams/" + url.PathEscape(c.Pattern) + "/events"
	id, one := strings.CutPrefix(c.Pattern, "execution.")
	if one = one && !strings.ContainsAny(id, ".*>"); one {
		path = "/v1/executions/" + url.PathEscape(id) + "/events"
	}
	first := path
	if c.Since != "" {
		first += "?since=" + url.QueryEscape(c.Since)
	}
	return s.follow(ctx, first, path, func(m client.Message) error { return s.event(m, one) })
}

// follow shows the events at first, and then those at path from where it was, until show ends it with
// errEnded or fails.
func (s *session) follow(ctx context.Context, first, path string, show func(client.Message) error) error {
	last, tries := "", 0
	for {
		err := s.hub.Events(ctx, first, last, func(m client.Message) error {
			first, last, tries = path, m.ID, 0
			return show(m)
		})
		if errors.Is(err, errEnded) {
			return nil
		}
		if ctx.Err() != nil {
			return context.Canceled
		}
		lost, isLost := errors.AsType[*client.Lost](err)
		if err != nil && (!isLost || tries == 0 && last == "") {
			return err // the first try says what is wrong; the later ones wait for the hub to come back
		}
		if tries++; tries == 1 && isLost {
			fmt.Fprintf(s.note, "livefn: %v; connecting again\n", lost)
		}
		if err := pauseFor(ctx, backoff(tries)); err != nil {
			return err
		}
	}
}

// event prints one; errEnded if it is the last one of the execution that is shown.
func (s *session) event(m client.Message, one bool) error {
	var ev struct {
		Stream string
		Offset uint64
		Type   string
		Time   string
		Data   json.RawMessage
	}
	if err := json.Unmarshal(m.Data, &ev); err != nil {
		return fmt.Errorf("the hub sent an event that is not JSON: %w", err)
	}
	var err error
	if s.json {
		err = s.result(m.Data)
	} else {
		err = s.say("%s  %s#%d  %s  %s", plain(ev.Time), plain(ev.Stream), ev.Offset, plain(ev.Type), plain(string(ev.Data)))
	}
	if one && err == nil && isEnd(ev.Type) {
		return errEnded
	}
	return err
}

// isEnd reports whether an event of this type is an execution's last.
func isEnd(eventType string) bool {
	return eventType == "execution.succeeded" || eventType == "execution.failed" || eventType == "execution.cancelled"
}

// backoff is how long to wait before try n, 1 being the first: up to 10 s, spread so that not all come at once.
func backoff(n int) time.Duration {
	top := min(10*time.Second, 250*time.Millisecond<<min(n, 6))
	return top/2 + rand.N(top/2) //nolint:gosec // spreads load; guards nothing
}

func pauseFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
