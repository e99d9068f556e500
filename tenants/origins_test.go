package tenants

import (
	"reflect"
	"testing"

	"github.com/livefn/livefn/internal/fault"
)

func TestOnlyPagesOfTheListedOriginsAreAllowed(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{MaxOrigins: 3})
	tn := acme(t, r)
	if !tn.AllowsOrigin("https://anything.example") || tn.Origins() != nil {
		t.Error("without a list all are allowed")
	}
	list := []string{"https://App.example.com", "http://localhost:5173", "https://*.example.org"}
	if err := r.SetOrigins(bg, tn, list); err != nil {
		t.Fatal(err)
	}
	check := func(tn *Tenant) {
		t.Helper()
		for text, want := range map[string]bool{
			"https://app.example.com": true, "https://APP.example.com": true, "http://app.example.com": false, "https://app.example.com:8443": false,
			"https://app.example.com.evil.example": false, "https://evilapp.example.com": false, "http://localhost:5173": true, "http://localhost": false,
			"https://a.example.org": true, "https://a.b.example.org": true, "https://example.org": false, "https://evilexample.org": false,
			"https://.example.org": false, "http://a.example.org": false, "null": false, "": false,
		} {
			if got := tn.AllowsOrigin(text); got != want {
				t.Errorf("%q: %v", text, got)
			}
		}
	}
	check(tn)
	stop()
	r, _ = openRegistry(t, dir, Config{MaxOrigins: 3})
	tn = acme(t, r)
	check(tn)
	if got, want := tn.Origins(), []string{"https://app.example.com", "http://localhost:5173", "https://*.example.org"}; !reflect.DeepEqual(got, want) {
		t.Error(got)
	}
	for _, wrong := range []string{"", "*", "app.example.com", "https://", "https://a.example/", "https://a.example/path", "https://a*.example", "https://u@a.example", "https://*", "https://*.*.example", "null"} {
		wantFault(t, r.SetOrigins(bg, tn, []string{wrong}), fault.InvalidRequest)
	}
	wantFault(t, r.SetOrigins(bg, tn, make([]string, 4)), fault.InvalidRequest, "MaxOrigins")
	if err := r.SetOrigins(bg, tn, []string{}); err != nil || tn.AllowsOrigin("https://app.example.com") || tn.Origins() == nil {
		t.Error("an empty list allows none")
	}
	if err := r.SetOrigins(bg, tn, nil); err != nil || !tn.AllowsOrigin("https://app.example.com") {
		t.Error("no list allows all again")
	}
}
