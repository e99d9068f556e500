package tenants

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/units"
)

// Settings of a function version: settings of a publish, or else the key livefn of its package.json.
type Settings struct {
	Concurrency  int               `json:"concurrency,omitempty"`  // calls at once per bridge; 0: no limit of its own
	Timeout      units.Duration    `json:"timeout,omitempty"`      // 0: none
	PauseTimeout units.Duration    `json:"pauseTimeout,omitempty"` // 0: the hub's default
	Retries      *Retries          `json:"retries,omitempty"`
	KeepEnded    units.Duration    `json:"keepEnded,omitempty"` // 0: the hub's default
	Env          Env               `json:"env,omitempty"`       // settings and secrets: never shown, see MarshalJSON
	Public       bool              `json:"public,omitempty"`
	Idempotent   bool              `json:"idempotent,omitempty"`
	Tail         *bool             `json:"tail,omitempty"` // false: the function gets no tail argument
	Triggers     []json.RawMessage `json:"triggers,omitempty"`
	KeepVersions int               `json:"keepVersions,omitempty"` // newest versions that are kept; 0: the hub's default
	OnDeploy     string            `json:"onDeploy,omitempty"`     // what becomes of what runs when calls go to another version: finish ("" too) or pause
}

// What OnDeploy says.
const (
	DeployFinish = "finish"
	DeployPause  = "pause"
)

// Retries says how often a failed durable execution is tried again.
type Retries struct {
	Attempts int            `json:"attempts"`
	Backoff  units.Duration `json:"backoff,omitempty"`
}

// Env holds secrets. Whatever prints or logs it gets the names alone.
type Env map[string]string

// Names lists the names, sorted.
func (e Env) Names() []string { return slices.Sorted(maps.Keys(e)) }

// Format prints the names, whatever the verb.
func (e Env) Format(f fmt.State, _ rune) { fmt.Fprint(f, "env", e.Names()) }

// LogValue logs the names.
func (e Env) LogValue() slog.Value { return slog.AnyValue(e.Names()) }

// storedSettings is Settings with its secrets: for records alone.
type storedSettings Settings

// TailArgument reports whether the function gets the tail argument.
func (s Settings) TailArgument() bool { return s.Tail == nil || *s.Tail }

// MarshalJSON gives the settings as users may see them: of env only the names.
func (s Settings) MarshalJSON() ([]byte, error) {
	shown := struct {
		storedSettings
		Env []string `json:"env,omitempty"`
	}{storedSettings: storedSettings(s), Env: s.Env.Names()}
	shown.storedSettings.Env = nil
	return json.Marshal(shown)
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// maxEnv bounds the names and values of env together, in bytes.
const maxEnv = 64 << 10

// ParseSettings reads settings; what is unknown or wrong is a fault that names the field. A null is as
// if it were not there.
func ParseSettings(b []byte) (Settings, error) { return parseSettings("settings", b) }

// parseSettings reads settings that stand at where.
func parseSettings(where string, b []byte) (Settings, error) {
	var s Settings
	retries := map[string]json.RawMessage{}
	env := map[string]json.RawMessage{}
	err := readFields(where, b, map[string]any{
		"concurrency": &s.Concurrency, "timeout": &s.Timeout, "pauseTimeout": &s.PauseTimeout, "keepEnded": &s.KeepEnded, "retries": &retries, "env": &env,
		"public": &s.Public, "idempotent": &s.Idempotent, "tail": &s.Tail, "triggers": &s.Triggers, "keepVersions": &s.KeepVersions, "onDeploy": &s.OnDeploy,
	})
	if err == nil && len(retries) > 0 {
		s.Retries = &Retries{}
		err = readMembers(where+".retries", retries, map[string]any{"attempts": &s.Retries.Attempts, "backoff": &s.Retries.Backoff})
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		var value *string
		if err == nil {
			err = readMembers(where+".env", map[string]json.RawMessage{name: env[name]}, map[string]any{name: &value})
		}
		if value != nil {
			if s.Env == nil {
				s.Env = Env{}
			}
			s.Env[name] = *value
		}
	}
	if err != nil {
		return Settings{}, err
	}
	return s, s.check(where)
}

// readFields reads the object b into the values that fields points at.
func readFields(where string, b []byte, fields map[string]any) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		return fault.New(fault.InvalidRequest, "%s: %s.", where, wrongJSON(err))
	}
	return readMembers(where, members, fields)
}

