// Incoming puts large messages together again, and gives credit so that the messages under way hold
// about two of the largest between them.
import { allocUnsafeSlow, copyInto, subarray } from './primordials.js'
import { BODY_HEAD, MAX_MESSAGES, ProtocolError, WINDOW, checkMessage } from './frames.js'

export class Incoming {
  max // bytes of one message
  #from
  #grant // (id, bytes) sends Credit
  #open = [] // in order of their Begin
  #held = 0 // bytes in #open

  constructor (from, max, grant) {
    this.#from = from
    this.max = max
    this.#grant = grant
  }

  begin (id, total) {
    if (total < BODY_HEAD || total > this.max) throw new ProtocolError('message', `a message has ${total} bytes; ${this.max} is the limit`)
    if (this.#open.length === MAX_MESSAGES) throw new ProtocolError('message', `more than ${MAX_MESSAGES} messages are under way`)
    if (this.#find(id) >= 0) throw new ProtocolError('message', `message ${id} is under way and begins again`)
    this.#open[this.#open.length] = { id, total, body: null, taken: 0, limit: WINDOW }
  }

  // data takes the next bytes of a message. It gives the body, which is the caller's, of a message
  // that they complete, else null.
  data (id, b, start, end) {
    const i = this.#find(id)
    if (i < 0) throw new ProtocolError('message', `message ${id} was not begun`)
    const m = this.#open[i]
    const n = m.taken + end - start
    if (n > m.total || n > m.limit) {
      throw new ProtocolError('message', `message ${id} has ${n} bytes; ${m.total} were announced, ${m.limit} allowed`)
    }
    m.body ??= allocUnsafeSlow(m.total) // memory that is not written to costs nothing yet
    copyInto(m.body, subarray(b, start, end), m.taken)
    m.taken = n
    this.#held += end - start
    let body = null
    if (n === m.total) {
      body = m.body
      remove(this.#open, i)
      this.#held -= n
      checkMessage(this.#from, body[0], body, BODY_HEAD, body.length)
    }
    this.#credit()
    return body
  }

  // #credit grants what was taken: to the oldest always, so that it ends; to others while there is room.
  #credit () {
    for (let i = 0; i < this.#open.length; i++) {
      const m = this.#open[i]
      const owed = m.taken + WINDOW - m.limit
      if (owed < WINDOW / 2 || m.limit >= m.total || (i > 0 && this.#held > this.max)) continue
      m.limit += owed
      this.#grant(m.id, owed)
    }
  }

  #find (id) {
    for (let i = 0; i < this.#open.length; i++) if (this.#open[i].id === id) return i
    return -1
  }
}

// remove takes element i out of a list.
export function remove (list, i) {
  for (; i < list.length - 1; i++) list[i] = list[i + 1]
  list.length--
}
