// The types of livefn: the client (connect and what it gives) and, at the end, the function's side (Hub).

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

/** Milliseconds, or '500ms', '90s', '2h', '3d'. */
export type Duration = number | string

/** The functions of a tenant, for an editor that completes names and checks arguments. */
export type Functions = Record<string, (...args: any[]) => any>

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
  constructor(code: Code, message: string, more?: {
    execution?: string, functionName?: string, functionStack?: string, cause?: unknown
  })
}

export interface ConnectOptions {
  /** A key or token. A function is asked again for every connection. */
  token?: string | (() => string | Promise<string>)
  /** How long to try for the first connection, in ms; Infinity: until it works. Default 10 000. */
  timeout?: number
  /** Gives up connecting; after that it has no effect: use close(). */
  signal?: AbortSignal
  /** The WebSocket to use, for a Node without one (20): `(await import('ws')).WebSocket`. */
  WebSocket?: new (url: string) => any
  /** A silent hub is pinged after this many ms, and left after as many more. Default 15 000. */
  heartbeat?: number
  /** How long one attempt may take, in ms. Default 10 000. */
  patience?: number
  /** How long to wait before attempt n (from 0), in ms. Default: full jitter, at most 15 s. */
  delay?: (n: number) => number
  /** Calls that may be under way at once; more reject with overloaded. Default 10 000. */
  maxPending?: number
}

/**
 * Connects and signs in. `url`: ws, wss, http or https, with or without a path (then /v1/ws); in a
 * browser it may be relative. Rejects with unauthorized, or with connection_failed after the timeout.
 */
export function connect<F extends Functions = Functions>(url?: string | URL, options?: ConnectOptions): Promise<Client<F>>

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
}

type Args<T> = T extends (...args: infer A) => any ? A : never
type Result<T> = T extends (...args: any[]) => infer R ? Awaited<R> : never

export interface Client<F extends Functions = Functions> {
  /** Calls a function and waits for its result. Rejects with connection_lost if the connection drops meanwhile, unless it has a key. */
  invoke<N extends keyof F & string>(name: N, ...args: Args<F[N]>): Promise<Result<F[N]>>
  /** Starts a durable execution; once it resolves, the execution survives crashes. */
  start<N extends keyof F & string>(name: N, ...args: Args<F[N]>): Promise<Run<Result<F[N]>>>
  /** The same connection; its calls carry these options. */
  with(options: CallOptions): Client<F>
  get(id: string): Promise<Execution>
  /** Newest first. */
  list(filter?: { function?: string, state?: State, limit?: number, cursor?: string }): Promise<{ items: Execution[], next?: string }>
  execution<R = any>(id: string): Run<R>
  /** A stream's name, or a pattern: `*` is any one token, `>` the rest. */
  subscribe(stream: string, options?: SubscribeOptions): Subscription
  readonly status: Status
  on(type: 'status', fn: (status: Status) => void): () => void
  /** The hub is about to close the connection; the client comes back by itself. */
  on(type: 'closing', fn: (closing: { reason: string, reconnect?: { after: number } }) => void): () => void
  off(type: 'status' | 'closing', fn: (value: any) => void): void
  close(): void
}

export type State = 'queued' | 'running' | 'pausing' | 'paused' | 'succeeded' | 'failed' | 'cancelled'

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
  parent?: string
}

export interface Run<R = any> {
  readonly id: string
  /** Its events, by default from the first on; ends when the execution does. */
  events(options?: SubscribeOptions): Subscription
  /** Waits for the result; rejects with what it failed with. */
  result(options?: { signal?: AbortSignal }): Promise<R>
  get(options?: { signal?: AbortSignal }): Promise<Execution>
  send(type: string, data?: unknown): Promise<true>
  /** Asks it to pause; gives what it is then, mostly pausing. */
  pause(): Promise<Execution>
  resume(how?: { args?: unknown[], version?: number }): Promise<Execution>
  cancel(): Promise<Execution>
  retry(): Promise<Execution>
}

export interface Position { epoch: string, offset: number }

export interface SubscribeOptions {
  /** 'new' (default for streams), 'start' (default for a run), or everything after a position. */
  since?: 'new' | 'start' | Position
  signal?: AbortSignal
  /** Events held for a slow reader; beyond, they stay with the hub and are asked for later. Default 1024. */
  buffer?: number
}

export interface Event<T = any> {
  stream: string
  /** From 1, per stream. */
  offset: number
  type: string
  time: string
  data: T
  /** Only ever false: events before this one are missing. */
  recovered?: false
}

/** For `for await`; goes on through reconnects. */
export interface Subscription<T = any> extends AsyncIterableIterator<Event<T>> {
  /** Resolves with the hub's first grant. */
  readonly ready: Promise<Granted>
  readonly position: Position | undefined
  return(value?: any): Promise<IteratorResult<Event<T>>>
  /** After every (re)connect; recovered false: something is missing. */
  on(type: 'subscribed', fn: (granted: Granted) => void): () => void
  on(type: 'end', fn: (error?: Error) => void): () => void
  off(type: 'subscribed' | 'end', fn: (value: any) => void): void
}

export interface Granted extends Position { recovered: boolean }

// ── The function's side ─────────────────────────────────────────────────────────────────────────

/**
 * What livefn passes to a function as its last argument. In JavaScript, name it in a comment:
 * `@param {import('livefn').Hub} hub`
 */
export interface Hub {
  /** The event bus that the function shares with livefn. Incoming: pause, cancel, and what clients send. */
  readonly events: Bus
  /** Emits an event to whoever watches this execution. */
  emit(type: string, data?: unknown): void
  /** True once a pause was asked for. */
  readonly pausing: boolean
  /** Halts here: the execution resumes, maybe much later, with these arguments. `return hub.pause(…)`. */
  pause(...args: unknown[]): any
  /** Aborted on cancel, and on the caller's timeout. */
  readonly signal: AbortSignal
  readonly log: Record<'debug' | 'info' | 'warn' | 'error', (message: unknown, ...more: unknown[]) => void>
  readonly execution: {
    readonly id: string
    readonly function: string
    readonly version: number
    readonly tenant: string
    readonly attempt: number
    readonly resumed: boolean
    readonly trigger?: string
    readonly caller?: string
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
