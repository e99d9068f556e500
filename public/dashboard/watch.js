// A stream or pattern of the tenant's, watched: its history, then what comes.

import { pacer } from './live.js'

const EVENTS = 500 // kept at most
const KEPT = 400 // of those, when there are more: in portions, as the front of an array is dear to remove

export class Watch {
  events = []
  dropped = 0 // older events that were let go, or cleared
  state = 'asking' // asking | live | paused | ended
  gap = false // the hub may not have all that came after the last event; the next one says so itself
  error // why it ended
  #client
  #changed
  #since = 'start'
  #abort
  #watching // resolves when the last subscription has ended

  /** changed(): something did. */
  constructor (client, pattern, changed) {
    this.pattern = pattern
    this.#client = client
    this.#changed = changed
    this.#watching = this.#watch()
  }

  /** History is still coming, maybe. */
  get lagging () { return this.state === 'asking' }

  close () {
    this.#abort.abort()
  }

  /** Lets go of the stream; the hub keeps what comes meanwhile. */
  pause () {
    if (this.state === 'ended') return
    this.state = 'paused'
    this.#abort.abort()
    this.#changed()
  }

  /** Goes on behind the last event that was shown, also after an end. */
  resume () {
    if (this.state !== 'paused' && this.state !== 'ended') return
    Object.assign(this, { state: 'asking', error: undefined })
    this.#watching = this.#watching.then(() => this.state === 'asking' && this.#watch())
    this.#changed()
  }

  clear () {
    this.dropped += this.events.length
    this.events = []
    this.#changed()
  }

  async #watch () {
    const { signal } = this.#abort = new AbortController()
    const paced = pacer()
    const subscription = this.#client.subscribe(this.pattern, { since: this.#since, signal })
    subscription.on('gap', () => {
      this.gap = true
      this.#changed()
    })
    subscription.on('subscribed', () => {
      if (!signal.aborted) this.state = 'live'
      this.#changed()
    })
    try {
      for await (const event of subscription) {
        this.#take(event)
        await paced()
      }
      this.state = 'ended'
    } catch (error) {
      if (!signal.aborted) Object.assign(this, { state: 'ended', error })
    }
    this.#since = subscription.position ?? this.#since
    this.#changed()
  }

  #take (event) {
    this.gap = false
    this.events.push(event)
    if (this.events.length > EVENTS) {
      this.dropped += this.events.length - KEPT
      this.events = this.events.slice(-KEPT)
    }
    this.#changed()
  }
}
