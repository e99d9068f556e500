package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// flood yields so many chunks of 10 kB, and says how far it is to who asks.
const flood = `let at = 0
module.exports = async (chunks) => {
	if (chunks === 'at') return at
	return (async function * () {
		for (at = 0; at < chunks; at++) yield { at, text: 'x'.repeat(10_000) }
		return 'end'
	})()
}`

// A reader who is slow slows the generator: it gets everything, and what it has not read yet is in nobody's memory.
func TestASlowReaderSlowsAGenerator(t *testing.T) {
	const chunks = 6_000
	h := startHub(t)
	h.publish("flood", flood)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/v1/invoke/flood", strings.NewReader("[6000]"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.key)
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()

	// It has come to a stand once it has not moved for a good many answers of the same process.
	at, still := 0, 0
	for still < 100 {
		var now int
		h.http().json("POST", "/v1/invoke/flood", []any{"at"}, http.StatusOK, &now)
		if now != at {
			still = 0
		}
		at, still = now, still+1
	}
	if at == 0 || at > chunks/2 { // 30 MB: sockets hold a few
		t.Errorf("with nobody reading it came to chunk %d of %d", at, chunks)
	}

	next, last := 0, ""
	for lines := bufio.NewReaderSize(res.Body, 1<<20); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		data, isData := bytes.CutPrefix(line, []byte("data: "))
		if !isData {
			continue
		}
		last = string(data[:min(len(data), 100)])
		var ev struct {
			Type string
			Data struct{ At int }
		}
		if json.Unmarshal(data, &ev) != nil || ev.Type != "yield" {
			continue
		}
		if ev.Data.At != next {
			t.Fatalf("chunk %d came for %d", ev.Data.At, next)
		}
		next++
	}
	if next != chunks || last != "\"end\"\n" {
		t.Errorf("%d chunks came, and at last %q", next, last)
	}
}
