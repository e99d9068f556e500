package conn

import (
	"strings"
	"testing"
	"time"
)

// A balancer must see that durable work should go elsewhere, and why; the process is well.
func TestAFullDiskIsSaidByReadiness(t *testing.T) {
	f := open(t, Config{})
	f.full.Store(true)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for f.request("GET", "/readyz", "").status == 200 {
		<-tick.C
	}
	r := f.request("GET", "/readyz", "")
	equal(t, "code", r.code(t), "storage_unavailable")
	equal(t, "status", r.status, 503)
	if !strings.Contains(r.body, "the disk is full: 200 MiB are free, 256 MiB are needed") {
		t.Errorf("no reason in %s", r.body)
	}
	equal(t, "health", f.request("GET", "/healthz", "").status, 200)
	equal(t, "a call", f.request("POST", "/v1/invoke/echo", `[1]`).status, 200)
	equal(t, "a start", f.request("POST", "/v1/invoke/echo?async=1", `[1]`).code(t), "storage_unavailable")
	equal(t, "a publish", f.request("PUT", "/v1/functions/new", `{"source":"module.exports = () => 1"}`).code(t), "storage_unavailable")
	equal(t, "a tenant", f.request("POST", "/v1/admin/tenants", `{"name":"zeta"}`, "Authorization: Bearer "+adminKey).code(t), "storage_unavailable")
	f.full.Store(false)
	for f.request("GET", "/readyz", "").status != 200 {
		<-tick.C
	}
	equal(t, "a start", f.request("POST", "/v1/invoke/echo?async=1", `[1]`).status, 202)
}
