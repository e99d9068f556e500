package conn

import (
	"strings"
	"testing"
	"time"
)

// What the operator sets must hold from the next call on, and say itself when it is passed.
func TestATenantsLimitsAreSetByTheOperatorAndHoldAtOnce(t *testing.T) {
	f := open(t, Config{})
	const path = "/v1/admin/tenants/acme/limits"
	equal(t, "a tenant may not", f.request("PUT", path, `{}`).code(t), "forbidden")
	equal(t, "no such tenant", f.admin("PUT", "/v1/admin/tenants/nobody/limits", `{}`).code(t), "not_found")
	equal(t, "wrong", f.admin("PUT", path, `{"callRate":-1}`).code(t), "invalid_request")

	r := f.admin("PUT", path, `{"callRate":0.01,"callBurst":2}`)
	equal(t, "status", r.status, 200)
	if !strings.HasPrefix(r.body, `{"limits":{"callBurst":2,"callRate":0.01},"effective":{`) || !strings.Contains(r.body, `"callRate":0.01`) {
		t.Errorf("set: %s", r.body)
	}
	equal(t, "read by the operator", f.admin("GET", path, "").body, r.body)
	equal(t, "read by the tenant", f.request("GET", "/v1/limits", "").body, r.body)

	equal(t, "first call", f.request("POST", "/v1/invoke/echo", "[1]").status, 200)
	equal(t, "a start counts, too", f.request("POST", "/v1/invoke/echo?async=1", "[1]").status, 202)
	for _, path := range []string{"/v1/invoke/echo", "/v1/invoke/echo?async=1"} {
		began := time.Now()
		refused := f.request("POST", path, "[1]")
		if took := time.Since(began); took < 50*time.Millisecond { // or refusals alone take the machine from others
			t.Errorf("refused after %v", took)
		}
		equal(t, "status", refused.status, 429)
		equal(t, "code", refused.code(t), "rate_limited")
		equal(t, "Retry-After", refused.header.Get("Retry-After"), "100")
	}
	equal(t, "without limits again", f.admin("PUT", path, `{}`).status, 200)
	equal(t, "a call", f.request("POST", "/v1/invoke/echo", "[1]").status, 200)
}
