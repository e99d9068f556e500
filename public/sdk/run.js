// An execution as its events show it. The states and every legal move:
//
//   queued ──started──▶ running ──pausing──▶ pausing ──paused──▶ paused ──resumed──▶ queued
//
// The hub's own table has the same words. unknown is ours: nothing was heard yet, or something was
// missed; the next event says where it is. What the table does not allow was missed too.

import { Emitter } from './emitter.js'
import { fromExecution } from './errors.js'

const ended = { succeeded: 'succeeded', failed: 'failed', cancelled: 'cancelled' }
const goesOn = { started: 'running', pause_timeout: 'running', pause_refused: 'running' }

export const transitions = {
  unknown: { ...ended, ...goesOn, queued: 'queued', pausing: 'pausing', paused: 'paused', resumed: 'queued', retrying: 'queued' },
  queued: { started: 'running', paused: 'paused', retrying: 'queued', failed: 'failed', cancelled: 'cancelled', missed: 'unknown' },
  running: { ...ended, started: 'running', pausing: 'pausing', paused: 'paused', retrying: 'queued', missed: 'unknown' },
  pausing: { ...ended, ...goesOn, paused: 'paused', retrying: 'queued', missed: 'unknown' },
  paused: { resumed: 'queued', cancelled: 'cancelled', missed: 'unknown' },
  succeeded: { missed: 'unknown' },
  failed: { resumed: 'queued', retrying: 'queued', missed: 'unknown' },
  cancelled: { resumed: 'queued', retrying: 'queued', missed: 'unknown' }
}

// What leads from unknown to the state that get() shows.
const shown = { queued: 'queued', running: 'started', pausing: 'pausing', paused: 'paused', ...ended }

const LIFECYCLE = 'execution.'

/** A handle on one execution; making one asks the hub nothing. */
export class Run extends Emitter {
  /** What was last heard of it; unknown while nobody asks or watches. */
  state = 'unknown'
  #link
  #at // the position of the last event heard
  #watch // the subscription of those who listen to 'state'

  constructor (link, id) {
    super()
    this.#link = link
    this.id = id
  }

  /** 'state' (to, from) makes it watched until it has ended, or the last listener was taken off. */
  on (type, fn) {
    super.on(type, fn)
    if (type === 'state') this.#follow()
    return () => this.off(type, fn)
  }

  off (type, fn) {
    super.off(type, fn)
    if (type !== 'state' || this.listeners('state') > 0) return
    this.#watch?.return()
    this.#watch = undefined
  }

  /** Its events, by default from the first; ends when the execution does. */
  events ({ since = 'start', ...options } = {}) {
    const events = this.#link.subscribe(`${LIFECYCLE}${this.id}`, {
      since, ...options, seen: event => this.#hear(event), last: event => this.#isLast(event)
    })
    events.on('gap', () => this.#step('missed'))
    return events
  }

  /** Waits for the result; rejects with what the execution failed with. */
  async result ({ signal } = {}) {
    let view = await this.get({ signal })
    if (!ended[view.state]) {
      await this.#end(signal)
      view = await this.get({ signal })
    }
    if (view.state === 'succeeded') return view.result
    throw fromExecution(view)
  }

  /** The execution as the API shows it. */
  async get (options) {
    const view = await this.#ask('get', {}, { ...options, again: true })
    if (this.state === 'unknown' || ended[view.state] || !this.#watch) this.#show(view.state)
    return view
  }

  /** Sends an event into it. */
  send (type, data, options) {
    return this.#ask('send', { type, data }, options)
  }

  /** Asks it to pause; gives its state then, mostly pausing. */
  pause (options) {
    return this.#ask('pause', {}, options)
  }

  /** Lets it go on, with other arguments or on another version if given. */
  resume ({ args, version, signal } = {}) {
    return this.#ask('resume', { args, version }, { signal })
  }

  cancel (options) {
    return this.#ask('cancel', {}, options)
  }

  /** Runs it again if it failed or was cancelled. */
  retry (options) {
    return this.#ask('retry', {}, options)
  }

  /** Resolves when it has ended. */
  async #end (signal) {
    const events = this.events({ since: 'new', signal, buffer: 64 })
    // It may have ended before the events began, and begins anew with every connection.
    events.on('subscribed', () => this.get({ signal }).then(
      view => { if (ended[view.state]) events.finish() },
      error => events.finish(error)
    ))
    for await (const _ of events) { /* the last one ends the loop */ } // eslint-disable-line no-unused-vars
  }

  /** One that failed or was cancelled may have been tried again since: only the hub knows. */
  #isLast ({ type }) {
    const step = type.startsWith(LIFECYCLE) ? type.slice(LIFECYCLE.length) : ''
    if (!(step in ended)) return false
    return step === 'succeeded' || this.get().then(view => view.state in ended, () => true)
  }

  #follow () {
    if (this.#watch) return
    const watch = this.#watch = this.events({ since: 'new', buffer: 64 })
    watch.on('subscribed', () => this.get().then(
      view => { if (ended[view.state]) watch.finish() },
      () => {} // it is gone; the subscription says so itself
    ))
    const over = () => { if (this.#watch === watch) this.#watch = undefined }
    const drain = async () => {
      for await (const _ of watch) { /* #hear has it */ } // eslint-disable-line no-unused-vars
    }
    drain().then(over, over)
  }

  #hear ({ type, position }) {
    const at = this.#at
    if (at && at.epoch === position.epoch && at.offset >= position.offset) return // from another subscription
    this.#at = position
    if (!type.startsWith(LIFECYCLE)) return
    const step = type.slice(LIFECYCLE.length)
    if (!(step in transitions.unknown)) return // such as execution.checkpoint: changes no state
    if (!this.#step(step)) this.#step('missed') && this.#step(step)
  }

  #show (state) {
    if (this.state === state || !shown[state]) return
    this.#step('missed')
    this.#step(shown[state])
  }

  #step (step) {
    const from = this.state
    const to = transitions[from][step]
    if (!to) return false
    this.state = to
    if (to !== from) this.emit('state', to, from)
    return true
  }

  #ask (method, params, options) {
    return this.#link.call(method, { execution: this.id, ...params }, { quick: true, ...options })
  }
}
