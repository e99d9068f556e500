// Requests under way, matched to their answers. What is asked in one turn of the event loop leaves in
// one socket write. Requests that the hub answers at once share a JSON-RPC batch; an invoke, which may
// take for ever, is a message of its own: a batch is answered when all of it is done, so one slow call
// would hold up the answers of its neighbours.

import { fromAnswer, LivefnError } from './errors.js'

const BATCH = 100 // requests; the hub takes 256
const BATCH_SIZE = 32 << 10 // characters

export class Calls {
  #send // (texts) → void, or null while there is no connection
  #limit
  #bytes
  #patience
  #renew
  #pending = new Map() // id → call
  #size = 0 // characters of pending
  #unsent = new Set() // ids, in order
  #scheduled = false
  #id = 0

  /**
   * limit and bytes bound what is pending; patience is how long, in ms, a request waits for a connection;
   * renew() signs in with a new token, for what was refused with an old one.
   */
  constructor ({ limit = 10_000, bytes = 64 << 20, patience = 10_000, renew = () => Promise.reject() } = {}) {
    this.#limit = limit
    this.#bytes = bytes
    this.#patience = patience
    this.#renew = renew
  }

  get size () {
    return this.#pending.size
  }

  /**
   * Asks; done(error, result) is called once, synchronously with the answer's arrival, so that a
   * notification right behind it finds what it belongs to. again: safe to send a second time after
   * a reconnect. attached: the hub keeps the answer, so it waits for a connection as long as it takes.
   * quick: answered at once, so it may share a batch. here: means something on this connection only, so it
   * is never sent on another. begins: begins an execution, which a hub that drains does not. event(event):
   * told the events of the execution that it runs. Gives the call: forget() drops it, tried says whether the
   * hub may have it.
   */
  request (method, params, done, { again = false, attached = false, quick = false, here = false, begins = false, event } = {}) {
    const id = ++this.#id
    let text
    try {
      text = JSON.stringify({ jsonrpc: '2.0', id, method, params })
    } catch (cause) {
      return refused(done, new LivefnError('invalid_request', `The arguments have no JSON form: ${cause.message}`, { cause }))
    }
    if (this.#pending.size >= this.#limit || this.#size + text.length > this.#bytes && this.#size > 0) {
      return refused(done, new LivefnError('overloaded', `${this.#pending.size} calls with ${this.#size} characters are under way already. Wait for answers before making more.`))
    }
    const call = { id, text, done, again, attached, quick, here, begins, event, sent: false, tried: false, renewed: false, forget: () => this.#take(id) }
    this.#pending.set(id, call)
    this.#size += text.length
    this.#queue(call)
    this.#schedule()
    return call
  }

  /** The connection is there: what waited goes out. */
  opened (send) {
    this.#send = send
    this.#flush()
  }

  /** The connection is about to go: what it was given may be answered yet, what is new waits for the next. */
  hold () {
    this.#send = null
    for (const id of this.#unsent) this.#queue(this.#pending.get(id))
  }

  /**
   * The connection is gone: what was sent fails, unless it may be sent again. drained: the hub closed it when
   * it had answered all that it began, so what has no answer was not begun.
   */
  lost (error, drained = false) {
    this.#send = null
    if (error.code === 'payload_too_large') this.#dropLargest(error)
    for (const [id, call] of this.#pending) {
      if (call.here || call.sent && !call.again && !(drained && call.begins)) {
        this.#take(id)
        call.done(error.code === 'payload_too_large' ? new LivefnError('connection_lost', error.message) : error)
      } else {
        call.sent = false
        this.#queue(call, call.tried && call.attached ? Infinity : undefined)
      }
    }
  }

  /** The hub takes no message of such a size: sent again, it would cost the next connection too. */
  #dropLargest (error) {
    let largest
    for (const call of this.#pending.values()) {
      if (call.sent && !(call.text.length <= largest?.text.length)) largest = call
    }
    if (largest) this.#take(largest.id).done(error)
  }

  /** Nothing will be answered any more. */
  closed (error) {
    this.#send = null
    for (const id of [...this.#pending.keys()]) this.#take(id).done(error)
  }

  answer ({ id, result, error }) {
    const call = this.#pending.get(id)
    if (!call) return // forgotten meanwhile
    if (!error) return this.#take(id).done(undefined, result)
    const fault = fromAnswer(error)
    if (fault.code === 'drained' && call.begins && !fault.execution) return this.#keep(call, fault)
    if (fault.code !== 'unauthorized' || call.renewed) return this.#take(id).done(fault)
    call.renewed = true // the hub did nothing, so it can be asked once more
    this.#renew().then(
      () => {
        if (this.#pending.get(id) !== call || !call.sent) return // over, or waits for a connection
        call.sent = false
        this.#queue(call)
        this.#schedule()
      },
      () => { if (this.#pending.get(id) === call && call.sent) this.#take(id).done(fault) }
    )
  }

  /** The hub goes, and did not begin it: it waits for the next connection. */
  #keep (call, fault) {
    call.sent = false
    if (this.#patience === Infinity) return
    call.timer = setTimeout(() => this.#take(call.id).done(fault), this.#patience)
  }

  /** An event of the execution that call id runs. */
  event (id, event) {
    this.#pending.get(id)?.event?.(event)
  }

  #take (id) {
    const call = this.#pending.get(id)
    if (!call) return
    clearTimeout(call.timer)
    this.#pending.delete(id)
    this.#unsent.delete(id)
    this.#size -= call.text.length
    return call
  }

  /** It is to be sent; without a connection within patience it fails, and certainly did nothing. */
  #queue (call, patience = this.#patience) {
    this.#unsent.add(call.id)
    if (this.#send || call.timer !== undefined || patience === Infinity) return
    call.timer = setTimeout(() => {
      this.#take(call.id).done(new LivefnError('connection_failed', `No connection to the hub within ${patience} ms.`))
    }, patience)
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
    if (!this.#send || this.#unsent.size === 0) return
    const texts = []
    let batch = []
    let size = 0
    const close = () => {
      if (batch.length > 0) texts.push(batch.length === 1 ? batch[0] : `[${batch.join()}]`)
      batch = []
      size = 0
    }
    for (const id of this.#unsent) {
      const call = this.#pending.get(id)
      clearTimeout(call.timer)
      call.timer = undefined
      call.sent = call.tried = true
      if (!call.quick || batch.length >= BATCH || size + call.text.length > BATCH_SIZE) close()
      if (!call.quick) texts.push(call.text)
      else {
        batch.push(call.text)
        size += call.text.length
      }
    }
    close()
    this.#unsent.clear()
    this.#send(texts)
  }
}

function refused (done, error) {
  done(error)
  return { tried: false, forget () {} }
}
