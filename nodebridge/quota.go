package nodebridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// What a process may log. Its JavaScript half keeps each execution to Limits.LogRate and LogBytes a second, and
// the process to processShare times as much (js/quota.js). Code that writes frames of its own, or to the
// standard streams, does not come by there: what it sends beyond is dropped here, and the process is read
// slowly then, so that a flood costs the hub little of a CPU.

const (
	processShare = 10                   // quotas of one execution that a process has; as in js/quota.js
	margin       = 3                    // of the hub's quotas over those of the JavaScript half, whose seconds begin at other times
	floodRest    = 1 * time.Millisecond // without reading, after a chunk of which something was dropped
)

// quota counts the lines and bytes of one second.
type quota struct {
	times   int // what it allows, in quotas of one execution
	since   time.Time
	lines   int
	bytes   int64
	dropped droppedLines
}

type droppedLines struct {
	Lines int64 `json:"lines"`
	Bytes int64 `json:"bytes"`
}

// open says whether a line may be handed on now.
func (q *quota) open(l *Limits, now time.Time) bool {
	if now.Sub(q.since) >= time.Second {
		q.since, q.lines, q.bytes = now, 0, 0
	}
	return (l.LogRate == 0 || q.lines < l.LogRate*q.times) && (l.LogBytes == 0 || q.bytes < l.LogBytes*int64(q.times))
}

// take is open, and counts the line, of so many bytes.
func (q *quota) take(l *Limits, size int, now time.Time) bool {
	if !q.open(l, now) {
		q.drop(1, size)
		return false
	}
	q.lines++
	q.bytes += int64(size)
	return true
}

func (q *quota) drop(lines, size int) {
	q.dropped.Lines += int64(lines)
	q.dropped.Bytes += int64(size)
}

// over says whether anything was dropped in this second.
func (q *quota) over() bool { return q.dropped != droppedLines{} }

// due gives what was dropped, once its second is over.
func (q *quota) due(now time.Time) (d droppedLines, is bool) {
	if !q.over() || now.Sub(q.since) < time.Second {
		return d, false
	}
	d, q.dropped = q.dropped, droppedLines{}
	return d, true
}

func (d droppedLines) String() string {
	return fmt.Sprintf("%d lines or parts of lines, %d bytes, were dropped: more was written than the limits allow (logRate, logBytes).", d.Lines, d.Bytes)
}

// logs takes a Log frame, and says whether it may be handed on.
func (b *Bridge) logs(f Frame) bool {
	q := &b.reading.logs
	if f.ID == 0 {
		q = &b.reading.nobodys
	}
	return q.take(b.bounds.Load(), len(f.Payload), time.Now())
}

// calm is called after each chunk that was read, and at the end. It tells of Log frames that were dropped, once a
// second, and rests if there were.
func (b *Bridge) calm(end bool) {
	r := &b.reading
	if !r.logs.over() && !r.nobodys.over() {
		return
	}
	for _, q := range []*quota{&r.logs, &r.nobodys} {
		d, is := q.due(time.Now())
		if end {
			d, is = q.dropped, q.over()
		}
		if is {
			b.tellDropped(d)
		}
	}
	if !end {
		time.Sleep(floodRest)
	}
}

func (b *Bridge) tellDropped(d droppedLines) {
	line, _ := json.Marshal(struct { // a string and numbers
		Level   string       `json:"level"`
		Message string       `json:"message"`
		Dropped droppedLines `json:"dropped"`
	}{"warn", d.String(), d})
	b.output("log", string(line))
}

// skip drops a chunk of a standard stream, which may be a process's last words.
func (b *Bridge) skip(q *quota, stream string, chunk []byte) {
	q.drop(bytes.Count(chunk, []byte("\n")), len(chunk))
	if stream == "stderr" && bytes.Contains(chunk, []byte(heapFull)) {
		b.heard(stream, heapFull)
	}
	time.Sleep(floodRest)
}

// tellBounds tells the process what it may log, unless it knows.
func (b *Bridge) tellBounds() {
	type bounds struct {
		LogRate  int   `json:"logRate"`
		LogBytes int64 `json:"logBytes"`
	}
	b.mu.Lock()
	l := b.bounds.Load() // under mu, so that the last to tell tells the newest
	if told := b.told; !b.gone.Load() && (told.LogRate != l.LogRate || told.LogBytes != l.LogBytes) {
		b.told = *l
		payload, _ := json.Marshal(bounds{l.LogRate, l.LogBytes}) // numbers
		b.out.buf = appendFrame(b.out.buf, Bounds, 0, payload)
	}
	b.unlockAndWake()
}
