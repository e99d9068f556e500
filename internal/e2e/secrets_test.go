package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// leaky tells its secret to everybody it can.
const leaky = `module.exports = async (how, hub) => {
	const { TOKEN } = hub.env
	console.log('my token is', TOKEN)
	console.error({ TOKEN })
	hub.log.warn('look', { TOKEN, deep: [{ url: 'https://' + TOKEN + '@example.org' }] })
	require('fs').writeSync(1, 'past everything: ' + TOKEN + '\n')
	require('fs').writeSync(2, 'and here: ' + TOKEN + '\n')
	if (how === 'throw') throw Object.assign(new RangeError('refused: ' + TOKEN), { name: TOKEN })
	if (how === 'cycle') return { toJSON () { throw new Error(TOKEN) } }
	if (how === 'hang') await new Promise((resolve, reject) => hub.signal.addEventListener('abort', () => reject(new Error(TOKEN))))
	return require('crypto').createHash('sha256').update(TOKEN).digest('hex').slice(0, 8)
}`

// A secret is known to its function and to nobody else: not to the API, the logs, the disk, or a backup.
func TestASecretIsNowhereToBeFound(t *testing.T) {
	const secret = "s3cr3t-c0ffee-do-not-tell"
	h := startHub(t)
	var seen bytes.Buffer
	ask := func(method, path string, body any, header ...string) []byte {
		t.Helper()
		var r io.Reader
		if body != nil {
			b, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			r = bytes.NewReader(b)
		}
		res := h.http().raw(method, path, r, header...)
		seen.Write(res.body)
		for name, values := range res.header {
			seen.WriteString(name + strings.Join(values, " "))
		}
		return res.body
	}
	manifest := `{"livefn": {"env": {"TOKEN": "` + secret + `"}}}`
	settings := map[string]any{"env": map[string]any{"TOKEN": secret}}
	ask("PUT", "/v1/functions/leaky", map[string]any{"source": leaky, "settings": settings})
	ask("PUT", "/v1/functions/leaky", map[string]any{"source": leaky, "settings": settings})
	ask("PUT", "/v1/functions/files", map[string]any{"files": map[string]string{"index.js": leaky, "package.json": manifest}})
	ask("PUT", "/v1/functions/broken", map[string]any{"source": "throw new Error('" + secret[:12] + "' + '" + secret[12:] + "')", "settings": settings})
	ask("PUT", "/v1/functions/wrong", map[string]any{"source": leaky, "settings": map[string]any{"env": map[string]any{"no-name": secret}}})
	ask("PUT", "/v1/functions/wrong", map[string]any{"source": leaky, "settings": map[string]any{"env": map[string]any{"A": []string{secret}}}})
	if got := ask("POST", "/v1/invoke/leaky", []any{"well"}); len(got) != 10 {
		t.Fatalf("the function gets something else: %s", got)
	}
	for _, how := range []string{"well", "throw", "cycle"} {
		for _, fn := range []string{"leaky", "files"} {
			ask("POST", "/v1/invoke/"+fn, []any{how})
			ask("POST", "/v1/invoke/"+fn, []any{how}, "Accept", "text/event-stream")
			ask("POST", "/v1/invoke/"+fn, []any{how}, "Idempotency-Key", fn+how)
		}
	}
	var x struct{ Execution string }
	if err := json.Unmarshal(ask("POST", "/v1/invoke/leaky?async=1", []any{"hang"}), &x); err != nil {
		t.Fatal(err)
	}
	h.watch(x.Execution).next("what it logs", func(ev event) bool { return ev.Type == "log" && bytes.Contains(ev.Data, []byte("deep")) }) // its last
	ask("POST", "/v1/executions/"+x.Execution+"/cancel", nil)
	for _, path := range []string{"/v1/functions", "/v1/functions/leaky", "/v1/functions/leaky/versions", "/v1/functions/leaky/versions/1",
		"/v1/functions/files/versions/1", "/v1/functions/broken/versions/1", "/v1/executions?limit=100", "/", "/metrics"} {
		ask("GET", path, nil)
	}
	var page struct {
		Items []struct{ ID, State string }
	}
	if err := json.Unmarshal(ask("GET", "/v1/executions?limit=100", nil), &page); err != nil || len(page.Items) < 7 {
		t.Fatalf("%v, %+v", err, page)
	}
	for _, x := range page.Items {
		ask("GET", "/v1/executions/"+x.ID, nil)
		if events := ask("GET", "/v1/executions/"+x.ID+"/events", nil); !bytes.Contains(events, []byte("my token is ***")) {
			t.Errorf("the log of %+v is not as expected: %s", x, events)
		}
	}
	file := filepath.Join(t.TempDir(), "hub.backup")
	if out, err := h.cli("backup", "-o", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(h.output.tail(), "past everything: ***") || !strings.Contains(h.output.tail(), "and here: ***") {
		t.Error("the hub's log lacks what the function printed")
	}
	h.stop()

	where := map[string][]byte{"the answers": seen.Bytes(), "the hub's log": []byte(h.output.tail()), "the backup": unpacked(t, file)}
	data := h.args[slices.Index(h.args, "--data")+1]
	if err := filepath.WalkDir(data, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			where[p], err = os.ReadFile(p)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(where["the backup"]) < 1000 || len(where) < 10 || seen.Len() < 10_000 {
		t.Fatalf("there is too little to look at: %d bytes of backup, %d places, %d bytes of answers", len(where["the backup"]), len(where), seen.Len())
	}
	for place, b := range where {
		if i := bytes.Index(b, []byte(secret)); i >= 0 {
			t.Errorf("%s tells the secret: %q", place, b[max(0, i-200):min(len(b), i+100)])
		}
	}

	again := newHub(t)
	if out, err := h.cli("restore", file, "--data", again.args[slices.Index(again.args, "--data")+1]); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	again.key = h.key
	again.start()
	again.http().json("POST", "/v1/invoke/leaky", []any{"well"}, http.StatusOK, nil)
}

// unpacked gives what a backup holds.
func unpacked(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(bytes.NewReader(b[bytes.IndexByte(b, '\n')+1 : len(b)-32]))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	content, err := io.ReadAll(d)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
