// Package conn is the front door: one port on which people and programs reach the hub, over HTTP/1.1
// and WebSockets. It speaks the wire and knows who calls; what is done is the hub's and the tenants'.
//
//	         ┌─ POST /v1/invoke ── invoke.go ──┐
//	fasthttp ┼─ routes.go ── a file per noun ──┼──▶ hub, tenants
//	         ├─ Accept: text/event-stream ─────┤      │
//	         │      sse.go ───── outbox.go ◀───┼──────┤ events, answers
//	         └─ GET /v1/ws ── upgrade.go       │      │
//	                session.go ── methods.go ──┘      │
//	                outbox.go ◀──── calls.go ◀────────┘
//
// # Invariants
//
// Nothing that the hub calls here blocks: an answer is copied into the response of a handler that is
// parked, or appended to an outbox. An outbox is bounded in bytes; who can't keep up is closed, and
// recovers from its last offset. Each connection is written to by one goroutine at a time, and a chunk
// of answers costs each connection one write.
//
// Every goroutine of this package lives inside Serve, which waits for it.
//
// # Where to look next
//
// routes.go is the table of what there is. problem.go maps faults to HTTP and JSON-RPC, codes.go says
// why a WebSocket was closed and what a client does then. rpc.go decodes, methods.go is what a
// WebSocket can ask for. socket.go reads and writes without waiting.
package conn
