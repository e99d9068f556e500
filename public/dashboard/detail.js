// One execution, watched closely: its view and the newest of its events.

import { pacer } from './live.js'

const EVENTS = 500 // kept

export class Detail {
  view // as the API shows it; undefined while loading
  error // why there is none
  gone = false // a call that has ended: only what was seen of it is left
  events = []
  dropped = 0 // older events that were let go
  lagging = true // history is still coming
  failure // of the last action
  busy // the action under way
  progress
  #run
  #told
  #abort = new AbortController()
  #loading

  /** changed(): something did; seen(view): the list should know it too; known(): what the list knows. */
  constructor (client, id, told) {
    this.id = id
    this.#run = client.execution(id)
    this.#told = told
    this.#load()
    this.#watch()
  }

  close () {
    this.#abort.abort()
  }

  pause () { return this.#act('pause', () => this.#run.pause()) }
  cancel () { return this.#act('cancel', () => this.#run.cancel()) }
  resume (args) { return this.#act('resume', () => this.#run.resume({ args })) }
  send (type, data) { return this.#act('send', () => this.#run.send(type, data)) }

  /** Does one of the above; true if the hub agreed. */
  async #act (name, action) {
    this.busy = name
    this.failure = undefined
    this.#told.changed()
    try {
      const answer = await action()
      if (answer?.state) this.#see(answer)
      return true
    } catch (error) {
      this.failure = error
      return false
    } finally {
      this.busy = undefined
      this.#told.changed()
    }
  }

  #see (view) {
    this.view = view
    this.#told.seen(view)
  }

  /** Looks again; looks asked for meanwhile become one more. */
  async #load () {
    if (this.#loading) {
      this.#loading = 'again'
      return
    }
    this.#loading = 'once'
    try {
      this.#see(await this.#run.get({ signal: this.#abort.signal }))
      this.error = undefined
    } catch (error) {
      const known = this.#told.known()
      if (error.code === 'not_found' && known) {
        this.gone = true
        this.view = { ...this.view, ...known }
      } else if (!this.view) this.error = error
    }
    const again = this.#loading === 'again'
    this.#loading = undefined
    if (this.#abort.signal.aborted) return
    this.#told.changed()
    if (again) this.#load()
  }

  async #watch () {
    const paced = pacer()
    try {
      const events = this.#run.events({ signal: this.#abort.signal })
      events.on('subscribed', () => {
        this.lagging = false
        this.#told.changed()
      })
      for await (const event of events) {
        this.#take(event)
        await paced()
      }
    } catch (error) {
      if (error.code !== 'not_found' && !this.#abort.signal.aborted) this.failure = error
    }
    this.lagging = false
    this.#told.changed()
  }

  #take (event) {
    this.events.push(event)
    if (this.events.length > EVENTS * 1.2) { // in portions, as the front of an array is dear to remove
      this.dropped += this.events.length - EVENTS
      this.events = this.events.slice(-EVENTS)
    }
    if (event.type.startsWith('execution.')) this.#load()
    if (event.type === 'progress' && Number.isFinite(event.data?.done) && Number.isFinite(event.data?.of)) {
      this.progress = event.data
      if (this.view) this.#told.seen({ ...this.view, progress: this.progress })
    }
    this.#told.changed()
  }
}
