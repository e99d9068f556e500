package tenants

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/units"
)

// Settings of a function version; in JSON the key livefn of its package.json, or settings of a publish.
type Settings struct {
	Concurrency  int               `json:"concurrency,omitempty"`  // calls at once per bridge; 0: no limit of its own
	Timeout      units.Duration    `json:"timeout,omitempty"`      // 0: none
	PauseTimeout units.Duration    `json:"pauseTimeout,omitempty"` // 0: the hub's default
	Retries      *Retries          `json:"retries,omitempty"`
	Env          map[string]string `json:"env,omitempty"` // settings and secrets: never shown, see MarshalJSON
	Public       bool              `json:"public,omitempty"`
	Idempotent   bool              `json:"idempotent,omitempty"`
	Tail         *bool             `json:"tail,omitempty"` // false: the function gets no tail argument
	Triggers     []json.RawMessage `json:"triggers,omitempty"`
}

// Retries says how often a failed durable execution is tried again.
type Retries struct {
	Attempts int            `json:"attempts"`
	Backoff  units.Duration `json:"backoff,omitempty"`
}

// storedSettings is Settings with its secrets: for records and bridges alone.
type storedSettings Settings

// TailArgument reports whether the function gets the tail argument.
func (s Settings) TailArgument() bool { return s.Tail == nil || *s.Tail }

// MarshalJSON gives the settings as users may see them: of env only the names.
func (s Settings) MarshalJSON() ([]byte, error) {
	shown := struct {
		storedSettings
		Env []string `json:"env,omitempty"`
	}{storedSettings: storedSettings(s)}
	shown.storedSettings.Env = nil
	shown.Env = slices.Sorted(maps.Keys(s.Env))
	return json.Marshal(shown)
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// maxEnv bounds the names and values of env together, in bytes.
const maxEnv = 64 << 10

// ParseSettings reads settings; what is unknown or wrong is a fault that names the field.
func ParseSettings(b []byte) (Settings, error) {
	var s storedSettings
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		var wrongType *json.UnmarshalTypeError
		if errors.As(err, &wrongType) {
			return Settings{}, fault.New(fault.InvalidRequest, "settings.%s: a %s is not a %s.", wrongType.Field, wrongType.Value, jsonName(wrongType.Type.String()))
		}
		return Settings{}, fault.New(fault.InvalidRequest, "settings: %s.", strings.TrimPrefix(err.Error(), "json: "))
	}
	return Settings(s), Settings(s).check()
}

func jsonName(goType string) string {
	switch {
	case goType == "int":
		return "whole number"
	case goType == "bool":
		return "boolean"
	case strings.HasPrefix(goType, "[]"):
		return "list"
	case goType == "string":
		return "string"
	default:
		return "object"
	}
}

func (s Settings) check() error {
	wrong := func(field, format string, args ...any) error {
		return fault.New(fault.InvalidRequest, "settings.%s: %s", field, fmt.Sprintf(format, args...))
	}
	if s.Concurrency < 0 {
		return wrong("concurrency", "it is not negative.")
	}
	if s.Retries != nil && (s.Retries.Attempts < 0 || s.Retries.Attempts > 1000) {
		return wrong("retries.attempts", "it is 0 to 1000.")
	}
	size := 0
	for name, value := range s.Env {
		if !envName.MatchString(name) {
			return wrong("env", "%q is not a name: letters, digits and _, not a digit first.", name)
		}
		size += len(name) + len(value)
	}
	if size > maxEnv {
		return wrong("env", "names and values together have at most %d bytes.", maxEnv)
	}
	return nil
}
