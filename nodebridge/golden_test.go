package nodebridge

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// golden is a case of testdata/frames; its README says what the members mean.
type golden struct {
	Name, By, Bytes, Error string
	Frames, Messages       []goldenFrame
}

type goldenFrame struct {
	Kind                             string
	ID                               uint32
	Module, Total, Bytes, Events     uint32
	Number                           uint64
	Encoding                         Encoding
	Status                           byte
	Op                               Op
	Execution, Meta, Text, Hex, Type string
}

func goldens(t testing.TB) []golden {
	t.Helper()
	b, err := os.ReadFile("testdata/frames/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []golden
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

func (g golden) raw() []byte {
	b, _ := hex.DecodeString(g.Bytes)
	return b
}

func (g golden) side() *side {
	if g.By == "hub" {
		return &fromHub
	}
	return &fromBridge
}

// frame is the frame that g describes.
func (g goldenFrame) frame() Frame {
	body := []byte(g.Text)
	if g.Hex != "" {
		body, _ = hex.DecodeString(g.Hex)
	}
	f := Frame{ID: g.ID, Payload: body}
	for kind, name := range kindNames {
		if name == g.Kind {
			f.Kind = kind
		}
	}
	switch f.Kind {
	case Invoke:
		c := Call{Module: &Module{handle: g.Module}, Execution: g.Execution, Meta: []byte(g.Meta), Encoding: g.Encoding}
		f.Payload = appendInvoke(nil, &c, body)
	case Send, Event:
		if f.Kind == Send {
			f.Payload = binary.LittleEndian.AppendUint64(nil, g.Number)
		} else {
			f.Payload = nil
		}
		f.Payload = append(append(append(f.Payload, byte(len(g.Type))), g.Type...), body...)
	case Response:
		f.Payload = append(append(binary.LittleEndian.AppendUint32(nil, uint32(g.Number)), g.Status, byte(g.Encoding)), body...)
	case Request:
		f.Payload = append(binary.LittleEndian.AppendUint32(nil, uint32(g.Number)), byte(g.Op))
		if g.Op == OpCheckpoint {
			f.Payload = appendMeta(f.Payload, g.Meta)
		}
		f.Payload = append(f.Payload, body...)
	case Paused:
		f.Payload = append(appendMeta(nil, g.Meta), body...)
	case Result:
		f.Payload = append([]byte{byte(g.Encoding)}, body...)
	case Begin:
		f.Payload = binary.LittleEndian.AppendUint32(nil, g.Total)
	case Credit:
		f.Payload = binary.LittleEndian.AppendUint32(nil, g.Bytes)
	case Taken:
		f.Payload = binary.LittleEndian.AppendUint32(nil, g.Events)
	}
	return f
}

func appendMeta(b []byte, meta string) []byte {
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(meta))), meta...)
}

// decode is the whole decoder: what raw splits into, cut at every multiple of cut, and the messages.
func decode(from *side, raw []byte, cut int) (frames, messages []Frame, err error) {
	s := splitter{from: from}
	defer s.release()
	in := incoming{from: from, max: 64<<20 + 64<<10, grant: func(uint32, int) {}}
	keep := func(list []Frame, f Frame) []Frame {
		f.Payload = append([]byte{}, f.Payload...)
		return append(list, f)
	}
	each := func(f Frame) error {
		frames = keep(frames, f)
		switch f.Kind {
		case Begin:
			return in.begin(f)
		case Data:
			m, done, err := in.data(f)
			if done && err == nil {
				messages = keep(messages, m)
			}
			return err
		}
		messages = keep(messages, f)
		return nil
	}
	for len(raw) > 0 && err == nil {
		n := min(cut, len(raw))
		err = s.split(raw[:n:n], each)
		raw = raw[n:]
	}
	return frames, messages, err
}

func equalFrames(a, b []Frame) bool {
	return slices.EqualFunc(a, b, func(x, y Frame) bool {
		return x.Kind == y.Kind && x.ID == y.ID && bytes.Equal(x.Payload, y.Payload)
	})
}

// The JS half is tested against the same file: what one writes, the other reads.
func TestGoldenFramesAreReadAndWrittenAsDescribed(t *testing.T) {
	for _, g := range goldens(t) {
		if g.Error != "" {
			continue
		}
		raw := g.raw()
		var want, wantMessages []Frame
		var encoded []byte
		for _, f := range g.Frames {
			f := f.frame()
			want = append(want, f)
			encoded = appendFrame(encoded, f.Kind, f.ID, f.Payload)
		}
		for _, f := range g.Messages {
			wantMessages = append(wantMessages, f.frame())
		}
		if g.Messages == nil {
			wantMessages = want
		}
		if !bytes.Equal(encoded, raw) {
			t.Errorf("%s: encoded\n got %x\nwant %x", g.Name, encoded, raw)
		}
		for cut := 1; cut <= len(raw); cut++ {
			frames, messages, err := decode(g.side(), raw, cut)
			if err != nil || !equalFrames(frames, want) || !equalFrames(messages, wantMessages) {
				t.Fatalf("%s, in chunks of %d:\n got %v %v %v\nwant %v %v", g.Name, cut, frames, messages, err, want, wantMessages)
			}
		}
	}
}

// A decoder that goes on after nonsense would hand out somebody else's bytes as an answer.
func TestGoldenErrorsEndTheConnectionHoweverTheyAreCut(t *testing.T) {
	words := map[string]string{"length": "length", "kind": "has the kind", "payload": "payload", "message": "message"}
	for _, g := range goldens(t) {
		if g.Error == "" {
			continue
		}
		for _, cut := range []int{1, 2, 3, 5, 8, 13, 1000, 70000, 1 << 20} {
			if _, _, err := decode(g.side(), g.raw(), cut); err == nil || !strings.Contains(err.Error(), words[g.Error]) {
				t.Errorf("%s, in chunks of %d: error %v; want one about the %s", g.Name, cut, err, g.Error)
			}
		}
	}
}
