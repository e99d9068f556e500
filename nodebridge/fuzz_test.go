package nodebridge

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// However bytes are cut, a decoder says the same about them, and never more than MaxMessages and
// their bytes are held.
func FuzzSplit(f *testing.F) {
	for _, g := range goldens(f) {
		f.Add(g.raw(), g.By == "hub", uint16(1))
		f.Add(g.raw(), g.By == "hub", uint16(7))
	}
	f.Add(appendFrame(nil, Result, 1<<20, make([]byte, MaxPayload)), false, uint16(4096))
	f.Fuzz(func(t *testing.T, raw []byte, hub bool, cut uint16) {
		from := &fromBridge
		if hub {
			from = &fromHub
		}
		frames, messages, err := decode(from, raw, max(1, len(raw)))
		cutFrames, cutMessages, cutErr := decode(from, raw, max(1, int(cut)))
		if (err == nil) != (cutErr == nil) || !equalFrames(frames, cutFrames) || !equalFrames(messages, cutMessages) {
			t.Fatalf("whole: %v %v %v\ncut:   %v %v %v", frames, messages, err, cutFrames, cutMessages, cutErr)
		}
		var again []byte
		for _, f := range frames {
			again = appendFrame(again, f.Kind, f.ID, f.Payload)
		}
		if !bytes.HasPrefix(raw, again) {
			t.Fatal("the frames are not what the bytes say")
		}
	})
}

// Messages and small frames of many calls, in any mix, arrive whole, each call's in order.
func FuzzMessages(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint16(1+seed*3), uint32(1)<<(seed*3))
	}
	f.Add(uint64(9), uint16(40), uint32(300<<10)) // more than MaxMessages under way
	f.Fuzz(func(t *testing.T, seed uint64, frames uint16, largest uint32) {
		exchange(t, seed, 1+int(frames%64), 1+int(largest%(1<<20)))
	})
}

// The largest message there is, with small frames between its parts.
func TestAMessageOf64MBIsExchangedWhole(t *testing.T) { exchange(t, 1, 3, 64<<20) }

// exchange sends random frames of five calls through outgoing, a splitter and incoming, with credit
// going back, and compares.
func exchange(t *testing.T, seed uint64, frames, largest int) {
	random := rand.New(rand.NewPCG(seed, 1))
	var out outgoing
	sent, got := map[uint32][][]byte{}, map[uint32][][]byte{}
	in := incoming{from: &fromHub, max: 64<<20 + 64<<10, grant: func(id uint32, n int) { out.grant(id, uint32(n)) }}
	receive := func(f Frame) { got[f.ID] = append(got[f.ID], bytes.Clone(f.Payload)) }
	split := splitter{from: &fromHub}
	each := func(f Frame) error {
		switch f.Kind {
		case Begin:
			return in.begin(f)
		case Data:
			m, done, err := in.data(f)
			if done && err == nil {
				receive(m)
			}
			return err
		}
		receive(f)
		return nil
	}
	var spare []byte
	pump := func() bool {
		raw := out.take(spare)
		if len(raw) > roundData+MaxMessages*(MaxPayload+100)+frames*(MaxPayload+headSize) {
			t.Fatalf("one write of %d bytes", len(raw))
		}
		for rest := raw; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN(2*MaxPayload))
			if err := split.split(rest[:n], each); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		spare = raw
		return len(raw) > 0
	}
	for i := range frames {
		id := 1<<20 + random.Uint32N(5)
		n := random.IntN(1 + random.IntN(largest))
		if i == 0 {
			n = largest - 6
		}
		payload := make([]byte, max(9, n)+1) // Send: a number, no type, then data
		binary.LittleEndian.PutUint32(payload[1:], random.Uint32())
		payload[len(payload)-1] = byte(i)
		sent[id] = append(sent[id], payload)
		out.add(callKey(id), Send, id, payload)
		if random.IntN(3) == 0 {
			pump()
		}
	}
	for pump() {
	}
	split.release()
	if out.queued() != 0 || len(out.holds) != 0 || len(out.open) != 0 || in.held != 0 || len(in.open) != 0 {
		t.Fatalf("left over: %d bytes, %d holds, %d going, %d coming", out.queued(), len(out.holds), len(out.open), in.held)
	}
	for id, want := range sent {
		if !slices.EqualFunc(got[id], want, bytes.Equal) {
			t.Fatalf("call %#x: %d frames came, or in another order; %d were sent", id, len(got[id]), len(want))
		}
	}
}
