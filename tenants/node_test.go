package tenants

import (
	"fmt"
	"testing"

	"github.com/livefn/livefn/internal/fault"
)

// A function that is made for another Node fails when it is published, and not some day in a call.
func TestAFunctionForAnotherNodeIsRefused(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{Node: program(t, "echo v20.19.4")})
	for _, c := range []struct {
		engines string
		say     string // "": it is published
	}{
		{`{"node":">=20"}`, ""}, {`{"node":"^18 || ^20.5"}`, ""}, {`{"node":"20.x"}`, ""}, {`{"node":"18 - 20"}`, ""}, {`{"node":"*"}`, ""}, {`{"node":">=18.12 <21"}`, ""},
		{`{"npm":">=9"}`, ""}, {`["node >= 0.8"]`, ""}, {`{}`, ""},
		{`{"node":">=22"}`, "it wants Node >=22, and this hub runs functions with Node 20.19.4"},
		{`{"node":"^18"}`, "it wants Node ^18"},
		{`{"node":"new"}`, `"new" is not a range`},
	} {
		_, _, err := r.Publish(bg, acme(t, r), "f", Publication{Files: map[string][]byte{"index.js": []byte("1"), "package.json": fmt.Appendf(nil, `{"engines":%s}`, c.engines)}}, nil)
		if c.say != "" {
			wantFault(t, err, fault.InvalidRequest, "package.json: engines.node: ", c.say)
		} else if err != nil {
			t.Errorf("%s: %v", c.engines, err)
		}
	}
}
