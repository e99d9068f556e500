package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"LIVEFN_URL", "LIVEFN_KEY", "LIVEFN_TENANT", "LIVEFN_ADMIN_KEY", registryTokenEnv} {
		_ = os.Unsetenv(name)
	}
	goleak.VerifyTestMain(m)
}

const (
	testKey  = "lf_acme_SECRET"
	adminKey = "operator_SECRET"
)

// hubStub answers as the contract says and keeps what it was asked.
type hubStub struct {
	*httptest.Server
	mu   sync.Mutex // guards seen
	seen []string   // "METHOD path body"
}

func newHubStub(t *testing.T) *hubStub {
	t.Helper()
	h := &hubStub{}
	h.Server = httptest.NewServer(http.HandlerFunc(h.serve))
	t.Cleanup(func() {
		h.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return h
}

func (h *hubStub) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	request := strings.TrimSpace(r.Method + " " + r.URL.RequestURI() + " " + string(body))
	h.mu.Lock()
	h.seen = append(h.seen, request)
	tries := len(h.seen)
	h.mu.Unlock()
	want := "Bearer " + testKey
	if strings.HasPrefix(r.URL.Path, "/v1/admin/") {
		want = "Bearer " + adminKey
	}
	if r.Header.Get("Authorization") != want {
		problem(w, 401, `{"code":"unauthorized","title":"Not signed in","detail":"The hub does not know this key."}`)
		return
	}
	answers := map[string]string{
		"POST /v1/invoke/add [1,2]":                                                    `3`,
		"POST /v1/invoke/add [-1,2]":                                                   `1`,
		"POST /v1/invoke/rows []":                                                      `{"rows":[1,2]}`,
		"POST /v1/invoke/import?async=1 [[1]]":                                         `{"execution":"01X"}`,
		"GET /v1/executions?limit=50":                                                  `{"items":[{"id":"01X","function":"import","version":2,"state":"failed","attempt":1,"createdAt":"2020-01-01T00:00:00.000Z","error":{"code":"function_error","message":"bad\u001b[2J"}},{"id":"01W","function":"add","version":1,"state":"paused","attempt":3,"createdAt":"2020-01-01T00:00:00.000Z"}],"next":"c1"}`,
		"POST /v1/executions/01X/pause":                                                `{"id":"01X","state":"pausing"}`,
		"POST /v1/executions/01X/cancel":                                               `{"id":"01X","state":"cancelled"}`,
		"POST /v1/executions/01X/resume {}":                                            `{"id":"01X","state":"queued"}`,
		`POST /v1/executions/01X/resume {"args":[[5],7],"version":2}`:                  `{"id":"01X","state":"queued"}`,
		`POST /v1/executions/01X/events {"type":"speed","data":2}`:                     `true`,
		"GET /v1/functions/add":                                                        `{"name":"add"}`,
		"GET /v1/executions?function=add&limit=20":                                     `{"items":[{"id":"01M88ZBKRBET5W1EJ7YCP8RHT2"},{"id":"01M88ZBKRBET5W1EJ7YCP8RHT1"}]}`,
		"GET /v1/executions/01M88ZBKRBET5W1EJ7YCP8RHT1/events?limit=1000":              `{"events":[{"stream":"execution.01M88ZBKRBET5W1EJ7YCP8RHT1","offset":1,"type":"execution.started","time":"2020-01-01T00:00:00.000Z","data":{}},{"stream":"execution.01M88ZBKRBET5W1EJ7YCP8RHT1","offset":2,"type":"log","time":"2020-01-01T00:00:00.000Z","data":{"level":"debug","message":"first"}}],"next":"e1:2"}`,
		"GET /v1/executions/01M88ZBKRBET5W1EJ7YCP8RHT1/events?limit=1000&since=e1%3A2": `{"events":[{"stream":"execution.01M88ZBKRBET5W1EJ7YCP8RHT1","offset":3,"type":"log","time":"2020-01-01T00:00:01.000Z","data":{"level":"error","message":"Error: x\n    at f (index.js:1:1)\u001b[2J","fields":{"row":7}}}]}`,
		"GET /v1/executions/01M88ZBKRBET5W1EJ7YCP8RHT2/events?limit=1000":              `{"events":[{"stream":"execution.01M88ZBKRBET5W1EJ7YCP8RHT2","offset":1,"type":"log","time":"2020-01-01T00:00:02.000Z","data":{"level":"info","message":"second"}}]}`,
		"GET /v1/executions/01M88ZBKRBET5W1EJ7YCP8RHT4":                                `{"id":"01M88ZBKRBET5W1EJ7YCP8RHT4","function":"add"}`,
		"GET /v1/functions":                                                            `{"items":[{"name":"add","latest":3,"versions":3,"aliases":{"prod":{"name":"prod","version":2},"canary":{"name":"canary","weights":{"2":90,"10":10}}},"state":"ready","updatedAt":"2020-01-01T00:00:00.000Z"},{"name":"new","latest":0,"versions":1,"state":"broken","updatedAt":"2020-01-01T00:00:00.000Z"}]}`,
		`POST /v1/admin/tenants {"name":"acme"}`:                                       `{"name":"acme","key":"lf_acme_NEW"}`,
		"GET /v1/admin/tenants":                                                        `{"items":[{"name":"acme","createdAt":"2020-01-01T00:00:00.000Z","functions":2}]}`,
		"DELETE /v1/admin/tenants/acme":                                                ``,
		"POST /v1/admin/tenants/acme/keys":                                             `{"id":"k1","key":"lf_acme_NEW"}`,
		"GET /v1/admin/tenants/acme/keys":                                              `{"items":[{"id":"k1","createdAt":"2020-01-01T00:00:00.000Z"}]}`,
		"DELETE /v1/admin/tenants/acme/keys/k1":                                        ``,
		"GET /v1/admin/tenants/acme/limits":                                            `{"limits":{"callBurst":9,"memory":"1GiB"},"effective":{"callRate":0,"callBurst":9,"memory":"1GiB"}}`,
		`PUT /v1/admin/tenants/acme/limits {"callRate":2.5,"memory":"512MiB"}`:         `{"limits":{"callRate":2.5,"memory":"512MiB"},"effective":{"callRate":2.5,"callBurst":0,"memory":"512MiB"}}`,
		"GET /v1/bridges":                                                              `{"items":[{"tenant":"acme","pid":71,"node":"v20.19.2","state":"running","startedAt":"2020-01-01T00:00:00.000Z","inFlight":3,"calls":12,"loopDelay":1.25,"cpu":0.5,"memory":52428900,"processes":1,"restarts":0}],"ended":[{"tenant":"acme","pid":70,"startedAt":"2020-01-01T00:00:00.000Z","endedAt":"2020-01-01T00:00:00.000Z","calls":4,"code":"died","reason":"the process died (signal: killed)"}]}`,
	}
	maps.Copy(answers, aliasAnswers)
	maps.Copy(answers, tokenAnswers)
	maps.Copy(answers, packagesAnswers)
	maps.Copy(answers, originsAnswers)
	if body, ok := answers[request]; ok {
		if body == "" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/invoke/boom":
		problem(w, 500, `{"code":"function_error","detail":"no such row","name":"Error","execution":"01Y","stack":"Error: no such row\n    at boom (index.js:1:7)"}`)
	case "POST /v1/invoke/slow":
		w.Header().Set("Livefn-Execution", "01Z")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"execution":"01Z"}`)
	case "POST /v1/invoke/nothing":
		w.WriteHeader(http.StatusNoContent)
	case "POST /v1/admin/backup":
		_, _ = io.WriteString(w, "livefn backup 1\nand no more than that")
	case "POST /v1/invoke/bytes":
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write([]byte{0, 1, 255})
	case "PUT /v1/functions/project":
		events(w, `event: log`, `data: {"line":"added 1 package"}`, ``,
			`event: result`, `data: {"name":"project","version":4,"state":"ready","installed":{"lodash":"4.18.1"},"ms":812}`, ``)
	case "PUT /v1/functions/broken":
		events(w, `event: error`, `data: {"code":"version_broken","detail":"index.js exports no function."}`, ``)
	case "GET /v1/streams/execution.>/events": // ends with what is no event, and so the program too
		log := func(id, message string) string {
			return fmt.Sprintf(`data: {"stream":"execution.%s","offset":1,"type":"log","time":"2020-01-01T00:00:00.000Z","data":{"level":"info","message":%q}}`, id, message)
		}
		start := func(id, function string) string {
			return fmt.Sprintf(`data: {"stream":"execution.%s","offset":1,"type":"execution.started","time":"2020-01-01T00:00:00.000Z","data":{"execution":%[1]q,"function":%q}}`, id, function)
		}
		events(w, start("01M88ZBKRBET5W1EJ7YCP8RHT1", "add"), ``, start("01M88ZBKRBET5W1EJ7YCP8RHT3", "rows"), ``,
			log("01M88ZBKRBET5W1EJ7YCP8RHT1", "of add"), ``, log("01M88ZBKRBET5W1EJ7YCP8RHT3", "of rows"), ``,
			log("01M88ZBKRBET5W1EJ7YCP8RHT4", "of add, which began before"), ``, log("01M88ZBKRBET5W1EJ7YCP8RHT5", "of nobody"), ``, `data: the end`, ``)
	case "GET /v1/executions/01X/events":
		if r.Header.Get("Last-Event-ID") == "" { // is cut off after the first event
			events(w, `id: e1:1`, `event: progress`, `data: {"stream":"execution.01X","offset":1,"type":"progress","time":"2020-01-01T00:00:00.000Z","data":{"done":1}}`, ``)
			return
		}
		events(w, `: still here`, `id: e1:2`, `event: execution.succeeded`,
			fmt.Sprintf(`data: {"stream":"execution.01X","offset":2,"type":"execution.succeeded","time":"2020-01-01T00:00:01.000Z","data":%q}`,
				fmt.Sprintf("after %s, request %d", r.Header.Get("Last-Event-ID"), tries)), ``)
	default:
		problem(w, 404, `{"code":"not_found","detail":"There is nothing there."}`)
	}
}

func problem(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func events(w http.ResponseWriter, lines ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, strings.Join(lines, "\n")+"\n")
}

// livefn runs the program and gives its exit code and outputs.
func livefn(t *testing.T, in string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Run(t.Context(), args, strings.NewReader(in), &o, &e)
	return code, o.String(), e.String()
}

func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "project")
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What people and programs see of every command, in one file that a reviewer can read.
func TestEveryCommandPrintsWhatItDid(t *testing.T) {
	h := newHubStub(t)
	t.Setenv("LIVEFN_URL", h.URL)
	t.Setenv("LIVEFN_KEY", testKey)
	t.Setenv("LIVEFN_ADMIN_KEY", adminKey)
	dir := project(t, map[string]string{"index.js": "module.exports = () => 1"})
	var got strings.Builder
	for _, args := range [][]string{
		{"invoke", "add", "1", "2"}, {"invoke", "add", "-1", "2", "--json"}, {"invoke", "rows"}, {"--json", "invoke", "rows"},
		{"invoke", "boom"}, {"--json", "invoke", "boom"}, {"invoke", "slow"}, {"invoke", "nothing"}, {"--json", "invoke", "nothing"},
		{"invoke", "bytes"}, {"invoke", "add", "one"}, {"invoke"}, {"nope"},
		{"start", "import", "[1]"}, {"start", "import", "[1]", "--json"}, {"ps"}, {"ps", "--json"},
		{"pause", "01X"}, {"resume", "01X"}, {"resume", "01X", "[5]", "7", "--version", "2"}, {"cancel", "01X"}, {"cancel", "01X", "--json"},
		{"send", "01X", "speed", "2"}, {"send", "01X", "speed", "{"}, {"functions"},
		{"alias", "add"}, {"alias", "new"}, {"alias", "add", "--json"}, {"alias", "set", "add", "prod", "3"}, {"alias", "set", "add", "prod", "2=90", "10=10"},
		{"functions", "versions", "add"}, {"functions", "rm", "add", "--drain"}, {"functions", "rm", "add@2"},
		{"alias", "set", "add", "prod", "2", "10"}, {"alias", "set", "add", "prod", "2=x"}, {"alias", "rollback", "add", "prod"}, {"alias", "rm", "add", "prod"},
		{"publish", dir}, {"publish", dir, "--json"}, {"publish", dir, "--name", "broken"}, {"publish", dir + "/nope"},
		{"dev"}, {"dev", dir + "/nope"}, {"dev", dir, "--name", "a/b", "--data", dir},
		{"tail", "execution.01X"}, {"tail", "nope.>"},
		{"logs", "01M88ZBKRBET5W1EJ7YCP8RHT1"}, {"logs", "01M88ZBKRBET5W1EJ7YCP8RHT1", "--level", "warn", "--json"}, {"logs", "add"},
		{"logs", "-f", "add"}, {"logs", "-f"}, {"logs", "nope"}, {"logs", "--last", "0"},
		{"tenants", "create", "acme"}, {"tenants", "list"}, {"tenants", "delete", "acme"},
		{"keys", "create", "acme"}, {"keys", "list", "acme"}, {"keys", "delete", "acme", "k1", "--json"}, {"keys", "delete", "acme", "k2"},
		{"bridges"}, {"bridges", "--json"},
		{"token", "mint", "invoke:add", "executions:own", "--subject", "u7", "--ttl", "15m"}, {"token", "mint", "invoke:add", "--json"}, {"token", "mint"},
		{"token", "revoke", "--subject", "u7"}, {"token", "revoke", "eyJ.e30.x", "--json"}, {"token", "revoke"}, {"token", "revoke", "eyJ.e30.x", "--id", "t1"},
		{"token", "keys", "list"}, {"token", "keys", "add", "HS256", "--kid", "web-1"}, {"token", "keys", "delete", "web-1", "--after", "24h"},
		{"limits", "show", "acme"}, {"limits", "show", "acme", "--json"}, {"limits", "set", "acme", "callRate=2.5", "memory=512MiB", "callBurst="},
		{"limits", "set", "acme", "callRate"}, {"limits", "show", "zeta"},
		{"packages", "show"}, {"packages", "show", "--json"}, {"packages", "set", "scripts=all", "registry=https://npm.acme.example/", "@acme=https://npm.acme.example/private/"},
		{"packages", "unset", "scripts", "registry", "@acme", "https://npm.acme.example/private/"}, {"packages", "set"}, {"packages", "set", "scripts"},
		{"packages", "set", "scripts="}, {"packages", "set", "token=x"}, {"packages", "set", "--token-for", "https://npm.acme.example/"}, {"packages", "unset"}, {"packages", "unset", "tokens"},
		{"origins", "show"}, {"origins", "set", "https://app.example.com", "https://*.example.org", "--json"}, {"origins", "set", "--none"}, {"origins", "unset"},
		{"origins", "unset", "--json"}, {"origins", "set"}, {"origins", "set", "https://app.example.com", "--none"},
		{"backup", "-o", dir + "/cut"}, {"restore", dir + "/index.js", "--data", dir + "/new"}, {"restore", dir + "/nope"},
		{"load", "add", "--in-flight", "4"}, {"--key", "wrong", "functions"}, {"tenants"}, {"load"}, {"load", "compare", "--rounds", "0"},
		{"--url", "nowhere", "ps"}, {"--admin-key", "wrong", "tenants", "list"}, {"tenants", "--admin-key", "wrong", "list"},
	} {
		code, out, errs := livefn(t, "", args...)
		fmt.Fprintf(&got, "$ livefn %s\n", strings.ReplaceAll(strings.Join(args, " "), dir, "DIR"))
		got.WriteString(out)
		for line := range strings.Lines(strings.ReplaceAll(errs, dir, "DIR")) {
			got.WriteString("! " + line)
		}
		fmt.Fprintf(&got, "= %d\n\n", code)
	}
	text := strings.ReplaceAll(got.String(), h.URL, "URL")
	text = strings.ReplaceAll(strings.ToValidUTF8(text, `\xff`), "\x00", `\x00`) // a text, for git too
	text = ages.ReplaceAllString(text, "AGO")
	golden(t, "commands.txt", text)
	for _, secret := range []string{testKey, adminKey} {
		if strings.Contains(text, secret) {
			t.Errorf("the output holds a key")
		}
	}
}

// The key comes from the environment; help must say where from, and not what.
func TestHelpDoesNotShowKeys(t *testing.T) {
	t.Setenv("LIVEFN_KEY", testKey)
	t.Setenv("LIVEFN_ADMIN_KEY", adminKey)
	t.Setenv("LIVEFN_SECRET_KEY", "seal-with-this")
	for _, args := range [][]string{{"--help"}, {"invoke", "--help"}, {"tenants", "--help"}, {"serve", "--help"}, {"dev", "--help"}, {"load", "--help"}, {}} {
		code, out, errs := livefn(t, "", args...)
		if code != exitDone || !strings.Contains(out, "Usage: livefn") || errs != "" {
			t.Errorf("%v: %d %q", args, code, errs)
		}
		if strings.Contains(out, testKey) || strings.Contains(out, adminKey) || strings.Contains(out, "seal-with-this") {
			t.Errorf("%v shows a key:\n%s", args, out)
		}
	}
}

func TestFlagsGoBeforeEnvironmentBeforeFile(t *testing.T) {
	h := newHubStub(t)
	file := filepath.Join(t.TempDir(), "livefn.yaml")
	if err := os.WriteFile(file, []byte("url: "+h.URL+"\nkey: from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) int {
		code, _, _ := livefn(t, "", append([]string{"--config", file, "invoke", "add", "1", "2"}, args...)...)
		return code
	}
	if run() != exitFailed {
		t.Error("the file's key is not used")
	}
	t.Setenv("LIVEFN_KEY", testKey)
	if run() != exitDone {
		t.Error("the environment does not go before the file")
	}
	t.Setenv("LIVEFN_KEY", "from-environment")
	if run("--key", testKey) != exitDone {
		t.Error("the flag does not go before the environment")
	}
	if code, _, errs := livefn(t, "", "--config", file+".none", "functions"); code != exitUsage {
		t.Errorf("a file that is not there: %d %s", code, errs)
	}
}

// A key with a typing error, or one that stands in the wrong place, must not be a setting that is ignored.
func TestAConfigFileHoldsNothingThatNobodyReads(t *testing.T) {
	h := newHubStub(t)
	t.Setenv("LIVEFN_KEY", testKey)
	for _, c := range []struct {
		yaml, want string // want: part of the complaint, "" for none
	}{
		{"url: " + h.URL, ""},
		{"url: " + h.URL + "\njson: false\nlisten: 0.0.0.0:80\n", ""},
		{"url: " + h.URL + "\nserve:\n  listen: 0.0.0.0:80\nload:\n  connections: 3\nps:\n", ""},
		{"uri: " + h.URL, "uri is no flag"},
		{"url: " + h.URL + "\nserve:\n  lisen: x\n", "serve: lisen is no flag"},
		{"url: " + h.URL + "\nserve:\n  connections: 3\n", "serve: connections is no flag"},
		{"url: " + h.URL + "\nsrve:\n  listen: x\n", "srve is no command"},
		{"url: {a: 1}", "url is no command"},
		{"config: x", "config is no flag"},
		{"- url", "must hold flags"},
		{"url: [", "yaml"},
	} {
		file := filepath.Join(t.TempDir(), "livefn.yaml")
		if err := os.WriteFile(file, []byte(c.yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, errs := livefn(t, "", "--config", file, "functions")
		if c.want == "" && code != exitDone || c.want != "" && (code != exitUsage || !strings.Contains(errs, c.want)) {
			t.Errorf("%q: %d %s", c.yaml, code, errs)
		}
	}
}

// The value that stands closest to a command holds.
func TestACommandsPartOfAConfigFileGoesFirst(t *testing.T) {
	h := newHubStub(t)
	t.Setenv("LIVEFN_KEY", testKey)
	file := filepath.Join(t.TempDir(), "livefn.yaml")
	for _, c := range []struct{ yaml, want string }{
		{"limit: 7", "limit=7"}, {"ps: {limit: 8}", "limit=8"}, {"limit: 7\nps: {limit: 8}", "limit=8"}, {"ps:\nload: {connections: 3}", "limit=50"},
	} {
		if err := os.WriteFile(file, []byte("url: "+h.URL+"\n"+c.yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, _ = livefn(t, "", "--config", file, "ps")
		h.mu.Lock()
		if last := h.seen[len(h.seen)-1]; last != "GET /v1/executions?"+c.want {
			t.Errorf("%q: %s", c.yaml, last)
		}
		h.mu.Unlock()
	}
}

func TestAnAddressWhereNoHubIsIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := "http://" + ln.Addr().String()
	_ = ln.Close()
	for _, args := range [][]string{{"ps"}, {"tail", "execution.01X"}, {"invoke", "add"}} {
		code, _, errs := livefn(t, "", append(args, "--url", gone)...)
		if want := "livefn: " + gone + " cannot be reached: connect: connection refused\nIs a hub running there?"; code != exitFailed || !strings.HasPrefix(errs, want) {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
}

func TestArgumentsComeFromFilesAndStandardInput(t *testing.T) {
	h := newHubStub(t)
	file := filepath.Join(t.TempDir(), "one.json")
	if err := os.WriteFile(file, []byte(" 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := livefn(t, "2\n", "--url", h.URL, "--key", testKey, "invoke", "add", "@"+file, "-")
	if code != exitDone || out != "3\n" {
		t.Errorf("%d %q %q", code, out, errs)
	}
}

// What is published is the project: no packages, no history, and nothing that usually holds secrets.
func TestPublishReadsTheProjectAndLeavesSecretsOut(t *testing.T) {
	text := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	files, left, err := readProject(fstest.MapFS{
		"index.js": text("x"), "lib/a.js": text("y"), "test/a.test.js": text("z"), "package.json": text(`{"name":"@acme/thing"}`),
		"node_modules/x/index.js": text("n"), "lib/node_modules/y.js": text("n"), ".git/HEAD": text("ref"), ".DS_Store": text("\x00"),
		".env": text("SECRET=1"), ".env.production": text("SECRET=2"), ".npmrc": text("token"),
		"icon.png": text("\x00\xff"),
	})
	want := map[string][]byte{"index.js": []byte("x"), "lib/a.js": []byte("y"), "test/a.test.js": []byte("z"), "package.json": []byte(`{"name":"@acme/thing"}`), "icon.png": []byte("\x00\xff")}
	if err != nil || fmt.Sprint(files) != fmt.Sprint(want) || len(left) != 3 {
		t.Errorf("%v, left out %v, %v", files, left, err)
	}
	if name, err := projectName("x", files["package.json"]); name != "thing" || err != nil {
		t.Errorf("%q %v", name, err)
	}
	for name, dir := range map[string]fstest.MapFS{
		"empty": {"node_modules/x.js": text("")},
		"over":  {"a.json": text(strings.Repeat("x", maxBytes+1))},
		"plain": {"link": {Mode: os.ModeSymlink}},
	} {
		if _, _, err := readProject(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A program that reads --json must be able to read all of it.
func TestErrorsForProgramsAreJSON(t *testing.T) {
	h := newHubStub(t)
	for _, args := range [][]string{{"functions"}, {"invoke", "add", "x"}} {
		_, _, errs := livefn(t, "", append(args, "--json", "--url", h.URL)...)
		var line struct{ Code, Detail string }
		if err := json.Unmarshal([]byte(errs), &line); err != nil || line.Code == "" || line.Detail == "" {
			t.Errorf("%v: %q", args, errs)
		}
	}
}
