// Package nodebridge runs Node processes and talks to them. A Bridge is one Node process; a Pool is
// the bridges of one tenant; a Fleet holds the pools. The package speaks frames and knows nothing of
// events, streams or who may do what.
//
//	hub ──Call──▶ Pool ──▶ Bridge ══ fd 3 ══▶ js/main.js ──▶ the function
//	 ▲                       │  ◀═ fd 4 ══       fd 1, 2: whatever the process prints
//	 └──Receiver.Receive─────┘
//
// # Invariant
//
// A call that Fleet.Call accepted gets exactly one final frame (Result, Error, Paused, or Lost, which
// the Go side makes when the process dies), whatever the function, the process or the hub does. A call
// that waited for a process in vain never ran: the Go side makes its Error {code: "overloaded"}.
//
// # Transport
//
// The hub starts Node with two pipes of their own on descriptors 3 (hub to bridge) and 4 (bridge to
// hub), an empty stdin, and pipes for stdout and stderr that it reads as stray output. Functions that
// write to descriptors 0, 1 or 2, from native code too, so never touch the protocol. Node marks
// inherited descriptors close-on-exec at start, so children of a function don't hold them.
// Around the process stand the walls of internal/sandbox, if Config has some: then it sees /functions, its
// tenant's folder, and a Load names a folder in it.
// (Same price as frames on stdin and stdout, and safe before the first line of JavaScript runs.)
//
// # Frames
//
// All integers are little-endian.
//
//	u32 length   bytes that follow: 5 + payload, at most 5 + MaxPayload
//	u8  kind
//	u32 id       a call, a module, a transfer or a ping, by kind; 0 where none is meant
//	…   payload
//
// A length below 5 or above the limit, a kind that is unknown or the other side's, a payload too short
// for its kind or for a length inside it, or an unknown encoding ends the connection: the stream can't
// be trusted any more, and the process is replaced. JSON inside payloads is not part of this: Go passes
// most of it on unread. The end of descriptor 3 tells the process to exit.
//
//	kind            sent by  id        payload
//	0x01 Init       hub      0         JSON {protocol: 1, maxMessage}; first frame
//	0x02 Load       hub      module    JSON {function, version, tenant, dir, tail, env}
//	0x03 Unload     hub      module    –; no call of it is in flight
//	0x04 Call       hub      call      u32 module, u8 encoding, u8 n, execution id (n bytes),
//	                                   u16 m, meta (m bytes of JSON, 0: none), arguments
//	0x05 Pause      hub      call      JSON {reason, deadline: ms since 1970}
//	0x06 Cancel     hub      call      JSON {reason}
//	0x07 Send       hub      call      u64 number, u8 n, event type (n bytes), JSON data (empty: undefined)
//	0x08 Ping       hub      any       –: the bridge writes Pong before it takes the next frame
//	0x09 Response   hub      call      u32 number of the request, u8 status (0 done, 1 fault), u8 encoding,
//	                                   the result; of a fault JSON {code, name?, message}
//	0x0a Taken      hub      call      u32 events: so many more of those that a generator yielded were handed on
//	0x0b Bounds     hub      0         JSON {logRate, logBytes}: what an execution may log a second; 0: no limit
//	0x10 Begin      both     transfer  u32 total: a message too large for one frame follows
//	0x11 Data       both     transfer  the next bytes of that message
//	0x12 Credit     both     transfer  u32 bytes: so many more may be sent
//	0x81 Ready      bridge   0         JSON {pid, node}; first frame
//	0x82 Loaded     bridge   module    JSON {declared, kind: function|generator}
//	0x83 LoadFailed bridge   module    JSON {name, message, stack}
//	0x84 Result     bridge   call      u8 encoding, the result                              final
//	0x85 Error      bridge   call      JSON {code, name, message, stack}                    final
//	0x86 Event      bridge   call      u8 n, event type (n bytes), JSON data (empty: none)
//	0x87 Log        bridge   call      JSON {level, message, fields?, dropped?: {lines, bytes}}; id 0: of no execution
//	0x88 Paused     bridge   call      u16 m, meta (m bytes of JSON, 0: none),
//	                                   JSON array: the arguments to resume with             final
//	0x89 Refused    bridge   call      JSON {message}: the resume arguments have no JSON form; it goes on
//	0x8a Pong       bridge   of ping   –
//	0x8b Request    bridge   call      u32 number, u8 op, and by op:
//	                                   1 checkpoint  u16 m, meta (m bytes of JSON, 0: none),
//	                                                 JSON array: the arguments to start again with
//	                                   2 invoke      JSON {function, args: […]}
//	                                   3 start       JSON {function, args: […], key?, delay?: ms, priority?}
//	                                   4 publish     JSON {stream, type, data?}
//
// Encoding: 0 JSON, 1 bytes, 2 nothing (no arguments; result undefined). JSON arguments that are an
// array are the arguments, any other JSON value is the one argument. Go never parses them.
//
// The meta of a call is JSON {attempt?, resumed?, trigger?, caller?, parent?, traceparent?, depth?,
// arguments?}: what hub.execution shows beside id, function, version and tenant, but for the last two;
// absent: attempt 1, not resumed. depth is that of calls within calls. To as many as arguments says the
// arguments are filled up with undefined before the tail object is placed, as JSON can't say undefined.
//
// The number of a Send counts the events of its execution that the hub keeps, from 1 and rising over
// all attempts; 0 is none. The meta of Paused and of a checkpoint says which of them the process has
// had: {seen?: the highest number, kept?: [the numbers of those up to it that no listener has heard]},
// absent: none. The hub keeps what is above seen, and what is in kept, for the next attempt. A pause
// that ends by itself has in its meta {sleep: ms}, or {event: type, timeout?: ms}: the hub resumes
// after the time, or when an event of that type comes, with its data behind the arguments, undefined
// after the timeout.
//
// A Request's number counts those of its call, from 1. The hub answers each with one Response unless
// the call ended before; they come in any order. The result of checkpoint is nothing, of invoke what
// the function returned, of start JSON {execution}, of publish JSON {offset, epoch}.
//
// What a generator yields are Events of type yield. The bridge lets at most 256 Ki characters of them (64 added
// for each) be under way, and then lets the generator wait until the hub says Taken: to who called it and is
// shown its events, to the store if it is durable. A pause or a cancel lets it go on at once.
//
// A Load is followed by Calls without waiting for Loaded: the bridge queues them until the module is
// loaded, and answers them with Error {code: "version_broken"} if it can't be.
//
// # Large messages
//
// A frame whose payload is over MaxPayload travels as a message: Begin with the size of the frame's
// body (kind, id and payload, without the length), then its bytes in Data frames (at least one byte
// each), between which other frames may stand. The receiver treats the reassembled body as if it had
// come in one frame; it takes messages of any size from 5 bytes to maxMessage, and of any kind but
// Init, Ready, Begin, Data and Credit. A total over maxMessage ends the connection; senders check
// before they begin, and an answer that is too large becomes Error {code: "payload_too_large"}.
//
// At first Window bytes of a message may be under way; the receiver sends Credit for bytes of Data it
// has taken, when and in what portions it likes, so that a sender waits once Window plus all its
// Credit is sent. Credit for a message that is complete, or was never begun, means nothing.
// Each side has at most MaxMessages messages under way; further ones wait for a place, in order.
// Data of no message, beyond the total or beyond the credit, a Begin whose transfer is under way or
// one too many, ends the connection. Transfer ids count up per sender, from 1, and wrap.
//
// Frames of one call stay in order: a sender holds back the call's later frames while a message of
// that call is under way or waits for a place. So the hub also holds back the calls of a module whose
// Load travels as a message.
//
// # Calls
//
// A call's id is a slot's index (low 20 bits) and generation (high 12 bits, never 0, so that no call
// has the id 0). The slot is free again
// when the final frame came, so an id is never ambiguous, and frames for an id that has had its final
// frame are dropped by both sides.
//
// # Where to look next
//
// frame.go and js/frames.js have the tables; testdata/frames holds golden bytes that both halves read.
// splitter.go finds frames, check.go judges them, incoming.go and outgoing.go are large messages.
// bridge.go is a process and its calls, read.go and write.go its two goroutines, calls.go the slots,
// loaded.go its modules. pool.go is the places of a tenant, scale.go how many (pure), choose.go the choice among
// its processes, lane.go the pool of its calls with large payloads, waiting.go the calls that wait for one, retire.go how one is taken out of use, watch.go and
// usage.go what is measured, restart.go the backoff, warm.go the processes that
// are ready before a tenant needs one, fleet.go the pools of all tenants. js/loader.js loads modules, js/run.js runs
// a call, js/tail.js is the tail object, js/console.js attributes output. request.go and js/requests.js
// are what a function asks of the hub, js/inbox.js the events that it has not heard yet, js/flow.js what a
// generator may yield before somebody has taken it. quota.go and js/quota.js are how much may be logged.
package nodebridge
