package conn

import (
	"errors"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// One table of codes, one of statuses: neither may lack a row of the other.
func TestEveryFaultHasAStatusAndEveryStatusAFault(t *testing.T) {
	known := map[fault.Code]bool{}
	for _, e := range fault.Table {
		known[e.Code] = true
		if statuses[e.Code] == 0 {
			t.Errorf("%s has no status", e.Code)
		}
	}
	for code := range statuses {
		if !known[code] {
			t.Errorf("%s is no fault", code)
		}
	}
}

// An operator's cause may hold paths and secrets.
func TestACauseIsNeverShown(t *testing.T) {
	f := fault.From(errors.New("secret"))
	same(t, "problem", string(problemOf(f).json()),
		`{"type":"urn:livefn:error:internal","title":"Internal error","status":500,"code":"internal","detail":"The hub could not do this; its log has the cause."}`)
	f = &fault.Fault{Code: fault.Overloaded, Detail: "Full.", Execution: "x", RetryAfter: 1500 * time.Millisecond, Cause: errors.New("secret")}
	same(t, "JSON-RPC", string(problemOf(f).rpc(rpcFault)),
		`{"code":-32000,"message":"Full.","data":{"code":"overloaded","execution":"x","retryAfter":1500}}`)
}

func TestEveryCloseCodeHasAReasonThatFitsAFrame(t *testing.T) {
	seen := map[CloseCode]bool{}
	for _, e := range CloseCodes {
		if e.Reason == "" || len(e.Reason) > 123 || e.Meaning == "" || e.Client == "" || seen[e.Code] {
			t.Errorf("%+v", e)
		}
		seen[e.Code] = true
	}
}