func readMembers(where string, members map[string]json.RawMessage, fields map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		to, known := fields[name]
		switch {
		case !known:
			return fault.New(fault.InvalidRequest, "%s.%s: %s", where, name, unknownField(name, fields))
		case string(members[name]) == "null":
			continue
		}
		if err := json.Unmarshal(members[name], to); err != nil {
			return fault.New(fault.InvalidRequest, "%s.%s: %s.", where, name, wrongJSON(err))
		}
	}
	return nil
}

// wrongJSON says why JSON was not what it should be, without quoting a value of the wrong type.
func wrongJSON(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := ""
		if wrong.Field != "" {
			field = wrong.Field + ": "
		}
		kind, _, isNumber := strings.Cut(wrong.Value, " ") // "number 12": without what may be a secret
		want := jsonName(wrong.Type)
		if isNumber && want == "a whole number" {
			return field + "it is not a whole number, or too large"
		}
		return fmt.Sprintf("%sit is %s, not %s", field, article(kind), want)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

func article(kind string) string {
	switch {
	case kind == "bool":
		return "a boolean"
	case strings.ContainsAny(kind[:1], "aeiou"):
		return "an " + kind
	default:
		return "a " + kind
	}
}

func jsonName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "a boolean"
	case reflect.Slice:
		return "a list"
	case reflect.String:
		return "a string"
	default:
		return "an object"
	}
}

// Bounds of settings. What is longer is a mistake in the unit.
const (
	maxConcurrency  = 100_000
	maxTimeout      = 365 * 24 * time.Hour
	maxPauseTimeout = 24 * time.Hour
	maxKeepEnded    = 10 * 365 * 24 * time.Hour
	maxBackoff      = time.Hour // the longest pause before a retry
	maxAttempts     = 1000
	maxTriggersOf   = 100
	maxKeepVersions = 10_000
)

// check says what is out of range; where is the settings' own name.
func (s Settings) check(where string) error {
	wrong := func(field, format string, args ...any) error {
		return fault.New(fault.InvalidRequest, "%s.%s: %s", where, field, fmt.Sprintf(format, args...))
	}
	if s.Concurrency < 0 || s.Concurrency > maxConcurrency {
		return wrong("concurrency", "it is 0 to %d.", maxConcurrency)
	}
	for _, d := range []struct {
		field string
		value units.Duration
		most  time.Duration
	}{{"timeout", s.Timeout, maxTimeout}, {"pauseTimeout", s.PauseTimeout, maxPauseTimeout}, {"keepEnded", s.KeepEnded, maxKeepEnded}} {
		if d.value < 0 || time.Duration(d.value) > d.most {
			return wrong(d.field, "it is at most %s.", units.Duration(d.most))
		}
	}
	if s.Retries != nil {
		if s.Retries.Attempts < 0 || s.Retries.Attempts > maxAttempts {
			return wrong("retries.attempts", "it is 0 to %d.", maxAttempts)
		}
		if s.Retries.Backoff < 0 || time.Duration(s.Retries.Backoff) > maxBackoff {
			return wrong("retries.backoff", "it is at most %s.", units.Duration(maxBackoff))
		}
	}
	if s.KeepVersions < 0 || s.KeepVersions > maxKeepVersions {
		return wrong("keepVersions", "it is 1 to %d; 0: the hub's default.", maxKeepVersions)
	}
	if s.OnDeploy != "" && s.OnDeploy != DeployFinish && s.OnDeploy != DeployPause {
		return wrong("onDeploy", "it is %q or %q.", DeployFinish, DeployPause)
	}
	if len(s.Triggers) > maxTriggersOf {
		return wrong("triggers", "there are at most %d.", maxTriggersOf)
	}
	for i, trigger := range s.Triggers {
		if len(trigger) == 0 || trigger[0] != '{' {
			return wrong(fmt.Sprintf("triggers[%d]", i), "it is an object.")
		}
	}
	size := 0
	for name, value := range s.Env {
		if !envName.MatchString(name) {
			return wrong("env", "%.40q is not a name: 1 to 128 letters, digits and _, not a digit first.", name)
		}
		size += len(name) + len(value)
	}
	if size > maxEnv {
		return wrong("env", "names and values together have at most %d bytes.", maxEnv)
	}
	return nil
}
