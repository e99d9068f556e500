package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// allExecutions is the pattern over the streams of all executions, as it stands in a URL.
const allExecutions = "execution.%3E"

// devOutput is what `livefn dev` prints: lines for people, or one JSON object a line with a type.
type devOutput struct {
	dir, name string // of the project
	json      bool

	mu  sync.Mutex // guards out
	out io.Writer
}

// show prints v with --json, else text.
func (o *devOutput) show(v any, format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.json {
		fmt.Fprintf(o.out, format, args...)
		return
	}
	b, err := json.Marshal(v)
	if err != nil { // it has texts, numbers and JSON that was decoded
		panic(err)
	}
	fmt.Fprintf(o.out, "%s\n", b)
}

func (o *devOutput) listening(url, key string) {
	dashboard := url + "/#key=" + key
	o.show(struct {
		Type      string `json:"type"`
		URL       string `json:"url"`
		Key       string `json:"key"`
		Dashboard string `json:"dashboard"`
	}{"listening", url, key, dashboard}, `listening on %[1]s
dashboard    %[2]s
key          %[3]s

curl -s -H 'Authorization: Bearer %[3]s' %[1]s/v1/invoke/%[4]s -d '[]'

`, url, dashboard, key, o.name)
}

func (o *devOutput) published(v published) {
	o.show(struct {
		Type    string `json:"type"`
		Name    string `json:"name"`
		Version int    `json:"version"`
		MS      int64  `json:"ms"`
	}{"published", v.Name, v.Version, v.MS}, "%s  %s@%d is ready (%d ms)\n", clock(time.Now()), v.Name, v.Version, v.MS)
}

// broken says why the project could not be published, and which version answers; 0: none.
func (o *devOutput) broken(code, detail string, serving int) {
	detail = o.places(detail)
	goesOn := "nothing is served yet"
	if serving > 0 {
		goesOn = fmt.Sprintf("%s@%d goes on", o.name, serving)
	}
	o.show(struct {
		Type    string `json:"type"`
		Code    string `json:"code,omitempty"`
		Detail  string `json:"detail"`
		Serving int    `json:"serving,omitempty"`
	}{"broken", code, detail, serving}, "%s  not published; %s\n%s\n", clock(time.Now()), goesOn, block(detail))
}

// install shows the log of an install that failed.
func (o *devOutput) install(log string) {
	o.show(struct {
		Type string `json:"type"`
		Log  string `json:"log"`
	}{"install", log}, "%s\n", block(log))
}

// devError is how an execution or an attempt failed.
type devError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Name    string `json:"name,omitempty"`
	Stack   string `json:"stack,omitempty"`
}

// event shows an event of an execution, if it is a log or says what went wrong.
func (o *devOutput) event(data []byte) {
	var ev struct {
		Stream, Type string
		Time         time.Time
		Data         json.RawMessage
	}
	if json.Unmarshal(data, &ev) != nil {
		return
	}
	id := strings.TrimPrefix(ev.Stream, "execution.")
	if ev.Type == "log" {
		o.log(ev.Time, id, ev.Data)
		return
	}
	var told struct{ Error *devError }
	if !strings.HasPrefix(ev.Type, "execution.") || json.Unmarshal(ev.Data, &told) != nil || told.Error == nil {
		return
	}
	e := told.Error
	e.Message, e.Stack = o.places(e.Message), o.places(e.Stack)
	text := e.Stack
	if text == "" {
		text = e.Message
	}
	if e.Code != "function_error" {
		text = e.Code + ": " + text
	}
	what := strings.TrimPrefix(ev.Type, "execution.")
	o.show(struct {
		Type      string    `json:"type"`
		Time      time.Time `json:"time"`
		Execution string    `json:"execution"`
		Error     *devError `json:"error"`
	}{what, ev.Time, id, e}, "%s  %s  %s  %s\n", clock(ev.Time), tag(id), what, lines(text))
}

// log shows a line that a function logs; id is its execution, or "".
func (o *devOutput) log(at time.Time, id string, data []byte) {
	var l struct {
		Level   string          `json:"level"`
		Message string          `json:"message"`
		Fields  json.RawMessage `json:"fields,omitempty"`
	}
	if json.Unmarshal(data, &l) != nil {
		return
	}
	l.Message = o.places(l.Message)
	text := lines(l.Message)
	if len(l.Fields) > 0 && id != "" {
		text += "  " + plain(string(l.Fields))
	}
	o.show(struct {
		Type      string          `json:"type"`
		Time      time.Time       `json:"time"`
		Execution string          `json:"execution,omitempty"`
		Level     string          `json:"level"`
		Message   string          `json:"message"`
		Fields    json.RawMessage `json:"fields,omitempty"`
	}{"log", at, id, l.Level, l.Message, l.Fields}, "%s  %s  %-5s  %s\n", clock(at), tag(id), plain(l.Level), text)
}

// stray shows what a bridge prints outside of executions: while the module is loaded, say.
func (o *devOutput) stray(_ string, pid int, stream, line string) {
	at := time.Now()
	if stream == "log" {
		o.log(at, "", []byte(line))
		return
	}
	if stream == "exit" {
		line = fmt.Sprintf("the process %d ended: %s", pid, line)
	}
	line = o.places(line)
	o.show(struct {
		Type   string    `json:"type"`
		Time   time.Time `json:"time"`
		Stream string    `json:"stream"`
		Line   string    `json:"line"`
	}{"output", at, stream, line}, "%s  %s  %-5s  %s\n", clock(at), tag(""), stream, lines(line))
}

// place is where stacks and the loader's messages name a line of a file.
var place = regexp.MustCompile(`(?m)(^|[\s(])([^\s():]+):(\d+)`)

// places has the lines of the function's own files named as they are called here, so that terminals and
// editors find them: a version's files stand in a folder of the hub's.
func (o *devOutput) places(text string) string {
	return place.ReplaceAllStringFunc(text, func(found string) string {
		m := place.FindStringSubmatch(found)
		if !filepath.IsLocal(filepath.FromSlash(m[2])) {
			return found
		}
		file := filepath.Join(o.dir, filepath.FromSlash(m[2]))
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			return found
		}
		return m[1] + file + ":" + m[3]
	})
}

// clock is a time as people read it beside their own work.
func clock(t time.Time) string { return t.Local().Format("15:04:05.000") }

// tag tells executions apart: the end of their id.
func tag(id string) string {
	if len(id) > 6 {
		id = id[len(id)-6:]
	}
	return fmt.Sprintf("%-6s", plain(id))
}

// lines makes a text of several lines safe for a terminal.
func lines(text string) string {
	parts := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, p := range parts {
		parts[i] = plain(strings.ReplaceAll(p, "\t", "    "))
	}
	return strings.Join(parts, "\n")
}

// block is a text that stands below a line.
func block(text string) string { return indent(lines(text)) }
