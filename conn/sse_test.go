package conn

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"
)

func TestAnInvokeThatAcceptsEventsEndsWithTheResult(t *testing.T) {
	f := open(t, Config{})
	res := f.open("POST", "/v1/invoke/progress", "[]", "Accept: text/event-stream")
	defer res.Body.Close()
	id := res.Header.Get("Livefn-Execution")
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, line := range strings.Split(string(b), "\n") {
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			names = append(names, name)
		}
	}
	got := strings.Join(names, " ")
	if !strings.Contains(got, "progress") || !strings.HasSuffix(got, " result") || strings.Count(got, " result") != 1 ||
		!strings.Contains(string(b), `"type":"result"`) || !strings.HasSuffix(string(b), "event: result\ndata: \"done\"\n\n") ||
		!strings.Contains(string(b), `"stream":"execution.`+id+`"`) {
		t.Fatalf("%s\n%s", got, b)
	}
	r := f.request("POST", "/v1/invoke/boom", "[]", "Accept: text/event-stream")
	if !strings.Contains(r.body, "event: error\ndata: {\"type\":\"urn:livefn:error:function_error\"") {
		t.Fatal(r.body)
	}
	equal(t, "not found", f.request("POST", "/v1/invoke/none", "[]", "Accept: text/event-stream").code(t), "not_found")
}

// readEvent reads one Server-Sent Event: its lines but comments.
func readEvent(t *testing.T, r *bufio.Reader) (lines []string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		switch line = strings.TrimSuffix(line, "\n"); {
		case line == "" && lines != nil:
			return lines
		case line != "" && line[0] != ':':
			lines = append(lines, line)
		}
	}
}

func TestAnEventStreamIsRecoveredFromItsLastEvent(t *testing.T) {
	f := open(t, Config{})
	r := f.request("POST", "/v1/invoke/held?async=1", "[]")
	<-f.bridges.more
	var s started
	_ = json.Unmarshal([]byte(r.body), &s)
	path := "/v1/executions/" + s.Execution + "/events"
	res := f.open("GET", path, "", "Accept: text/event-stream")
	defer res.Body.Close()
	first := readEvent(t, bufio.NewReader(res.Body))
	id := strings.TrimPrefix(first[0], "id: ")
	if !strings.HasSuffix(id, ":1") || first[1] != "event: execution.queued" || !strings.HasPrefix(first[2], `data: {"stream":"execution.`) {
		t.Fatalf("%q", first)
	}
	f.bridges.release("1")
	again := f.request("GET", path, "", "Accept: text/event-stream", "Last-Event-ID: "+id)
	if strings.Contains(again.body, "execution.queued") || !strings.Contains(again.body, "execution.started") || !strings.Contains(again.body, "execution.succeeded") {
		t.Fatal(again.body)
	}
	var page struct {
		Events []struct {
			Offset int
			Type   string
		}
		Epoch string
	}
	r = f.request("GET", path+"?limit=2", "")
	if err := json.Unmarshal([]byte(r.body), &page); err != nil || len(page.Events) != 2 || page.Events[0].Offset != 1 || page.Epoch+":1" != id {
		t.Fatalf("%s, %v", r.body, err)
	}
	equal(t, "a wrong id", f.request("GET", path, "", "Accept: text/event-stream", "Last-Event-ID: x").code(t), "invalid_request")
}

// A proxy between must not take a quiet stream for dead.
func TestAQuietEventStreamGetsComments(t *testing.T) {
	f := open(t, Config{PingEvery: 20 * time.Millisecond})
	res := f.open("GET", "/v1/streams/function.echo/events", "", "Accept: text/event-stream")
	defer res.Body.Close()
	b := make([]byte, 3)
	if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != ":\n\n" {
		t.Fatalf("%q, %v", b, err)
	}
}

// The rest would be an event stream with a hole in it; cut off, the client knows to come back.
func TestAnEventStreamThatIsNotReadIsCutOff(t *testing.T) {
	f := open(t, Config{OutboxBytes: 1 << 20})
	res := f.open("GET", "/v1/streams/execution.*/events", "", "Accept: text/event-stream")
	defer res.Body.Close()
	for range 4 {
		f.request("POST", "/v1/invoke/flood", "")
		<-f.bridges.more
	}
	b, err := io.ReadAll(res.Body)
	if err == nil || len(b) == 0 || len(b) > 40<<20 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
}

// What a client watched must not go on being collected for nobody.
func TestAnEventStreamEndsWithItsClient(t *testing.T) {
	f := open(t, Config{})
	res := f.open("GET", "/v1/streams/function.*/events", "", "Accept: text/event-stream")
	e := f.srv.live.list()[0].(*eventStream)
	res.Body.Close()
	f.stop()
	if !e.over || len(f.srv.live.list()) != 0 {
		t.Fatal("the stream is still there")
	}
}
