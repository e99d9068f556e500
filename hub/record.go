package hub

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// recordFormat is the first byte of every execution and event record; the rest is JSON. Formats are
// only ever added: decodeRecord reads all that were released.
const recordFormat = 1

// inlineMax is the size in bytes up to which a payload stands in its execution's record. A larger
// one has a key of its own, so that a transition does not write it again.
const inlineMax = 1024

// Record is what is kept of an execution. Its pointers are never changed once set, so copies may
// share them.
type Record struct {
	ID          string          `json:"id"`
	Function    string          `json:"function"`
	Version     int             `json:"version"`
	Via         string          `json:"via,omitempty"` // how the version was found: as the latest, by an alias, or tenants.ViaVersion
	State       State           `json:"state"`
	Attempt     int             `json:"attempt"`             // of the current or last attempt: the fencing number
	Lost        int             `json:"lost,omitempty"`      // bridges lost since its last progress
	Tries       int             `json:"tries,omitempty"`     // retries taken of those that its settings allow
	Priority    int             `json:"priority,omitempty"`  // of its place in the queue; higher goes first
	CreatedAt   int64           `json:"createdAt"`           // milliseconds since 1970, as all times here
	NotBefore   int64           `json:"notBefore,omitempty"` // when it may run, if it was delayed or waits to be tried again
	Timer       int64           `json:"timer,omitempty"`     // when its timer fires (timer.go); 0: it has none
	StartedAt   int64           `json:"startedAt,omitempty"`
	EndedAt     int64           `json:"endedAt,omitempty"`
	Args        *Payload        `json:"args,omitempty"`
	Snapshot    *Snapshot       `json:"snapshot,omitempty"` // from which the next attempt goes on
	Result      *Payload        `json:"result,omitempty"`
	Failure     *Failure        `json:"failure,omitempty"`
	Failures    []FailedAttempt `json:"failures,omitempty"` // of earlier attempts, the newest maxFailures
	Trigger     string          `json:"trigger,omitempty"`
	Caller      string          `json:"caller,omitempty"` // subject of the token with which it, or its topmost parent, was asked for
	Parent      string          `json:"parent,omitempty"`
	Depth       int             `json:"depth,omitempty"` // how many executions above it started one another
	Key         string          `json:"key,omitempty"`
	Traceparent string          `json:"traceparent,omitempty"`
	Timeout     int64           `json:"timeout,omitempty"` // the caller's own, in milliseconds
	PauseReason string          `json:"pauseReason,omitempty"`
	Epoch       string          `json:"epoch"`
	Offset      uint64          `json:"offset"`          // of its stream's last event
	Sent        uint64          `json:"sent,omitempty"`  // events that were sent to it and kept, so far
	Inbox       []Message       `json:"inbox,omitempty"` // where the first formats kept what inbox.go keeps
}

// maxFailures is how many earlier attempts' errors a record keeps.
const maxFailures = 20

// FailedAttempt is the error of an attempt after which the execution was tried again.
type FailedAttempt struct {
	Attempt int      `json:"attempt"`
	At      int64    `json:"at"`
	Error   *Failure `json:"error"`
}

// Snapshot is what a paused execution needs to go on.
type Snapshot struct {
	Reason string   `json:"reason"` // request, drain, scale, deploy; function, sleep, event: by itself; checkpoint
	At     int64    `json:"at"`
	Args   *Payload `json:"args"`
	Until  int64    `json:"until,omitempty"` // when it resumes by itself; 0: never
	Event  string   `json:"event,omitempty"` // the type of event that resumes it
	Pad    int      `json:"pad,omitempty"`   // how many arguments it has, undefined ones at the end included
}

// Payload is arguments or a result.
type Payload struct {
	Encoding nodebridge.Encoding
	Data     []byte
	blob     string // the last part of its own key, once it has been written there
}

type payloadJSON struct {
	Encoding nodebridge.Encoding `json:"encoding,omitempty"`
	JSON     json.RawMessage     `json:"json,omitempty"`
	Base64   []byte              `json:"base64,omitempty"`
	Blob     string              `json:"blob,omitempty"`
}

