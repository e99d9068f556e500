import { fromExecution } from './errors.js'

const ENDS = new Set(['execution.succeeded', 'execution.failed', 'execution.cancelled'])
const ENDED = new Set(['succeeded', 'failed', 'cancelled'])

/** A handle on one execution; making one asks the hub nothing. */
export class Run {
  #link

  constructor (link, id) {
    this.#link = link
    this.id = id
  }

  /** Its events, by default from the first; ends when the execution does. */
  events ({ since = 'start', ...options } = {}) {
    return this.#link.subscribe(`execution.${this.id}`, { since, ...options, last: event => ENDS.has(event.type) })
  }

  /** Waits for the result; rejects with what the execution failed with. */
  async result ({ signal } = {}) {
    let view = await this.get({ signal })
    if (!ENDED.has(view.state)) {
      const events = this.events({ since: 'new', signal, buffer: 64 })
      // It may have ended before the events began, and begins anew with every connection.
      events.on('subscribed', () => this.get({ signal }).then(
        now => { if (ENDED.has(now.state)) events.finish() },
        error => events.finish(error)
      ))
      for await (const _ of events) { /* the last one ends the loop */ } // eslint-disable-line no-unused-vars
      view = await this.get({ signal })
    }
    if (view.state === 'succeeded') return view.result
    throw fromExecution(view)
  }

  get (options) {
    return this.#ask('get', {}, { ...options, again: true })
  }

  /** Sends an event into it. */
  send (type, data) {
    return this.#ask('send', { type, data })
  }

  /** Asks it to pause; gives its state then, mostly pausing. */
  pause () {
    return this.#ask('pause')
  }

  /** Lets it go on, with other arguments or on another version if given. */
  resume ({ args, version } = {}) {
    return this.#ask('resume', { args, version })
  }

  cancel () {
    return this.#ask('cancel')
  }

  retry () {
    return this.#ask('retry')
  }

  #ask (method, params, options) {
    return this.#link.call(method, { execution: this.id, ...params }, options)
  }
}
