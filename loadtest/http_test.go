package loadtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

const (
	plainResponse   = "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH: 1\r\n\r\n3"
	chunkedResponse = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n"
	emptyResponse   = "HTTP/1.1 204 No Content\r\n\r\n"
)

func TestAResponseIsReadWhereverItIsCut(t *testing.T) {
	for raw, want := range map[string]string{plainResponse: "3", chunkedResponse: "abc0123456789", emptyResponse: ""} {
		for cut := range len(raw) {
			if _, _, n, err := parseResponse([]byte(raw[:cut])); n != 0 || err != nil {
				t.Fatalf("%d bytes of %q: took %d, %v", cut, raw, n, err)
			}
		}
		_, body, n, err := parseResponse([]byte(raw + "HTTP/1.1 200"))
		if err != nil || n != len(raw) || string(body) != want {
			t.Fatalf("%q: body %q, took %d of %d, %v", raw, body, n, len(raw), err)
		}
	}
}

func TestAResponseThatCannotBeDelimitedIsRefused(t *testing.T) {
	for name, raw := range map[string]string{
		"other protocol":   "SSH-2.0-OpenSSH_9.6\r\n\r\n",
		"no status":        "HTTP/1.1 abc\r\n\r\n",
		"no length":        "HTTP/1.1 200 OK\r\n\r\n",
		"two lengths":      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n3",
		"a length that is": "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"an unknown code":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"a bad chunk":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"endless headers":  "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 20_000),
	} {
		if _, _, n, err := parseResponse([]byte(raw)); err == nil {
			t.Errorf("%s is taken (%d bytes)", name, n)
		}
	}
}

// Whatever both readers accept, they must read as the same response.
func FuzzParseResponse(f *testing.F) {
	for _, raw := range []string{plainResponse, chunkedResponse, emptyResponse, "HTTP/1.1 200 OK\r\n\r\n"} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		status, body, n, err := parseResponse(in)
		if n < 0 || n > len(in) || err != nil && n != 0 {
			t.Fatalf("took %d of %d, %v", n, len(in), err)
		}
		if n == 0 || status < 200 {
			return
		}
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(in[:n])), &http.Request{Method: http.MethodPost})
		if err != nil {
			return
		}
		defer res.Body.Close()
		want, err := io.ReadAll(res.Body)
		if err == nil && (res.StatusCode != status || !bytes.Equal(want, body)) {
			t.Fatalf("%q: %d %q, net/http reads %d %q", in, status, body, res.StatusCode, want)
		}
	})
}

// A fault must be counted under the hub's code, a wrong result must never count as a call.
func TestAnswersAreToldApart(t *testing.T) {
	h := newHTTPCodec(&run{Scenario: Scenario{Function: "add", Args: json.RawMessage("[1,2]"), Expect: json.RawMessage("3")}})
	body := func(status, s string) string {
		return "HTTP/1.1 " + status + "\r\nContent-Length: " + itoa(len(s)) + "\r\n\r\n" + s
	}
	for raw, want := range map[string]answer{
		body("200 OK", "3"):                                     {},
		body("200 OK", " 3\n"):                                  {},
		body("200 OK", "4"):                                     {code: codeWrong, detail: `: "4"`},
		emptyResponse:                                           {code: codeWrong, detail: `: ""`},
		body("202 Accepted", "{}"):                              {code: "http_202"},
		body("502 Bad Gateway", "<html>"):                       {code: "http_502"},
		"HTTP/1.1 100 Continue\r\n\r\n":                         {slot: -1},
		body("429 x", `{"code":"overloaded","detail":"Wait."}`): {code: "overloaded", detail: ": Wait."},
	} {
		a, n, err := h.decode([]byte(raw))
		if err != nil || n != len(raw) || a.slot != want.slot || a.code != want.code || a.detail != want.detail {
			t.Errorf("%q: %+v, %d, %v; want %+v", raw, a, n, err, want)
		}
	}
}
