// The types of livefn: the client (connect and what it gives) and, at the end, the function's side (Hub).

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

/** Milliseconds, or '500ms', '90s', '2h', '3d'. */
export type Duration = number | string

/**
 * The functions of a tenant, for an editor that completes names and checks arguments: an interface, or
 * the functions themselves, `{ add: typeof import('./add.js').default }`. Without one, any name goes.
 */
export type Functions<F = Record<string, (...args: any[]) => any>> = { [N in keyof F]: (...args: any[]) => any }

export type Code =
  | 'unauthorized'
  | 'forbidden'
  | 'not_found'
  | 'invalid_request'
  | 'payload_too_large'
  | 'conflict'
  | 'rate_limited'
  | 'overloaded'
  | 'install_failed'
  | 'version_broken'
  | 'function_error'
  | 'result_not_serializable'
  | 'timeout'
  | 'cancelled'
  | 'bridge_lost'
  | 'stuck'
  | 'out_of_memory'
  | 'drained'
  | 'storage_unavailable'
  | 'internal'
  | 'connection_failed'
  | 'connection_lost'
  | 'closed'

export const codes: readonly Code[]

export class LivefnError extends Error {
  readonly name: 'LivefnError'
  /** Stable; docs/errors.md says what to do on each. */
  readonly code: Code
  /** The execution that it belongs to, if any. */
  readonly execution?: string
  /** Of the error that the function threw (code function_error). */
  readonly functionName?: string
  readonly functionStack?: string
  /** How many milliseconds to wait before trying again, where that helps. */
  readonly retryAfter?: number
  constructor(code: Code, message: string, more?: {
    execution?: string, functionName?: string, functionStack?: string, retryAfter?: number, cause?: unknown
  })
}

export interface ConnectOptions {
  /**
   * A key or token. A function is asked for every connection, when the hub says that the token runs out,
   * and once when the hub refuses it.
   */
  token?: string | (() => string | Promise<string>)
  /** How long `ready` and calls wait for a connection, in ms; Infinity: as long as it takes. Default 10 000. */
  timeout?: number
  /** Closes the client. */
  signal?: AbortSignal
  /** The WebSocket to use, for a Node without one (20): `import { WebSocket } from 'ws'`. */
  WebSocket?: new (url: string) => any
  /** A silent hub is pinged after this many ms, and left after as many more. Default 15 000. */
  heartbeat?: number
  /** How long one attempt may take, in ms. Default 10 000. */
  patience?: number
  /** How long to wait before attempt n (from 0), in ms. Default: full jitter, at most 15 s. */
  delay?: (n: number) => number
  /** Calls that may be under way at once; more reject with overloaded. Default 10 000. */
  maxPending?: number
  /** What those may weigh together, in characters. Default 64 Mi. */
  maxPendingBytes?: number
}

/**
 * Connects, and stays connected until close(). `url`: ws, wss, http or https, with or without a path
 * (then /v1/ws); in a browser it may be relative, or left out. What is asked before the connection is
 * there waits for it.
 */
export function connect<F extends Functions<F> = Functions>(url?: string | URL, options?: ConnectOptions): Client<F>

export type Status = 'connecting' | 'open' | 'reconnecting' | 'closed'

export interface CallOptions {
  /** Idempotency key: at most one execution per key within 24 h. A call with a key is durable, and is re-attached when the connection drops. */
  key?: string
  /** Rejects with timeout after it. */
  timeout?: Duration
  /** Rejects with the signal's reason, and cancels the execution. */
  signal?: AbortSignal
  /** Told each event of the execution while the call waits. */
  onEvent?: (event: Event) => void
  /** start() only: not before this has passed. */
  delay?: Duration
  /** start() only: -100 to 100, higher first. */
  priority?: number
}

/** A function's latest version, a version or an alias: 'add', 'add@3', 'add@prod'. */
type Named<N extends string> = N | `${N}@${string}`
/** The arguments that a caller gives: those of the function, without the hub at their end. */
type Args<T> = T extends (...args: infer A) => any ? WithoutHub<A> : never
type WithoutHub<A extends readonly any[]> =
  A extends [...infer Own, infer Last] ? (IsAny<Last> extends true ? A : Last extends Hub ? Own : A)
    : A extends [...infer Own, Hub?] ? Own : A
type IsAny<T> = 0 extends (1 & T) ? true : false
type Result<T> = T extends (...args: any[]) => infer R ? Returned<Awaited<R>> : never
type Returned<R> = IsAny<R> extends true ? any
  : R extends AsyncGenerator<any, infer V, any> ? V : R extends Generator<any, infer V, any> ? V : R

