package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// print writes v as one line of JSON.
func (s *session) print(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s\n", b)
	return err
}

// say writes a line for people.
func (s *session) say(format string, args ...any) error {
	_, err := fmt.Fprintf(s.out, format+"\n", args...)
	return err
}

// result writes a function's result: indented for people, one line for programs.
func (s *session) result(body []byte) error {
	var b bytes.Buffer
	if s.json {
		if err := json.Compact(&b, body); err != nil {
			return err
		}
	} else if err := json.Indent(&b, body, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := s.out.Write(b.Bytes())
	return err
}

// answer makes a request and shows what the hub answered: to programs as it is, to people as show does.
func answer[T any](ctx context.Context, s *session, method, path string, body any, show func(T) error) error {
	a, err := s.hub.Do(ctx, method, path, body)
	if err != nil {
		return err
	}
	if s.json {
		return s.result(a.Body)
	}
	var v T
	if err := json.Unmarshal(a.Body, &v); err != nil {
		return err
	}
	return show(v)
}

// table writes rows below a head, in columns.
func table(w io.Writer, head string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.ReplaceAll(head, " ", "\t"))
	for _, row := range rows {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	return tw.Flush()
}

// plain makes text from elsewhere safe for a terminal: an event's data must not move its cursor.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// ago says how long before now a time of the API was.
func ago(at string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return "-"
	}
	d := max(now.Sub(t), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
