package conn

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// rawClient speaks RFC 6455 by hand, rightly and wrongly.
type rawClient struct {
	*net.TCPConn
	t testing.TB
	r *bufio.Reader
}

func (f *front) raw() *rawClient {
	f.t.Helper()
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer %s\r\n\r\n", f.key)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols || res.Body.Close() != nil {
		f.t.Fatalf("%v, %v", res, err)
	}
	return &rawClient{c.(*net.TCPConn), f.t, r}
}

// hear reads a frame and says what it is; "end" is the end of the connection.
func (c *rawClient) hear() string {
	c.t.Helper()
	var head [2]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		if err == io.EOF || strings.Contains(err.Error(), "reset") {
			return "end"
		}
		c.t.Fatal(err)
	}
	n := int(head[1])
	if n == 126 {
		var long [2]byte
		if _, err := io.ReadFull(c.r, long[:]); err != nil {
			c.t.Fatal(err)
		}
		n = int(binary.BigEndian.Uint16(long[:]))
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(c.r, p); err != nil {
		c.t.Fatal(err)
	}
	switch head[0] {
	case 0x81:
		return string(p)
	case 0x8a:
		return "pong " + string(p)
	case 0x88:
		if n < 2 {
			return "close"
		}
		return fmt.Sprintf("close %d %s", binary.BigEndian.Uint16(p), p[2:])
	}
	return fmt.Sprintf("a frame %x of %q", head, p)
}

// A client's frames: first is the first byte, of FIN, the reserved bits and the opcode.
const (
	fin  = 0x80
	rsv1 = 0x40
	rsv2 = 0x20
	rsv3 = 0x10

	opMore   = 0
	opBinary = 2
	opPong   = 10
)

var maskKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

func masked(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, maskKey[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^maskKey[i%4])
	}
	return string(b)
}

func bare(first byte, payload string) string {
	return string([]byte{first, byte(len(payload))}) + payload
}

