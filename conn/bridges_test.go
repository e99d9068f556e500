package conn

import (
	"regexp"
	"strings"
	"testing"
)

func TestBridgesAreShownToTheirTenantAndAllToTheOperator(t *testing.T) {
	f := open(t, Config{})
	equal(t, "the tenant's", f.request("GET", "/v1/bridges", "").body, `{"items":[{"tenant":"acme"`+oneBridge+`}],"ended":[]}`)
	equal(t, "all", f.admin("GET", "/v1/bridges", "").body, `{"items":[{"tenant":""`+oneBridge+`}],"ended":[]}`)
	equal(t, "those of one", f.admin("GET", "/v1/bridges", "", "Livefn-Tenant: acme").body, f.request("GET", "/v1/bridges", "").body)
	equal(t, "without a key", f.request("GET", "/v1/bridges", "", "Authorization: ").status, 401)
}

const oneBridge = `,"pid":0,"node":"","state":"running","startedAt":"0001-01-01T00:00:00Z","inFlight":0,"calls":0,"loopDelay":0,"cpu":0,"memory":0,"processes":0,"restarts":0,"network":"","heavy":false,"walls":false`

// Names of tenants and their load are the operator's to know; what Prometheus can't read helps nobody.
func TestMetricsAreTheOperatorsAndReadByPrometheus(t *testing.T) {
	f := open(t, Config{})
	equal(t, "a tenant", f.request("GET", "/metrics", "").code(t), "forbidden")
	equal(t, "a call", f.request("POST", "/v1/invoke/echo", "[1]").status, 200)
	r := f.admin("GET", "/metrics", "")
	equal(t, "status", r.status, 200)
	equal(t, "type", r.header.Get("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
	line := regexp.MustCompile(`^[a-z_]+(\{[a-z_]+="[^"]*"(, ?[A-Za-z_]+="[^"]*")*\})? [0-9.eE+-]+$`)
	for text := range strings.Lines(r.body) {
		if !line.MatchString(strings.TrimSpace(text)) {
			t.Errorf("not a sample: %s", text)
		}
	}
	for _, want := range []string{
		`livefn_bridges{tenant="acme",state="running"} 2`, `livefn_bridges_ended_total{tenant="acme",code="died"} 3`, `livefn_calls_total{tenant="acme"} 9`,
		`livefn_executions_live{tenant="acme"} 0`, `livefn_executions_queued{tenant="acme",kind="durable"} 0`, `livefn_streams{tenant="acme"} 0`,
		`livefn_store_available 1`, `livefn_connections{kind="websocket"} 0`,
	} {
		if !strings.Contains(r.body, want+"\n") {
			t.Errorf("there is no %s in\n%s", want, r.body)
		}
	}
	if !strings.Contains(r.body, "process_resident_memory_bytes ") || !strings.Contains(r.body, "go_goroutines ") {
		t.Error("the hub's own process is missing")
	}
}
