// One connection with its calls and subscriptions: what Client and Run speak through.

import { backoff } from './backoff.js'
import { Calls } from './calls.js'
import { Connection } from './connection.js'
import { Emitter } from './emitter.js'
import { LivefnError } from './errors.js'
import { Subscription } from './subscription.js'

export class Link extends Emitter {
  #connection
  #calls
  #subscriptions = new Set()
  #live = new Map() // subscription id of this connection → Subscription
  #status = 'connecting'
  #error // why it is closed for good, if not by close()
  #renewal // the timer after which a token is asked for again

  /** ready resolves with the first connection, and rejects without one within timeout. */
  constructor ({ timeout = 10_000, maxPending, maxPendingBytes, ...options }) {
    super()
    this.#calls = new Calls({ limit: maxPending, bytes: maxPendingBytes, patience: timeout, renew: () => this.#connection.renew() })
    this.ready = new Promise((resolve, reject) => {
      const timer = timeout === Infinity
        ? undefined
        : setTimeout(() => reject(new LivefnError('connection_failed', `No connection to the hub within ${timeout} ms.`)), timeout)
      this.on('status', status => {
        if (status === 'open') resolve()
        if (status === 'closed') reject(this.#closedError())
        clearTimeout(timer)
      })
    })
    this.ready.catch(() => {}) // whoever waits for it is told
    this.#connection = new Connection({
      ...options,
      changed: (...change) => this.#changed(...change),
      received: (message, size) => this.#received(message, size)
    })
    this.#connection.open()
  }

  get status () {
    return this.#connection.status
  }

  close (error) {
    this.#connection.close(error)
  }

  /** Asks for a result; see Calls.request. aborted(call) may keep a call that the hub has. */
  call (method, params, { signal, aborted = call => call.forget(), ...options } = {}) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const abort = () => {
        reject(signal.reason)
        aborted(call)
      }
      const call = this.request(method, params, (error, result) => {
        signal?.removeEventListener('abort', abort)
        if (error) reject(error)
        else resolve(result)
      }, options)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }

  request (method, params, done, options) {
    if (this.status !== 'closed') return this.#calls.request(method, params, done, options)
    done(this.#closedError())
    return { tried: false, forget () {} }
  }

  subscribe (stream, options) {
    const subscription = new Subscription(this, stream, options)
    if (this.status === 'closed') subscription.finish(this.#closedError())
    if (subscription.state !== 'closed') this.#subscriptions.add(subscription)
    subscription.ask()
    return subscription
  }

  /** For Subscription: events of id are its, until it lets go of it. */
  attach (id, subscription) {
    this.#live.set(id, subscription)
  }

  /** The hub need not send events of id any more. */
  release (id) {
    this.#live.delete(id)
    if (this.status === 'open') this.#calls.request('unsubscribe', { subscription: id }, () => {}, { quick: true, here: true })
  }

  forget (subscription) {
    this.#subscriptions.delete(subscription)
  }

  #changed (state, error, drained) {
    clearTimeout(this.#renewal)
    if (state === 'open') {
      this.#calls.opened(texts => this.#connection.send(texts))
      for (const subscription of this.#subscriptions) subscription.ask()
    } else if (state === 'waiting') {
      this.#live.clear()
      this.#calls.lost(error, drained)
      for (const subscription of this.#subscriptions) subscription.lost()
    } else if (state === 'closed') {
      this.#error = error
      this.#live.clear()
      for (const subscription of [...this.#subscriptions]) subscription.finish(error) // before their calls fail
      this.#calls.closed(this.#closedError())
    }
    if (this.status !== this.#status) {
      this.#status = this.status
      this.emit('status', this.#status, error)
    }
  }

  #received (message, size) {
    const { id, method, params } = message ?? {}
    if (method === 'event') this.#event(params, size)
    else if (method === 'presence') this.#presence(params)
    else if (method === 'ended') this.#ended(params)
    else if (method === 'closing') {
      this.#connection.advise(params?.reconnect?.after)
      this.#calls.hold() // the hub begins nothing any more
      this.emit('closing', params)
    } else if (method === 'expiring') this.#renew()
    else if (id !== undefined) this.#calls.answer(message)
  }

  #event ({ subscription, call, ...event }, size) {
    if (call !== undefined) this.#calls.event(call, event)
    else this.#live.get(subscription)?.push(event, size)
  }

  #presence ({ subscription, event, connection, subject, total }) {
    this.#live.get(subscription)?.emit('presence', { event, connection, subject, total })
  }

  /** The hub ended a subscription: its stream is over, its history went before we had it, or a newer token does not allow it. */
  #ended ({ subscription: id, reason }) {
    const subscription = this.#live.get(id)
    this.#live.delete(id)
    subscription?.ended(reason)
  }

  /** The token runs out soon. If there is no new one yet it is asked for again, until the hub cuts us. */
  #renew (n = 0) {
    this.#connection.renew().catch(error => {
      this.emit('renewal_failed', error)
      if (this.status === 'open') this.#renewal = setTimeout(() => this.#renew(n + 1), backoff(n, { base: 1000, cap: 30_000 }))
    })
  }

  #closedError () {
    return this.#error ?? new LivefnError('closed', 'The connection was closed here.')
  }
}