func closing(code uint16, reason string) string {
	return masked(fin|opClose, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// protocolCase is what a client sends, and what it hears up to the end of the connection.
type protocolCase struct {
	name  string
	sent  string
	hears []string
}

const (
	heardProtocol = "close 1002 protocol error"
	heardUTF8     = "close 1007 not UTF-8"
	heardLarge    = "close 1009 message too large"
	heardBinary   = "close 1003 text frames only"
)

// protocolCases follow the chapters of the Autobahn test suite. Those that break nothing end with a close of the client's own.
func protocolCases(maxFrame int) (cases []protocolCase) {
	add := func(name, sent string, hears ...string) { cases = append(cases, protocolCase{name, sent, hears}) }
	bye, heardBye := closing(1000, "bye"), "close 1000 bye"
	ping := func(id string) string { return `{"jsonrpc":"2.0","id":"` + id + `","method":"ping"}` }
	pong := func(id string) string { return `{"jsonrpc":"2.0","id":"` + id + `","result":"pong"}` }
	sized := func(n int) string { m := ping("s"); return m + strings.Repeat(" ", n-len(m)) }
	text := func(s string) string { return masked(fin|opText, s) }

	// 1: messages
	for _, n := range []int{125, 126, 127, 128, 0xffff, 0x10000, maxFrame} {
		add(fmt.Sprintf("a text of %d bytes", n), text(sized(n))+bye, pong("s"), heardBye)
	}
	add("an empty text", text("")+bye, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"The message is not JSON."}}`, heardBye)
	for _, n := range []int{0, 125, 126, 0xffff, 0x10000} {
		add(fmt.Sprintf("a binary message of %d bytes", n), masked(fin|opBinary, strings.Repeat("\xfe", n)), heardBinary)
	}
	add("a binary message in parts", masked(opBinary, "a")+masked(fin|opMore, "b"), heardBinary)

	// 2: pings and pongs
	for _, p := range []string{"", "hello", "\x00\xff\xfe\xfd", strings.Repeat("\xfe", 125)} {
		add(fmt.Sprintf("a ping of %d bytes", len(p)), masked(fin|opPing, p)+bye, "pong "+p, heardBye)
	}
	add("a ping of 126 bytes", masked(fin|opPing, strings.Repeat("x", 126)), heardProtocol)
	add("pongs that nobody asked for", masked(fin|opPong, "")+masked(fin|opPong, "x")+text(ping("p"))+bye, pong("p"), heardBye)
	add("a pong of 126 bytes", masked(fin|opPong, strings.Repeat("x", 126)), heardProtocol)
	add("ten pings in a row", strings.Repeat(masked(fin|opPing, "a")+masked(fin|opPing, "b"), 5)+bye,
		"pong a", "pong b", "pong a", "pong b", "pong a", "pong b", "pong a", "pong b", "pong a", "pong b", heardBye)

	// 3: reserved bits
	for _, bits := range []byte{rsv1, rsv2, rsv1 | rsv2, rsv3, rsv1 | rsv3, rsv2 | rsv3, rsv1 | rsv2 | rsv3} {
		add(fmt.Sprintf("reserved bits %x of a text", bits), masked(fin|bits|opText, ping("r")), heardProtocol)
		add(fmt.Sprintf("reserved bits %x of a ping", bits), masked(fin|bits|opPing, ""), heardProtocol)
		add(fmt.Sprintf("reserved bits %x of a close", bits), masked(fin|bits|opClose, ""), heardProtocol)
		add(fmt.Sprintf("reserved bits %x of a second part", bits), masked(opText, "{")+masked(fin|bits|opMore, "}"), heardProtocol)
	}

	// 4: reserved opcodes
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		add(fmt.Sprintf("opcode %d", op), text(ping("o"))+masked(fin|op, "x"), pong("o"), heardProtocol)
		add(fmt.Sprintf("opcode %d between two parts", op), masked(opText, "{")+masked(fin|op, ""), heardProtocol)
	}

	// 5: messages in parts
	parts := func(between string, p ...string) string {
		s := masked(opText, p[0])
		for _, part := range p[1 : len(p)-1] {
			s += between + masked(opMore, part)
		}
		return s + between + masked(fin|opMore, p[len(p)-1])
	}
	whole := ping("f")
	var bytes []string
	for i := range len(whole) {
		bytes = append(bytes, whole[i:i+1])
	}
	add("a text in two parts", parts("", whole[:9], whole[9:])+bye, pong("f"), heardBye)
	add("a text a byte a part", parts("", bytes...)+bye, pong("f"), heardBye)
	add("a text with empty parts", parts("", "", whole[:9], "", whole[9:], "")+bye, pong("f"), heardBye)
	add("pings between the parts", parts(masked(fin|opPing, "i"), whole[:9], whole[9:20], whole[20:])+bye, "pong i", "pong i", pong("f"), heardBye)
	add("pongs between the parts", parts(masked(fin|opPong, "i"), whole[:9], whole[9:])+bye, pong("f"), heardBye)
	add("a close between the parts", masked(opText, whole[:9])+bye, heardBye)
	add("a ping in parts", masked(opPing, "a")+masked(fin|opMore, "b"), heardProtocol)
	add("a pong in parts", masked(opPong, "a")+masked(fin|opMore, "b"), heardProtocol)
	add("a close in parts", masked(opClose, "\x03")+masked(fin|opMore, "\xe8"), heardProtocol)
	add("a part of nothing", masked(fin|opMore, whole), heardProtocol)
	add("a first part of nothing", masked(opMore, whole)+masked(fin|opMore, ""), heardProtocol)
	add("a part after the last", parts("", whole[:9], whole[9:])+masked(fin|opMore, "x"), pong("f"), heardProtocol)
	add("a text between the parts of another", masked(opText, whole[:9])+text(whole), heardProtocol)

	// 6: UTF-8
	add("UTF-8 that is cut up within its characters", parts("", "{\"jsonrpc\":\"2.0\",\"id\":\"\xce", "\xba\xf0\x9f", "\x98", "\x80\",\"method\":\"ping\"}")+bye, pong("κ😀"), heardBye)
	for name, id := range map[string]string{
		"of two bytes": "\u0080\u07ff", "of three bytes": "\u0800\ud7ff\ue000\ufffd", "of four bytes": "\U00010000\U0010ffff", "no characters": "\ufffe\uffff",
	} {
		add("UTF-8 "+name, text(ping(id))+bye, pong(id), heardBye)
	}
	for name, bad := range map[string]string{
		"a byte that there is not": "\xff", "a lone second byte": "\x80", "a lone first byte": "\xc3", "an overlong slash": "\xc0\xaf", "an overlong zero": "\xe0\x80\x80",
		"half a surrogate pair": "\xed\xa0\x80", "a surrogate pair": "\xed\xa0\x80\xed\xb0\x80", "above the last character": "\xf4\x90\x80\x80", "five bytes": "\xf8\x88\x80\x80\x80",
	} {
		add("not UTF-8: "+name, text(ping(bad)), heardUTF8)
		add("not UTF-8, in parts: "+name, parts("", ping("a"), bad[:1], bad[1:], "x"), heardUTF8)
	}
	add("UTF-8 that ends within a character", text("\"\xe2\x82"), heardUTF8)
	add("UTF-8 that ends within a character of the last part", parts("", "\"\xe2", "\x82"), heardUTF8)

	// 7: closes
	add("a close without a code", masked(fin|opClose, ""), "close")
	add("a close of one byte", masked(fin|opClose, "\x03"), heardProtocol)
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		want := fmt.Sprintf("close %d ", code)
		if r := CloseCode(code); r == CloseProtocol || r == CloseTooLarge { // said in the words of CloseCodes
			want += r.reason()
		}
		add(fmt.Sprintf("a close with %d", code), closing(code, ""), want)
	}
	for _, code := range []uint16{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 0xffff} {
		add(fmt.Sprintf("a close with %d, which may not be sent", code), closing(code, ""), heardProtocol)
	}
	add("a close in words of the client's", closing(4000, "abc"), "close 4000 abc")
	add("a close with the longest reason", closing(1000, strings.Repeat("r", 123)), "close 1000 "+strings.Repeat("r", 123))
	add("a close with a reason that is too long", closing(1000, strings.Repeat("r", 124)), heardProtocol)
	add("a close whose reason is not UTF-8", closing(1000, "\xce\xba\xed\xa0\x80"), heardUTF8)
	add("a close after a close", bye+closing(1001, ""), heardBye)
	add("a ping after a close", bye+masked(fin|opPing, ""), heardBye)
	add("a text after a close", bye+text(whole), heardBye)
	add("garbage after a close", bye+strings.Repeat("\xde\xad\xbe\xef", 300), heardBye)
	add("much garbage after a protocol error", masked(fin|3, "")+strings.Repeat("\xde\xad\xbe\xef", 50_000), heardProtocol)

	// Frames that lie about themselves
	add("a text without a mask", bare(fin|opText, whole), heardProtocol)
	add("a ping without a mask", bare(fin|opPing, ""), heardProtocol)
	add("a close without a mask", bare(fin|opClose, "\x03\xe8"), heardProtocol)
	add("a second part without a mask", masked(opText, whole[:9])+bare(fin|opMore, whole[9:]), heardProtocol)
	add("a message over MaxFrame", text(strings.Repeat(" ", maxFrame+1)), heardLarge)
	add("a message over MaxFrame, in parts", parts("", strings.Repeat(" ", maxFrame), " "), heardLarge)
	add("parts over MaxFrame without an end", masked(opText, strings.Repeat(" ", maxFrame))+masked(opMore, strings.Repeat(" ", maxFrame)), heardLarge)
	add("a frame that says it has 2^62 bytes", "\x81\xff\x40\x00\x00\x00\x00\x00\x00\x00"+string(maskKey[:])+strings.Repeat("x", maxFrame+1), heardLarge)
	add("a frame that says it has 2^63 bytes", "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00"+string(maskKey[:]), heardProtocol)
	add("a control frame that says it has 2^16 bytes", "\x89\xff\x00\x00\x00\x00\x00\x01\x00\x00"+string(maskKey[:]), heardProtocol)
	add("garbage", strings.Repeat("\xde\xad\xbe\xef", 8), heardProtocol)
	add("another HTTP request", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", heardProtocol)
	return cases
}

// Whatever one client does to the protocol, it is told by the right close code and in the words of docs/errors.md,
// its connection ends, and its neighbours go on. Each case comes at once, and again a byte a write.
func TestTheProtocolHoldsWhateverAClientSends(t *testing.T) {
	const maxFrame = 70_000
	f := open(t, Config{MaxFrame: maxFrame})
	neighbour := f.socket()
	neighbour.ask(`{"jsonrpc":"2.0","id":0,"method":"subscribe","params":{"stream":"neighbours"}}`)
	for i, c := range protocolCases(maxFrame) {
		for _, bytewise := range []bool{false, true} {
			if bytewise && len(c.sent) > 2000 {
				continue
			}
			r := f.raw()
			step := len(c.sent)
			if bytewise {
				step = 1
			}
			for at := 0; at < len(c.sent); at += step {
				if _, err := io.WriteString(r, c.sent[at:at+step]); err != nil {
					break // it was closed already, which is heard
				}
			}
			var heard []string
			for {
				h := r.hear()
				if h == "end" {
					break
				}
				heard = append(heard, h)
				if strings.HasPrefix(h, "close") { // answer it, as a client does; the hub may be gone
					_, _ = io.WriteString(r, closing(1000, ""))
				}
			}
			if fmt.Sprintf("%q", heard) != fmt.Sprintf("%q", c.hears) {
				t.Errorf("%s (bytewise %v): heard %q, want %q", c.name, bytewise, heard, c.hears)
			}
			_ = r.Close()
		}
		same(t, "the neighbour after "+c.name, neighbour.ask(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), `{"jsonrpc":"2.0","id":1,"result":"pong"}`)
		equal(t, "published", f.request("POST", "/v1/streams/neighbours/events", `{"type":"n"}`).status, http.StatusOK)
		equal(t, "the neighbour's event", neighbour.next().Params.Offset, uint64(i+1))
	}
}

// Who only ends its half of the connection has said all it will: it gets what it asked for, and the end.
func TestAHalfClosedConnectionIsAnsweredAndEnds(t *testing.T) {
	f := open(t, Config{})
	for _, c := range []struct {
		name, sent string
		hears      []string
	}{
		{"after a request", masked(fin|opText, `{"jsonrpc":"2.0","id":1,"method":"ping"}`), []string{`{"jsonrpc":"2.0","id":1,"result":"pong"}`, "end"}},
		{"after a ping", masked(fin|opPing, "x"), []string{"pong x", "end"}},
		{"after a close", closing(1000, ""), []string{"close 1000 ", "end"}},
		{"within a frame", masked(fin|opText, "{}")[:5], []string{"end"}},
		{"within a message that could be whole", masked(opText, `{"jsonrpc":"2.0","id":1,"method":"ping"}`), []string{"end"}},
		{"before the last byte", masked(fin|opText, "1 ")[:7], []string{"end"}},
		{"at once", "", []string{"end"}},
	} {
		r := f.raw()
		if _, err := io.WriteString(r, c.sent); err != nil {
			t.Fatal(err)
		}
		if err := r.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.hears {
			equal(t, c.name, r.hear(), want)
		}
	}
}
