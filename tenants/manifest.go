package tenants

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/livefn/livefn/internal/fault"
)

// manifest is what the hub reads of a package.json.
type manifest struct {
	Dependencies         map[string]string `json:"dependencies,omitempty"`
	OptionalDependencies map[string]string `json:"optionalDependencies,omitempty"`
	Livefn               json.RawMessage   `json:"livefn,omitempty"`
}

func readManifest(b []byte) (m manifest, err error) {
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fault.New(fault.InvalidRequest, "%s is not valid: %s.", packageFile, wrongJSON(err))
	}
	return m, nil
}

// withoutSecrets gives a package.json with an empty livefn.env, and every other byte as it was. The
// settings are kept with the version's record; in its files, which the API shows, they would not be
// secret.
func withoutSecrets(b []byte) []byte {
	var out []byte
	done := 0
	for _, own := range membersOf(b) {
		if !strings.EqualFold(own.name, "livefn") { // as encoding/json compares names
			continue
		}
		for _, m := range membersOf(b[own.from:own.to]) {
			if strings.EqualFold(m.name, "env") {
				out = append(append(out, b[done:own.from+m.from]...), "{}"...)
				done = own.from + m.to
			}
		}
	}
	return append(out, b[done:]...)
}

// member is a member of a JSON object, and where its value stands.
type member struct {
	name     string
	from, to int
}

// membersOf lists the members of the valid JSON object b, all of them if a name comes twice; none if b
// is something else.
func membersOf(b []byte) (found []member) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil
		}
		to := int(d.InputOffset())
		found = append(found, member{name.(string), to - len(value), to})
	}
	return slices.Clip(found)
}