// MarshalJSON gives the stored form.
func (p *Payload) MarshalJSON() ([]byte, error) {
	s := payloadJSON{Encoding: p.Encoding, Blob: p.blob}
	switch {
	case p.blob != "":
	case p.Encoding == nodebridge.JSON && json.Valid(p.Data):
		s.JSON = p.Data
	default:
		s.Base64 = p.Data
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads the stored form; a payload with a key of its own has no Data yet.
func (p *Payload) UnmarshalJSON(b []byte) error {
	var s payloadJSON
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*p = Payload{Encoding: s.Encoding, Data: s.JSON, blob: s.Blob}
	if s.JSON == nil {
		p.Data = s.Base64
	}
	return nil
}

// shownJSON is the payload as users read it: JSON as it is, bytes as {"base64": "…"}.
func (p *Payload) shownJSON() json.RawMessage {
	if p == nil || p.Encoding == nodebridge.Nothing {
		return nil
	}
	if p.Encoding == nodebridge.Bytes {
		return json.RawMessage(`{"base64":"` + base64.StdEncoding.EncodeToString(p.Data) + `"}`)
	}
	if !json.Valid(p.Data) {
		return nil
	}
	return p.Data
}

func encodeRecord(r *Record) []byte {
	b, err := json.Marshal(r)
	if err != nil { // its fields are strings, numbers and checked JSON
		panic(fmt.Sprintf("encode execution %s: %v", r.ID, err))
	}
	return append([]byte{recordFormat}, b...)
}

func decodeRecord(b []byte) (*Record, error) {
	if len(b) == 0 || b[0] != recordFormat {
		return nil, fault.New(fault.Internal, "The execution's record has a format that this version of livefn does not know.")
	}
	r := &Record{}
	if err := json.Unmarshal(b[1:], r); err != nil {
		return nil, fmt.Errorf("decode execution record: %w", err)
	}
	return r, nil
}

// payloads lists the record's payloads with the names of their own keys.
func (r *Record) payloads() map[string]*Payload {
	m := map[string]*Payload{"args": r.Args, "result": r.Result}
	if r.Snapshot != nil {
		m[fmt.Sprintf("snapshot-%d", r.Snapshot.At)] = r.Snapshot.Args
	}
	return m
}

// nextPayload is what the next attempt is called with.
func (r *Record) nextPayload() *Payload {
	if r.Snapshot != nil {
		return r.Snapshot.Args
	}
	return r.Args
}

// pad is how many arguments the next attempt is called with at least, undefined ones at the end.
func (r *Record) pad() int {
	if r.Snapshot != nil {
		return r.Snapshot.Pad
	}
	return 0
}

// View is an execution as users read it.
type View struct{ r *Record }

// ID, State, Result and Failure give the parts that programs look at.
func (v View) ID() string         { return v.r.ID }
func (v View) State() State       { return v.r.State }
func (v View) Result() *Payload   { return v.r.Result }
func (v View) Failure() *Failure  { return v.r.Failure }
func (v View) Function() string   { return v.r.Function }
func (v View) Caller() string     { return v.r.Caller }
func (v View) Parent() string     { return v.r.Parent }
func (v View) Position() Position { return Position{v.r.Epoch, v.r.Offset} }

// MarshalJSON gives {id, function, version, state, attempt, createdAt, startedAt, endedAt, args,
// result | error, attempts [{attempt, at, error}], pause {reason, at, args, until?, event?}, checkpoint
// {at, args}, trigger, caller, parent, key, priority, notBefore}. Times are RFC 3339.
func (v View) MarshalJSON() ([]byte, error) {
	type pause struct {
		Reason string          `json:"reason"`
		At     string          `json:"at"`
		Args   json.RawMessage `json:"args,omitempty"`
		Until  string          `json:"until,omitempty"`
		Event  string          `json:"event,omitempty"`
	}
	type failed struct {
		Attempt int      `json:"attempt"`
		At      string   `json:"at"`
		Error   *Failure `json:"error"`
	}
	r := v.r
	out := struct {
		ID         string          `json:"id"`
		Function   string          `json:"function"`
		Version    int             `json:"version"`
		State      State           `json:"state"`
		Attempt    int             `json:"attempt"`
		CreatedAt  string          `json:"createdAt"`
		StartedAt  string          `json:"startedAt,omitempty"`
		EndedAt    string          `json:"endedAt,omitempty"`
		Args       json.RawMessage `json:"args,omitempty"`
		Result     json.RawMessage `json:"result,omitempty"`
		Error      *Failure        `json:"error,omitempty"`
		Attempts   []failed        `json:"attempts,omitempty"`
		Pause      *pause          `json:"pause,omitempty"`
		Checkpoint *pause          `json:"checkpoint,omitempty"`
		Trigger    string          `json:"trigger,omitempty"`
		Caller     string          `json:"caller,omitempty"`
		Parent     string          `json:"parent,omitempty"`
		Key        string          `json:"key,omitempty"`
		Priority   int             `json:"priority,omitempty"`
		NotBefore  string          `json:"notBefore,omitempty"`
	}{
		ID: r.ID, Function: r.Function, Version: r.Version, State: r.State, Attempt: r.Attempt,
		CreatedAt: shownTime(r.CreatedAt), StartedAt: shownTime(r.StartedAt), EndedAt: shownTime(r.EndedAt),
		Args: r.Args.shownJSON(), Result: r.Result.shownJSON(), Error: r.Failure, Trigger: r.Trigger, Caller: r.Caller, Parent: r.Parent,
		Key: r.Key, Priority: r.Priority,
	}
	for _, f := range r.Failures {
		out.Attempts = append(out.Attempts, failed{f.Attempt, shownTime(f.At), f.Error})
	}
	switch s := r.Snapshot; {
	case s == nil:
	case r.State == Paused:
		out.Pause = &pause{s.Reason, shownTime(s.At), s.Args.shownJSON(), shownTime(s.Until), s.Event}
	case s.Reason == reasonCheckpoint:
		out.Checkpoint = &pause{Reason: s.Reason, At: shownTime(s.At), Args: s.Args.shownJSON()}
	}
	if r.State == Queued {
		out.NotBefore = shownTime(r.NotBefore)
	}
	return json.Marshal(out)
}

func shownTime(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format(timeLayout)
}
