import { Run } from './run.js'

/** What connect() gives. with() makes a view of the same connection whose calls carry options. */
export class Client {
  #link
  #options

  constructor (link, options = {}) {
    this.#link = link
    this.#options = options
  }

  /** Resolves once signed in for the first time. */
  get ready () {
    return this.#link.ready
  }

  /** The same hub, its calls with these options: { key, timeout, signal, onEvent, delay, priority }. */
  with (options) {
    return new Client(this.#link, { ...this.#options, ...options })
  }

  /** Calls a function and waits for its result, also while it is paused. */
  invoke (name, ...args) {
    const { key, timeout, signal, onEvent } = this.#options
    const events = signal || onEvent ? true : undefined
    let execution // known from its first event
    let seen = 0
    let dropped // the call, if it was aborted before that
    const cancel = () => {
      dropped?.forget()
      this.execution(execution).cancel().catch(() => {}) // it may just have ended
    }
    return this.#link.call('invoke', { function: name, args, key, timeout, events }, {
      signal,
      begins: true,
      ...kept(key),
      event: event => {
        if (event.offset <= seen) return // again, after a reconnect
        seen = event.offset
        execution ??= event.stream.slice('execution.'.length)
        if (dropped) cancel()
        else onEvent?.(event)
      },
      aborted: call => {
        dropped = call
        if (!call.tried) call.forget()
        else if (execution) cancel()
      }
    })
  }

  /** Starts a durable execution: once this resolves, it survives crashes. */
  async start (name, ...args) {
    const { key, delay, priority, signal } = this.#options
    const { execution } = await this.#link.call('start', { function: name, args, key, delay, priority }, { signal, quick: true, begins: true, ...kept(key) })
    return this.execution(execution)
  }

  /** One execution as the API shows it. */
  get (id) {
    return this.execution(id).get({ signal: this.#options.signal })
  }

  /** Executions, newest first: { function, state, limit, cursor } → { items, next }. */
  list (filter = {}) {
    return this.#link.call('list', filter, { signal: this.#options.signal, again: true, quick: true })
  }

  /** A handle on an execution; asks the hub nothing. */
  execution (id) {
    return new Run(this.#link, id)
  }

  /** The events of a stream, or of all that match a pattern; see livefn.d.ts. */
  subscribe (stream, options) {
    return this.#link.subscribe(stream, { signal: this.#options.signal, ...options })
  }

  /** Adds an event to a stream; gives its position. */
  publish (stream, type, data) {
    return this.#link.call('publish', { stream, type, data }, { signal: this.#options.signal, quick: true })
  }

  /** Who is subscribed to a stream, or to the same pattern: { stream, total, members }. */
  presence (stream) {
    return this.#link.call('presence', { stream }, { signal: this.#options.signal, again: true, quick: true })
  }

  /** connecting, open, reconnecting or closed. */
  get status () {
    return this.#link.status
  }

  /** 'status', 'closing' and 'renewal_failed'; gives a function that takes the listener off again. */
  on (type, fn) {
    return this.#link.on(type, fn)
  }

  off (type, fn) {
    this.#link.off(type, fn)
  }

  /** Ends the connection: calls under way reject with closed, subscriptions end. */
  close () {
    this.#link.close()
  }
}

/** With a key the hub knows the call again, and keeps its answer. */
function kept (key) {
  return key === undefined ? {} : { again: true, attached: true }
}
