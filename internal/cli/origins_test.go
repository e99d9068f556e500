package cli

import (
	"strings"
	"testing"
)

const shownOrigins = `{"origins":["https://app.example.com","https://*.example.org"]}`

// originsAnswers are what the stub of a hub says of whose pages may act as the tenant.
var originsAnswers = map[string]string{
	"GET /v1/origins":                   shownOrigins,
	"PUT /v1/origins " + shownOrigins:   shownOrigins,
	`PUT /v1/origins {"origins":[]}`:    `{"origins":[]}`,
	"DELETE /v1/origins":                ``,
	`PUT /v1/origins {"origins":["x"]}`: `{"origins":["x\u001b[2J"]}`,
}

// A list that somebody else made must not move the cursor of who reads it.
func TestOriginsAreSafeForATerminal(t *testing.T) {
	h := newHubStub(t)
	code, out, errs := livefn(t, "", "--url", h.URL, "--key", testKey, "origins", "set", "x")
	if code != exitDone || strings.Contains(out, "\x1b") || !strings.HasPrefix(out, "ORIGIN\nx") {
		t.Errorf("%d %q %q", code, out, errs)
	}
}
