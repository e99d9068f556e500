package conn

import (
	"bytes"
	"fmt"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"
)

// metrics answers with what Prometheus scrapes. Everything is read when it is asked for, from what the parts
// keep for themselves: a call pays nothing for it. It names tenants, so it is for the operator.
func (s *Server) metrics(ctx *fasthttp.RequestCtx, _ []string) error {
	if err := s.admin(ctx); err != nil {
		return err
	}
	set := metrics.NewSet()
	gauge := func(name string, value float64) { set.NewGauge(name, func() float64 { return value }) }
	counter := func(name string, value uint64) { set.NewCounter(name).Set(value) }
	for _, p := range s.hub.Pools() {
		of := fmt.Sprintf(`{tenant=%q`, p.Tenant)
		for state, n := range p.Bridges {
			gauge(fmt.Sprintf(`livefn_bridges%s,state=%q}`, of, state), float64(n))
		}
		gauge(`livefn_bridges_wanted`+of+`}`, float64(p.Wanted))
		gauge(`livefn_bridge_memory_bytes`+of+`}`, float64(p.Memory))
		gauge(`livefn_bridge_cpus`+of+`}`, p.CPU)
		gauge(`livefn_bridge_loop_delay_seconds`+of+`}`, p.LoopDelay.Seconds())
		gauge(`livefn_calls_in_flight`+of+`}`, float64(p.InFlight))
		gauge(`livefn_calls_waiting`+of+`}`, float64(p.Waiting))
		counter(`livefn_calls_total`+of+`}`, p.Calls)
		for code, n := range p.Ended {
			counter(fmt.Sprintf(`livefn_bridges_ended_total%s,code=%q}`, of, code), n)
		}
	}
	for _, t := range s.hub.Stats() {
		of := fmt.Sprintf(`{tenant=%q`, t.Tenant)
		gauge(`livefn_executions_live`+of+`}`, float64(t.Live))
		gauge(`livefn_executions_running`+of+`,kind="durable"}`, float64(t.Running))
		gauge(`livefn_executions_queued`+of+`,kind="durable"}`, float64(t.Queued))
		gauge(`livefn_streams`+of+`}`, float64(t.Streams))
		gauge(`livefn_stream_history_bytes`+of+`}`, float64(t.History))
		counter(`livefn_calls_refused_total`+of+`,code="rate_limited"}`, t.RateLimited)
	}
	st := s.hub.Store()
	gauge(`livefn_store_available`, float64(st.Available))
	gauge(`livefn_store_queued_records`, float64(st.QueuedRecords))
	gauge(`livefn_store_queued_bytes`, float64(st.QueuedBytes))
	gauge(`livefn_store_bytes{part="tables"}`, float64(st.Tables))
	gauge(`livefn_store_bytes{part="values"}`, float64(st.Values))
	gauge(`livefn_connections{kind="http"}`, float64(s.http.GetOpenConnectionsCount()))
	sockets, streams := s.live.count()
	gauge(`livefn_connections{kind="websocket"}`, float64(sockets))
	gauge(`livefn_connections{kind="event_stream"}`, float64(streams))

	var b bytes.Buffer
	set.WritePrometheus(&b)
	metrics.WriteProcessMetrics(&b)
	ctx.Response.Header.SetContentType("text/plain; version=0.0.4; charset=utf-8")
	ctx.Response.SetBodyRaw(b.Bytes())
	return nil
}
