package nodebridge

import (
	"bytes"
	"os"
	"time"
)

// lines hands on what the process prints to one of its standard streams, line by line, longer lines
// in pieces, until the stream ends. What is more than the limits of logs allow is dropped.
func (b *Bridge) lines(stream string, f *os.File) error {
	pipe, err := newPipeReader(f)
	if err != nil {
		return err
	}
	q := quota{times: 1}
	var rest []byte // a line that has not ended
	for {
		chunk, err := pipe.next()
		if err != nil {
			if len(rest) > 0 {
				b.print(stream, string(rest))
			}
			if q.over() {
				b.output(stream, q.dropped.String())
			}
			return nil // the end of the process, or of our patience
		}
		for len(chunk) > 0 {
			now := time.Now()
			if d, is := q.due(now); is {
				b.output(stream, d.String())
			}
			if len(rest) == 0 && !q.open(b.bounds.Load(), now) {
				b.skip(&q, stream, chunk)
				break
			}
			n := bytes.IndexByte(chunk, '\n')
			ended := n >= 0
			if !ended {
				n = len(chunk)
			}
			if room := b.cfg.MaxLine - len(rest); n > room {
				n, ended = room, true
				rest = append(rest, chunk[:n]...)
				chunk = chunk[n:]
			} else {
				rest = append(rest, chunk[:n]...)
				chunk = chunk[min(n+1, len(chunk)):]
			}
			if ended {
				q.take(b.bounds.Load(), len(rest)+1, now)
				b.print(stream, string(rest))
				rest = rest[:0]
			}
		}
		pipe.release()
	}
}
