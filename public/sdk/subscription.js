// A view of a stream or pattern that outlives connections. The states and every legal move:
//
//   idle ──ask──▶ asking ──granted──▶ live ──overflow──▶ lagging
//    ▲              │                  │                    │
//    └─────lost─────┴───────lost───────┴──────drained───────┘        finish leads to closed from everywhere
//
// The buffer is bounded: when the reader is too slow, the subscription lets go on the hub's side
// (lagging), and asks again from the last event it took over once the reader has caught up. What
// comes again after a reconnect is dropped by its offset, so the reader sees each event once.
//
// A position is an epoch and an offset in it, and is never taken apart: an offset of another epoch means
// nothing. An event of a stream has its stream's epoch; one of a pattern brings the position with it.

import { backoff } from './backoff.js'
import { Buffer } from './buffer.js'
import { Emitter } from './emitter.js'
import { LivefnError } from './errors.js'

export const transitions = {
  idle: { ask: 'asking', finish: 'closed' },
  asking: { granted: 'live', lost: 'idle', finish: 'closed' },
  live: { overflow: 'lagging', lost: 'idle', finish: 'closed' },
  lagging: { drained: 'idle', finish: 'closed' },
  closed: {}
}

const LATER = new Set(['overloaded', 'rate_limited', 'storage_unavailable']) // is asked again after a while
const NEXT = new Set(['connection_lost', 'connection_failed', 'drained']) // is asked again with the next connection

export class Subscription extends Emitter {
  state = 'idle'
  /** {epoch, offset} up to which the reader has everything; what to give as since to go on from there. */
  position
  #link
  #stream
  #since
  #wishes // further params of subscribe
  #last
  #seen
  #at // the position up to which we took everything over: what to ask for next
  #id // on the hub, while live
  #call // the request to the hub
  #buffer
  #waiting = [] // readers
  #gap = false // the next event is not the one after the last
  #error
  #retries = 0
  #timer
  #unlisten = () => {}
  #readyResolve
  #readyReject

  /** seen(event) is told what arrives; last(event): true, or a promise of it, for the event after which the stream has no more. */
  constructor (link, stream, { since = 'new', signal, buffer = 1024, bufferBytes = 8 << 20, presence, latest, onGap, seen = () => {}, last = () => false } = {}) {
    super()
    this.#link = link
    this.#stream = stream
    this.#since = since
    this.#wishes = { presence, latest }
    this.#buffer = new Buffer(buffer, bufferBytes)
    this.#seen = seen
    this.#last = last
    this.ready = new Promise((resolve, reject) => { this.#readyResolve = resolve; this.#readyReject = reject })
    this.ready.catch(() => {}) // whoever waits for it is told
    if (onGap) this.on('gap', onGap)
    if (signal?.aborted) this.finish(signal.reason)
    else if (signal) {
      const abort = () => {
        this.#buffer.clear()
        this.finish(signal.reason)
      }
      signal.addEventListener('abort', abort, { once: true })
      this.#unlisten = () => signal.removeEventListener('abort', abort)
    }
  }

  [Symbol.asyncIterator] () {
    return this
  }

  async next () {
    if (this.#buffer.length > 0) {
      const event = this.#buffer.shift()
      if (this.#buffer.low && this.#step('drained')) this.ask()
      return this.#read(event)
    }
    if (this.state !== 'closed') return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
    const error = this.#error
    this.#error = undefined
    if (error) throw error
    return { value: undefined, done: true }
  }

  /** Ends the subscription: what a break out of for await calls. */
  async return (value) {
    this.#buffer.clear()
    this.finish()
    return { value, done: true }
  }

  // What follows is for Link.

  /** Asks the hub, if that is due and there is a connection. */
  ask () {
    if (this.#link.status !== 'open' || !this.#step('ask')) return
    const params = { stream: this.#stream, since: this.#at ?? this.#since, ...this.#wishes }
    this.#call = this.#link.request('subscribe', params, (error, result) => {
      if (error) this.#refused(error)
      else this.#granted(result)
    }, { here: true })
  }

  /** Takes over an event, which weighs size. */
  push (event, size) {
    if (this.state !== 'live') return
    const position = isPattern(this.#stream) ? event.position : { epoch: this.#at.epoch, offset: event.offset }
    if (position && position.epoch === this.#at.epoch && position.offset <= this.#at.offset) return // had it before
    if (this.#waiting.length === 0 && !this.#buffer.fits(size)) return void this.#step('overflow')
    if (position) this.#at = event.position = position
    if (this.#gap) event.recovered = false
    this.#gap = false
    this.#seen(event)
    if (this.#waiting.length > 0) this.#waiting.shift().resolve(this.#read(event))
    else this.#buffer.push(event, size)
    this.#endAfter(event)
  }

  /** The hub let go of it. One that fell behind asks again, and is told where history starts now. */
  ended (reason) {
    this.#id = undefined
    if (reason === 'forbidden') this.finish(new LivefnError('forbidden', 'The new token does not allow this subscription.'))
    else if (reason !== 'behind') this.finish()
    else if (this.#step('lost')) this.ask()
  }

  async #endAfter (event) {
    const last = this.#last(event)
    if (last === true || last && await last) this.finish()
  }

  lost () {
    this.#call?.forget() // it asks anew with the next connection
    this.#step('lost')
  }

  /** Ends it: readers get what is buffered, then error, or the end. */
  finish (error) {
    if (!this.#step('finish')) return
    this.#error = error
    this.#unlisten()
    this.#link.forget(this)
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (this.#error) reject(this.#error)
      else resolve({ value: undefined, done: true })
      this.#error = undefined
    }
    this.#readyReject(error ?? new LivefnError('closed', 'The subscription was ended before the hub granted it.'))
    this.emit('end', error)
  }

  #read (event) {
    if (event.position) this.position = event.position
    return { value: event, done: false }
  }

  #granted ({ subscription, epoch, offset, recovered }) {
    if (!this.#step('granted')) return this.#link.release(subscription) // ended meanwhile
    this.#id = subscription
    this.#retries = 0
    this.#link.attach(subscription, this)
    const had = this.#at ?? (typeof this.#since === 'object' ? this.#since : undefined)
    if (this.#at === undefined || !recovered) this.#at = { epoch, offset }
    this.position ??= this.#at
    const granted = { epoch, offset, recovered }
    this.#readyResolve(granted)
    this.emit('subscribed', granted)
    if (recovered) return
    this.#gap = true
    if (this.#buffer.length === 0) this.position = this.#at
    this.emit('gap', { after: had, from: { epoch, offset } })
  }

  #refused (error) {
    if (!this.#step('lost')) return
    if (NEXT.has(error.code)) return
    if (!LATER.has(error.code)) return this.finish(error)
    this.#timer = setTimeout(() => this.ask(), backoff(this.#retries++, { base: 500 }))
  }

  #step (step) {
    const from = this.state
    const to = transitions[from][step]
    if (!to) return false
    clearTimeout(this.#timer)
    this.state = to
    if (this.#id !== undefined) this.#link.release(this.#id) // whatever the step, it left live
    this.#id = undefined
    this.emit('state', to, from)
    return true
  }
}

/** Whether the name has wildcards: then offsets are counted per stream, and a position is an event's own. */
export function isPattern (stream) {
  return stream.split('.').some(token => token === '*' || token === '>')
}
