package loadtest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"testing"
)

// serverFrame is what a server sends: not masked.
func serverFrame(first byte, payload []byte) []byte {
	out := []byte{first}
	switch n := len(payload); {
	case n < 126:
		out = append(out, byte(n))
	case n < 1<<16:
		out = append(out, 126, byte(n>>8), byte(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 127), uint64(n))
	}
	return append(out, payload...)
}

// A read ends anywhere, so a frame must come out whole however it was cut.
func TestAFrameIsReadWhereverItIsCut(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 65535, 65536} {
		want := bytes.Repeat([]byte{'x'}, size)
		all := serverFrame(0x80|opText, want)
		for _, cut := range []int{0, 1, 2, 3, 5, 9, 10, len(all) - 1} {
			if cut >= len(all) {
				continue
			}
			if _, n, err := parseFrame(all[:cut]); n != 0 || err != nil {
				t.Fatalf("%d of %d bytes: took %d, %v", cut, len(all), n, err)
			}
		}
		f, n, err := parseFrame(append(all, 0x81))
		if err != nil || n != len(all) || !f.final || f.op != opText || !bytes.Equal(f.payload, want) {
			t.Fatalf("size %d: %d bytes, %v", size, n, err)
		}
	}
}

func TestAForbiddenFrameEndsTheConnection(t *testing.T) {
	for name, b := range map[string][]byte{
		"reserved bit":       {0x80 | 0x40 | opText, 0},
		"masked by a server": {0x80 | opText, 0x80},
		"unknown opcode":     {0x80 | 0x3, 0},
		"fragmented ping":    {opPing, 0},
		"long ping":          {0x80 | opPing, 126, 0, 126},
		"long form of short": {0x80 | opText, 126, 0, 5},
		"absurd length":      {0x80 | opText, 127, 0x7f, 0, 0, 0, 0, 0, 0, 0},
	} {
		if _, _, err := parseFrame(b); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add(serverFrame(0x81, []byte("hello")))
	f.Add(serverFrame(0x89, nil))
	f.Add([]byte{0x81, 126, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		fr, n, err := parseFrame(in)
		if n < 0 || n > len(in) || err != nil && n != 0 || n > 0 && len(fr.payload) > n-2 {
			t.Fatalf("took %d of %d, payload %d, %v", n, len(in), len(fr.payload), err)
		}
		if n > 0 {
			if again, m, err := parseFrame(in[:n]); m != n || err != nil || !bytes.Equal(again.payload, fr.payload) {
				t.Fatalf("the frame alone reads differently: %d, %v", m, err)
			}
		}
	})
}

// The request is masked once and patched for each call: what a server unmasks must be what was meant.
func TestAnEncodedCallUnmasksToItsJSONRPC(t *testing.T) {
	r := &run{Scenario: Scenario{Function: "add", Args: json.RawMessage("[1,2]"), InFlight: 16}}
	s := newSocketCodec(r)
	for _, slot := range []int{0, 7, 999_999} {
		b := s.encode([]byte("before"), slot)[len("before"):]
		if b[0] != 0x80|opText || b[1] != 0x80|byte(len(b)-6) {
			t.Fatalf("head %x", b[:2])
		}
		for i := range b[6:] {
			b[6+i] ^= b[2+i&3]
		}
		want := `{"jsonrpc":"2.0","id":` + itoa(firstID+slot) + `,"method":"invoke","params":{"function":"add","args":[1,2]}}`
		if string(b[6:]) != want {
			t.Fatalf("got  %s\nwant %s", b[6:], want)
		}
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// scanMessage must find in valid JSON exactly what encoding/json finds.
func FuzzScanMessage(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":1000001,"result":3}`,
		`{"id":1000000,"error":{"code":-32000,"message":"x","data":{"code":"overloaded"}}}`,
		` { "method" : "event", "params" : {"id": 5, "data": "}\"]"} } `, `{}`, `[]`, `{"id":`, `{"a":"\\"}`, `{"result":[[{}]],"id":7}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		m, ok := scanMessage(in)
		var want map[string]json.RawMessage
		if json.Unmarshal(in, &want) != nil || want == nil || bytes.IndexByte(in, '\\') >= 0 {
			return // not an object, or with escapes in names, which the hub's messages don't have
		}
		if !ok {
			t.Fatalf("valid JSON is refused: %s", in)
		}
		if string(m.result) != string(want["result"]) || string(m.fault) != string(want["error"]) || string(m.method) != string(want["method"]) {
			t.Fatalf("%s: %+v", in, m)
		}
	})
}

func TestAFragmentedAnswerAndAPingBetweenAreUnderstood(t *testing.T) {
	s := newSocketCodec(&run{Scenario: Scenario{Function: "add", Args: json.RawMessage("[]"), Expect: json.RawMessage("3")}})
	in := serverFrame(opText, []byte(`{"id":1000002,`))
	in = append(in, serverFrame(0x80|opPing, []byte("hi"))...)
	in = append(in, serverFrame(0x80|opContinuation, []byte(`"result":3}`))...)
	in = append(in, serverFrame(0x80|opText, []byte(`{"method":"event","params":{}}`))...)
	in = append(in, serverFrame(0x80|opText, []byte(`{"id":1000003,"result":4}`))...)
	in = append(in, serverFrame(0x80|opText, []byte(`{"id":1000004,"error":{"code":-32000,"message":"full","data":{"code":"overloaded"}}}`))...)
	var got []answer
	for len(in) > 0 {
		a, n, err := s.decode(in)
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		in = in[n:]
		got = append(got, answer{slot: a.slot, code: a.code, reply: a.reply})
	}
	want := []answer{
		{slot: -1}, {slot: -1, reply: appendFrame(nil, opPong, []byte("hi"), s.mask)}, {slot: 2}, {slot: -1},
		{slot: 3, code: codeWrong}, {slot: 4, code: "overloaded"},
	}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if got[i].slot != want[i].slot || got[i].code != want[i].code || !bytes.Equal(got[i].reply, want[i].reply) {
			t.Errorf("%d: got %+v, want %+v", i, got[i], want[i])
		}
	}
}
