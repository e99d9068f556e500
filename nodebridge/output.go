package nodebridge

import (
	"bytes"
	"os"
)

// lines hands on what the process prints to one of its standard streams, line by line, longer lines
// in pieces, until the stream ends.
func (b *Bridge) lines(stream string, f *os.File) error {
	pipe, err := newPipeReader(f)
	if err != nil {
		return err
	}
	var rest []byte // a line that has not ended
	for {
		chunk, err := pipe.next()
		if err != nil {
			if len(rest) > 0 {
				b.print(stream, string(rest))
			}
			return nil // the end of the process, or of our patience
		}
		for len(chunk) > 0 {
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
				b.print(stream, string(rest))
				rest = rest[:0]
			}
		}
		pipe.release()
	}
}
