package tenants

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/livefn/livefn/internal/fault"
)

// Who sets one limit must not have to know the others, nor be left with their values of that day.
func TestATenantsOwnLimitsLieOverTheHubsDefaults(t *testing.T) {
	dir := t.TempDir()
	defaults := DefaultLimits()
	defaults.CallRate, defaults.CallBurst = 100, 7
	r, stop := openRegistry(t, dir, Config{Limits: defaults})
	tn := acme(t, r)
	if got := *tn.Limits(); got != defaults {
		t.Errorf("a new tenant's limits are %+v", got)
	}
	var told []Limits
	r.OnLimits(func(t *Tenant) { told = append(told, *t.Limits()) })
	if err := r.SetLimits(bg, tn, []byte(`{"callRate": 2.50, "callBurst": null}`)); err != nil {
		t.Fatal(err)
	}
	want := defaults
	want.CallRate = 2.5
	if got := encode(t, tn.OwnLimits()); *tn.Limits() != want || len(told) != 1 || told[0] != want || got != `{"callRate":2.5}` {
		t.Errorf("own limits %s, in all %+v, told %+v", got, *tn.Limits(), told)
	}
	stop()
	defaults.CallRate, defaults.CallBurst = 1, 9
	r, _ = openRegistry(t, dir, Config{Limits: defaults}) // the operator changed the defaults
	want.CallBurst = 9
	if got := *acme(t, r).Limits(); got != want {
		t.Errorf("after a restart: %+v", got)
	}
	if err := r.SetLimits(bg, acme(t, r), []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if got := acme(t, r); *got.Limits() != defaults || len(got.OwnLimits()) != 0 {
		t.Errorf("with none of its own: %+v", *got.Limits())
	}
}

func TestAWrongLimitIsNamedAndChangesNothing(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	if err := r.SetLimits(bg, tn, []byte(`{"callRate":5}`)); err != nil {
		t.Fatal(err)
	}
	before := *tn.Limits()
	for body, want := range map[string]string{
		`{"callrate":1}`:         "limits.callrate: it is not known; is callRate meant?",
		`{"callRate":"fast"}`:    "limits.callRate: it is a string, not a number.",
		`{"callRate":-1}`:        "limits.callRate: it is 0 to 10000000.",
		`{"callBurst":1.5}`:      "limits.callBurst: it is not a whole number, or too large.",
		`{"callBurst":10000001}`: "limits.callBurst: it is 0 to 10000000.",
		`{"minBridges":5}`:       "limits.minBridges: it is 5, and maxBridges is 4.",
		`{"maxQueueTime":"2h"}`:  "limits.maxQueueTime: it is 1ms to 1h.",
		`{"maxBridges":0}`:       "limits.maxBridges: it is 1 to 64.",
		`{"network":"some"}`:     "limits.network: it is full or none.",
		`{"network":false}`:      "limits.network: it is a boolean, not a string.",
		`{"network":"none"}`:     "limits.network: this hub has no walls around functions (--isolation), so it can't take their network away.",
		`[]`:                     "limits: it is an array, not an object.",
		``:                       "limits: unexpected end of JSON input.",
	} {
		err := r.SetLimits(bg, tn, []byte(body))
		wantFault(t, err, fault.InvalidRequest)
		if got := fault.From(err).Detail; got != want {
			t.Errorf("%s:\n got %s\nwant %s", body, got, want)
		}
	}
	if *tn.Limits() != before {
		t.Errorf("the limits became %+v", *tn.Limits())
	}
}

// A field without bounds would take anything; one without a name would be nobody's.
func TestEveryLimitHasBoundsAndADefaultWithinThem(t *testing.T) {
	v := reflect.ValueOf(DefaultLimits())
	var names []string
	for i := range v.NumField() {
		names = append(names, v.Type().Field(i).Tag.Get("json"))
	}
	if len(names) != len(limitBounds) {
		t.Errorf("fields %v, bounds %v", names, limitBounds)
	}
	b, err := json.Marshal(DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseLimits(b, DefaultLimits()); err != nil {
		t.Errorf("the defaults %s: %v", b, err)
	}
}

func TestADeletedTenantTakesNoLimits(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	if err := r.DeleteTenant(bg, "acme"); err != nil {
		t.Fatal(err)
	}
	err := r.SetLimits(bg, tn, []byte(`{}`))
	wantFault(t, err, fault.NotFound)
	if !strings.Contains(err.Error(), "acme") {
		t.Error(err)
	}
}