export interface Client<F extends Functions<F> = Functions> {
  /** Resolves once signed in for the first time; rejects with unauthorized, or connection_failed after the timeout. Nobody has to wait for it. */
  readonly ready: Promise<void>
  /** Calls a function and waits for its result. Rejects with connection_lost if the connection drops meanwhile, unless it has a key. */
  invoke<N extends keyof F & string>(name: Named<N>, ...args: Args<F[N]>): Promise<Result<F[N]>>
  /** Starts a durable execution; once it resolves, the execution survives crashes. */
  start<N extends keyof F & string>(name: Named<N>, ...args: Args<F[N]>): Promise<Run<Result<F[N]>>>
  /** The same connection; its calls carry these options. */
  with(options: CallOptions): Client<F>
  get(id: string): Promise<Execution>
  /** Newest first. */
  list(filter?: ListFilter): Promise<{ items: Execution[], next?: string }>
  execution<R = any>(id: string): Run<R>
  /** A stream's name, or a pattern: `*` is any one token, `>` the rest. */
  subscribe<T = any>(stream: string, options?: SubscribeOptions): Subscription<T>
  /** Adds an event to a stream of your own; once it resolves the hub has it. */
  publish(stream: string, type: string, data?: unknown): Promise<Published>
  /** Who is subscribed to a stream, or to the same pattern. */
  presence(stream: string): Promise<Presence>
  readonly status: Status
  /** error says why, for reconnecting, and for closed if it was not close(). */
  on(type: 'status', fn: (status: Status, error?: Error) => void): () => void
  /** The hub is about to close the connection; the client comes back by itself. */
  on(type: 'closing', fn: (closing: { reason: string, reconnect?: { after: number } }) => void): () => void
  /** The token runs out soon, and there is no new one; it is asked for again. */
  on(type: 'renewal_failed', fn: (error: Error) => void): () => void
  off(type: 'status' | 'closing' | 'renewal_failed', fn: (...values: any[]) => void): void
  /** Calls under way reject with closed, subscriptions end. */
  close(): void
}

export type State = 'queued' | 'running' | 'pausing' | 'paused' | 'succeeded' | 'failed' | 'cancelled'

export interface ListFilter {
  function?: string
  state?: State
  limit?: number
  cursor?: string
}

export interface Execution {
  id: string
  function: string
  version: number
  state: State
  attempt: number
  createdAt: string
  startedAt?: string
  endedAt?: string
  args?: any
  result?: any
  error?: { code: Code, message: string, name?: string, stack?: string }
  pause?: { reason: string, at: string, args?: any, until?: string }
  trigger?: string
  /** Subject of the token with which it was asked for. */
  caller?: string
  parent?: string
}

export interface Run<R = any> {
  readonly id: string
  /** What was last heard of it: unknown unless somebody asked, or watches it. */
  readonly state: State | 'unknown'
  /** Its events, by default from the first on; ends when the execution does. */
  events<T = any>(options?: SubscribeOptions): Subscription<T>
  /** Waits for the result, also while it is paused; rejects with what it failed with. */
  result(options?: Abortable): Promise<R>
  get(options?: Abortable): Promise<Execution>
  /** Once it resolves, the event is on disk; a function that is paused gets it when it goes on. */
  send(type: string, data?: unknown, options?: Abortable): Promise<true>
  /** Asks it to pause; gives what it is then, mostly pausing. */
  pause(options?: Abortable): Promise<Execution>
  resume(how?: { args?: unknown[], version?: number } & Abortable): Promise<Execution>
  cancel(options?: Abortable): Promise<Execution>
  retry(options?: Abortable): Promise<Execution>
  /** Each change of its state from now on; it is watched as long as somebody listens. */
  on(type: 'state', fn: (to: State | 'unknown', from: State | 'unknown') => void): () => void
  off(type: 'state', fn: (...values: any[]) => void): void
}

export interface Abortable { signal?: AbortSignal }

/** An offset means nothing without the epoch it was counted in: keep the two together. */
export interface Position { epoch: string, offset: number }

/** The place of a published event in its stream. */
export type Published = Position

export interface SubscribeOptions {
  /** 'new' (default for streams), 'start' (default for a run), or everything after a position. */
  since?: 'new' | 'start' | Position
  signal?: AbortSignal
  /**
   * Events held for a slow reader. What is beyond stays with the hub, and is asked for when the reader has
   * caught up. Default 1024.
   */
  buffer?: number
  /** What those may weigh, in characters of JSON. Default 8 Mi. */
  bufferBytes?: number
  /** To be told of who comes and goes: the event 'presence'. */
  presence?: boolean
  /**
   * Only the newest event of each key waits for a connection that is slow: true, of each stream; a JSON
   * pointer into the data, such as '/id', of each value there. For what shows a state, not a history.
   */
  latest?: boolean | string
  /** See the event 'gap'. */
  onGap?: (gap: Gap) => void
}

export interface Event<T = any> {
  stream: string
  /** From 1, per stream. */
  offset: number
  type: string
  time: string
  data: T
  /** Where it stands for the subscription it came with: give it as `since` to go on after it. Events of execution.* and function.* that came with a pattern have none. */
  position?: Position
  /** Only ever false: events before this one are missing. */
  recovered?: false
}

