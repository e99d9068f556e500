// Requests under way, matched to their answers. Requests made in one turn of the event loop leave in
// one socket write, but each as a message of its own: JSON-RPC answers a batch once all of it is
// done, so one slow call would hold up the answers of its neighbours.

import { fromAnswer, LivefnError } from './errors.js'

export class Calls {
  #send // (texts) → void, or null while there is no connection
  #limit
  #pending = new Map() // id → call
  #unsent = [] // ids, in order
  #scheduled = false
  #id = 0

  constructor ({ limit = 10_000 } = {}) {
    this.#limit = limit
  }

  get size () {
    return this.#pending.size
  }

  /**
   * Asks; done(error, result) is called once, synchronously with the answer's arrival, so that a
   * notification right behind it finds what it belongs to. again: safe to send a second time after
   * a reconnect. event(event): told the events of the execution that it runs. Gives the call:
   * forget() drops it, sent says whether the hub may have it.
   */
  request (method, params, done, { again = false, event } = {}) {
    if (this.#pending.size >= this.#limit) {
      done(new LivefnError('overloaded', `${this.#limit} calls are under way already. Wait for answers before making more.`))
      return { sent: false, forget () {} }
    }
    const id = ++this.#id
    let text
    try {
      text = JSON.stringify({ jsonrpc: '2.0', id, method, params })
    } catch (cause) {
      done(new LivefnError('invalid_request', `The arguments have no JSON form: ${cause.message}`, { cause }))
      return { sent: false, forget () {} }
    }
    const call = { text, done, again, event, sent: false, forget: () => this.#pending.delete(id) }
    this.#pending.set(id, call)
    this.#unsent.push(id)
    this.#schedule()
    return call
  }

  /** The connection is there: what waited goes out. */
  opened (send) {
    this.#send = send
    this.#flush()
  }

  /** The connection is gone: what was sent fails, unless it may be sent again. */
  lost (error) {
    this.#send = null
    this.#unsent = []
    for (const [id, call] of this.#pending) {
      if (call.sent && !call.again) {
        this.#pending.delete(id)
        call.done(error)
      } else {
        call.sent = false
        this.#unsent.push(id)
      }
    }
  }

  /** Nothing will be answered any more. */
  closed (error) {
    this.#send = null
    this.#unsent = []
    for (const [id, call] of this.#pending) {
      this.#pending.delete(id)
      call.done(error)
    }
  }

  answer ({ id, result, error }) {
    const call = this.#pending.get(id)
    if (!call) return // forgotten meanwhile
    this.#pending.delete(id)
    if (error) call.done(fromAnswer(error))
    else call.done(undefined, result)
  }

  /** An event of the execution that call id runs. */
  event (id, event) {
    this.#pending.get(id)?.event?.(event)
  }

  #schedule () {
    if (this.#scheduled || !this.#send) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  #flush () {
    if (!this.#send) return
    const texts = []
    for (const id of this.#unsent) {
      const call = this.#pending.get(id)
      if (!call) continue // forgotten meanwhile
      call.sent = true
      texts.push(call.text)
    }
    this.#unsent = []
    if (texts.length) this.#send(texts)
  }
}
