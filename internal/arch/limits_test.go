package arch

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/livefn/livefn/tenants"
)

// The limits of a tenant are written once, in tenants.Limits; the page repeats their names and defaults.
func TestTheDocsListTheLimitsOfATenant(t *testing.T) {
	v := reflect.ValueOf(tenants.DefaultLimits())
	var want []string
	for i := range v.NumField() {
		b, err := json.Marshal(v.Field(i).Interface())
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, "| `"+v.Type().Field(i).Tag.Get("json")+"` | "+strings.Trim(string(b), `"`)+" |")
	}
	equal(t, "docs/limits.md", words(read(t, "docs/limits.md"), regexp.MustCompile("(?m)^(\\| `[^|]+\\| [^|]+ \\|)")), want)
}