/** For `for await`; goes on through reconnects. */
export interface Subscription<T = any> extends AsyncIterableIterator<Event<T>> {
  /** Resolves with the hub's first grant. */
  readonly ready: Promise<Granted>
  readonly state: 'idle' | 'asking' | 'live' | 'lagging' | 'closed'
  /** Up to here the reader has everything: what to keep, and to give as `since` another time. */
  readonly position: Position | undefined
  return(value?: any): Promise<IteratorResult<Event<T>>>
  /** After every (re)connect. */
  on(type: 'subscribed', fn: (granted: Granted) => void): () => void
  /** The hub no longer has everything that came after the last position. The next event has recovered: false. */
  on(type: 'gap', fn: (gap: Gap) => void): () => void
  /** Somebody came or left; asked for with presence: true. */
  on(type: 'presence', fn: (change: PresenceChange) => void): () => void
  on(type: 'state', fn: (to: Subscription['state'], from: Subscription['state']) => void): () => void
  on(type: 'end', fn: (error?: Error) => void): () => void
  off(type: 'subscribed' | 'gap' | 'presence' | 'state' | 'end', fn: (...values: any[]) => void): void
}

/** One connection; subject is who signed in, if the token says. */
export interface Member { connection: string, subject?: string }

export interface Presence {
  stream: string
  /** Connections. */
  total: number
  /** The first 1,000 of them (the hub's MaxPresence); while there are more, no changes are told. */
  members: Member[]
}

/** total is how many connections there are after it. */
export interface PresenceChange extends Member { event: 'join' | 'leave', total: number }

export interface Granted extends Position { recovered: boolean }

/** Between the two positions events are missing; after is undefined if there was none yet. */
export interface Gap { after?: Position, from: Position }

// ── The function's side ─────────────────────────────────────────────────────────────────────────

/**
 * What livefn passes to a function as its last argument. In JavaScript, name it in a comment:
 * `@param {import('livefn').Hub} hub`
 */
export interface Hub {
  /** The event bus that the function shares with livefn. Incoming: pause, cancel, and what clients send. */
  readonly events: Bus
  /** Emits an event to whoever watches this execution. */
  readonly emit: (type: string, ...data: unknown[]) => boolean
  /** True once a pause was asked for. */
  readonly pausing: boolean
  /** Halts here: the execution resumes, maybe much later, with these arguments. `return hub.pause(…)`. */
  readonly pause: (...args: unknown[]) => any
  /** Once it resolves, a crash resumes with these arguments, not from the start. */
  readonly checkpoint: (...args: unknown[]) => Promise<void>
  /** Pauses and resumes by itself after the duration: `return hub.sleep('3d', …)`. */
  readonly sleep: (duration: Duration, ...args: unknown[]) => any
  /** Pauses until an event of that type is sent to it; its data is appended to the arguments (undefined after the timeout). `return hub.waitFor(…)`. */
  readonly waitFor: (type: string, options?: { timeout?: Duration } | null, ...args: unknown[]) => any
  /** Aborted on cancel, and on the caller's timeout. */
  readonly signal: AbortSignal
  /** Calls another function of the tenant. */
  readonly invoke: <R = any>(name: string, ...args: unknown[]) => Promise<R>
  /** Starts a durable execution of another function; gives its id. */
  readonly start: (name: string, ...args: unknown[]) => Promise<string>
  /** Options of a start: `hub.with({ key, delay, priority }).start(name, …)`. */
  readonly with: (options: { key?: string, delay?: Duration, priority?: number }) => Pick<Hub, 'start'>
  /** Publishes to a stream of the tenant. */
  readonly publish: (stream: string, type: string, data?: unknown) => Promise<Published>
  readonly log: Readonly<Record<'debug' | 'info' | 'warn' | 'error', (message: unknown, ...more: unknown[]) => void>>
  readonly execution: {
    readonly id: string
    readonly function: string
    readonly version: number
    readonly tenant: string
    readonly attempt: number
    readonly resumed: boolean
    readonly trigger?: string
    /** Subject of the token with which it, or what it is a part of, was asked for. */
    readonly caller?: string
    readonly parent?: string
    readonly traceparent?: string
  }
  /** The function's settings and secrets. */
  readonly env: Readonly<Record<string, string>>
}

export interface Bus {
  on(type: 'pause', fn: (pause: { reason: 'request' | 'drain' | 'scale' | 'deploy', deadline: string }) => void): this
  on(type: string, fn: (...data: any[]) => void): this
  once(type: string, fn: (...data: any[]) => void): this
  off(type: string, fn: (...data: any[]) => void): this
  /** 'paused' with the resume arguments ends the execution as paused. */
  emit(type: string, ...data: unknown[]): boolean
}
