// A view of a stream or pattern that outlives connections. The states and every legal move:
//
//   idle ──ask──▶ asking ──granted──▶ live ──overflow──▶ lagging
//    ▲              │                  │                    │
//    └─────lost─────┴───────lost───────┴──────drained───────┘        finish leads to closed from everywhere
//
// The buffer is bounded: when the reader is too slow, the subscription lets go on the hub's side
// (lagging), and asks again from the last event it took over once the reader has caught up. What
// comes again after a reconnect is dropped by its offset, so the reader sees each event once.

import { backoff } from './backoff.js'
import { Emitter } from './emitter.js'
import { LivefnError } from './errors.js'

export const transitions = {
  idle: { ask: 'asking', finish: 'closed' },
  asking: { granted: 'live', lost: 'idle', finish: 'closed' },
  live: { overflow: 'lagging', lost: 'idle', finish: 'closed' },
  lagging: { drained: 'idle', finish: 'closed' },
  closed: {}
}

const RETRY = new Set(['overloaded', 'rate_limited', 'storage_unavailable'])

export class Subscription extends Emitter {
  state = 'idle'
  /** {epoch, offset} of the last event that was taken over from the hub: what to ask for next. */
  position
  #link
  #stream
  #since
  #limit
  #last
  #id // on the hub, while live
  #buffer = []
  #waiting = [] // readers
  #gap = false // the next event is not the one after the last
  #error
  #retries = 0
  #timer
  #unlisten = () => {}
  #readyResolve
  #readyReject

  /** last(event): true for the event after which the stream has no more. */
  constructor (link, stream, { since = 'new', signal, buffer = 1024, last = () => false } = {}) {
    super()
    this.#link = link
    this.#stream = stream
    this.#since = since
    this.#limit = Math.max(1, buffer)
    this.#last = last
    this.ready = new Promise((resolve, reject) => { this.#readyResolve = resolve; this.#readyReject = reject })
    this.ready.catch(() => {}) // whoever waits for it is told
    if (signal?.aborted) this.finish(signal.reason)
    else if (signal) {
      const abort = () => {
        this.#buffer = []
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
    if (this.#buffer.length === 0 && this.state !== 'closed') {
      return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
    }
    if (this.#buffer.length > 0) {
      const value = this.#buffer.shift()
      if (this.#buffer.length <= this.#limit / 2 && this.#step('drained')) this.ask()
      return { value, done: false }
    }
    const error = this.#error
    this.#error = undefined
    if (error) throw error
    return { value: undefined, done: true }
  }

  /** Ends the subscription: what a break out of for await calls. */
  async return (value) {
    this.#buffer = []
    this.finish()
    return { value, done: true }
  }

  // What follows is for Link.

  /** Asks the hub, if that is due and there is a connection. */
  ask () {
    if (this.#link.status !== 'open' || !this.#step('ask')) return
    const params = { stream: this.#stream, since: this.position ?? this.#since }
    this.#link.request('subscribe', params, (error, result) => {
      if (error) this.#refused(error)
      else this.#granted(result)
    })
  }

  push (event) {
    if (this.state !== 'live') return
    const ordered = !isPattern(this.#stream)
    if (ordered && event.offset <= this.position.offset) return // had it before
    if (this.#buffer.length >= this.#limit) return void this.#step('overflow')
    if (ordered) this.position = { epoch: this.position.epoch, offset: event.offset }
    if (this.#gap) event.recovered = false
    this.#gap = false
    if (this.#waiting.length > 0) this.#waiting.shift().resolve({ value: event, done: false })
    else this.#buffer.push(event)
    if (this.#last(event)) this.finish()
  }

  lost () {
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

  #granted ({ subscription, epoch, offset, recovered }) {
    if (!this.#step('granted')) return this.#link.release(subscription) // ended meanwhile
    this.#id = subscription
    this.#retries = 0
    this.#link.attach(subscription, this)
    if (this.position === undefined || !recovered) this.position = { epoch, offset }
    if (!recovered) this.#gap = true
    const granted = { epoch, offset, recovered }
    this.#readyResolve(granted)
    this.emit('subscribed', granted)
  }

  #refused (error) {
    if (!this.#step('lost')) return
    if (error.code === 'connection_lost') return // it is asked again with the next connection
    if (!RETRY.has(error.code)) return this.finish(error)
    this.#timer = setTimeout(() => this.ask(), backoff(this.#retries++, { base: 500 }))
  }

  #step (step) {
    const to = transitions[this.state][step]
    if (!to) return false
    clearTimeout(this.#timer)
    this.state = to
    if (this.#id !== undefined) this.#link.release(this.#id) // whatever the step, it left live
    this.#id = undefined
    return true
  }
}

/** Whether the name has wildcards; only then can offsets of events repeat or fall. */
export function isPattern (stream) {
  return stream.split('.').some(token => token === '*' || token === '>')
}
