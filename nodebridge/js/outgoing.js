// Outgoing is what goes to the other side: small frames in one buffer that is written once a turn,
// large messages beside it under credit, and frames that must not overtake a message of their call.
import { allocUnsafeSlow, byteLength, copyInto, min, now, setImmediate, streamWrite, subarray, SafeMap, utf8Write } from './primordials.js'
import { BODY_HEAD, Begin, Data, HEAD, MAX_LENGTH, MAX_MESSAGES, MAX_PAYLOAD, WINDOW, putU32 } from './frames.js'
import { remove } from './incoming.js'

const SIZE = 256 << 10 // of the buffer
const ROUND = 256 << 10 // bytes of messages in one write, so that small frames never wait long
const BACKLOG = 512 << 10 // bytes that may wait in the stream before messages wait
const SHORT = 40 // characters up to which a loop beats a call into C++
const LIVE = 5 // ms that events and logs wait at most for the end of a turn

export class Outgoing {
  max // bytes of one message
  corked = false // a chunk is being handled; its end flushes
  #stream
  #buf = allocUnsafeSlow(SIZE)
  #n = 0 // bytes in #buf
  #lent = null // a buffer that the stream reads until it has nothing more to write
  #wroteAt = 0
  #scheduled = false
  #open = [] // messages under way
  #waiting = [] // messages that wait for a place among them
  #holds = new SafeMap() // key → the message that later frames of the key wait for
  #held = 0 // keys in #holds
  #next = 0 // the last message's id
  #turn

  constructor (stream, max) {
    this.#stream = stream
    this.max = max
    this.#turn = () => {
      this.#scheduled = false
      this.flush()
    }
    stream.on('drain', () => { if (this.#open.length > 0) this.flush() })
  }

  // backlog is how many bytes wait to be written.
  get backlog () { return this.#n + this.#stream.writableLength }

  // send adds a frame of a call, whose payload is the byte `lead`, unless that is negative, and text.
  // It gives false, and adds nothing, if the frame is larger than a message may be.
  send (kind, id, lead, text) { return this.#send(id, kind, id, lead, text) }

  // sendFree is send for a frame that is of no call.
  sendFree (kind, id, text) { return this.#send(-1, kind, id, -1, text) }

  // sendNow is send for what people watch: it doesn't wait for the end of a turn that takes long.
  sendNow (kind, id, lead, text) {
    const sent = this.#send(id, kind, id, lead, text)
    if (now() - this.#wroteAt > LIVE) this.#write()
    return sent
  }

  // sendBytes is send with bytes instead of text.
  sendBytes (kind, id, lead, bytes) {
    const size = BODY_HEAD + 1 + bytes.length
    if (size > this.max) return false
    if (size <= MAX_LENGTH && (this.#held === 0 || !this.#holds.has(id))) {
      if (this.#n + 4 + size > SIZE) this.#write()
      const at = this.#n
      this.#head(at, size, kind, id)
      this.#buf[at + HEAD] = lead
      copyInto(this.#buf, bytes, at + HEAD + 1)
      this.#n = at + 4 + size
      this.#schedule()
      return true
    }
    const body = allocUnsafeSlow(size)
    body[0] = kind
    putU32(body, 1, id)
    body[BODY_HEAD] = lead
    copyInto(body, bytes, BODY_HEAD + 1)
    this.#add(id, body)
    this.#schedule()
    return true
  }

  // sendHeaded is send with the bytes of head before the text.
  sendHeaded (kind, id, head, text) {
    const start = BODY_HEAD + head.length
    const size = start + byteLength(text)
    if (size > this.max) return false
    const body = allocUnsafeSlow(size)
    body[0] = kind
    putU32(body, 1, id)
    copyInto(body, head, BODY_HEAD)
    if (size > start) utf8Write(body, text, start, size - start)
    this.#add(id, body)
    this.#schedule()
    return true
  }

  // sendU32 adds a frame of no call whose payload is a number.
  sendU32 (kind, id, n) {
    this.#number(kind, id, n)
    this.#schedule()
  }

  #send (key, kind, id, lead, text) {
    const most = HEAD + 1 + text.length * 3
    if (most > MAX_PAYLOAD || (this.#held > 0 && this.#holds.has(key))) return this.#sendLarge(key, kind, id, lead, text)
    if (this.#n + most > SIZE) this.#write()
    const at = this.#n
    let end = at + HEAD
    if (lead >= 0) this.#buf[end++] = lead
    end += put(this.#buf, end, text)
    this.#head(at, end - at - 4, kind, id)
    this.#n = end // last, so that a stack that overflows in here leaves no half frame
    if (!this.corked && !this.#scheduled) this.#schedule()
    return true
  }

  #sendLarge (key, kind, id, lead, text) {
    const start = lead < 0 ? BODY_HEAD : BODY_HEAD + 1
    const size = start + byteLength(text)
    if (size > this.max) return false
    const body = allocUnsafeSlow(size)
    body[0] = kind
    putU32(body, 1, id)
    if (lead >= 0) body[BODY_HEAD] = lead
    utf8Write(body, text, start, size - start)
    this.#add(key, body)
    this.#schedule()
    return true
  }

  // #add takes a frame's body and keeps it if it is large or must wait.
  #add (key, body) {
    const held = this.#held > 0 ? this.#holds.get(key) : undefined
    if (held !== undefined) {
      held.after[held.after.length] = body
      return
    }
    if (body.length <= MAX_LENGTH) {
      if (this.#n + 4 + body.length > SIZE) this.#write()
      putU32(this.#buf, this.#n, body.length)
      copyInto(this.#buf, body, this.#n + 4)
      this.#n += 4 + body.length
      return
    }
    this.#next = (this.#next + 1) >>> 0
    const m = { id: this.#next, key, body, begun: false, sent: 0, credit: WINDOW, after: [] }
    if (key >= 0) {
      this.#holds.set(key, m)
      this.#held++
    }
    const list = this.#open.length < MAX_MESSAGES ? this.#open : this.#waiting
    list[list.length] = m
  }

  // credit takes Credit from the other side.
  credit (id, n) {
    for (let i = 0; i < this.#open.length; i++) {
      const m = this.#open[i]
      if (m.id === id) {
        m.credit = min(m.credit + n, m.body.length) // more would mean nothing
        this.#schedule()
      }
    }
  }

  // flush writes what can be written now.
  flush () {
    if (this.#open.length > 0) this.#fill()
    this.#write()
  }

  #schedule () {
    if (this.corked || this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#turn)
  }

  #write () {
    const n = this.#n
    if (n === 0) return
    let spare = null
    if (this.#lent !== null && this.#stream.writableLength === 0) {
      spare = this.#lent
      this.#lent = null
    }
    this.#n = 0
    this.#wroteAt = now()
    streamWrite(this.#stream, subarray(this.#buf, 0, n))
    if (this.#stream.writableLength > 0) {
      this.#lent = this.#buf
      this.#buf = spare ?? allocUnsafeSlow(SIZE)
    } else if (spare !== null) {
      this.#lent = spare
    }
  }

  // #fill appends the next bytes of messages, a frame of each in turn.
  #fill () {
    let room = ROUND
    while (room > 0 && this.#open.length > 0 && this.#stream.writableLength < BACKLOG) {
      let moved = 0
      for (let i = 0; i < this.#open.length;) {
        const m = this.#open[i]
        moved += this.#data(m)
        if (m.sent === m.body.length) this.#complete(i)
        else i++
      }
      if (moved === 0) break
      room -= moved
    }
    if (room <= 0) this.#schedule()
  }

  #data (m) {
    const n = min(MAX_PAYLOAD, m.credit, m.body.length - m.sent)
    if (n === 0) return 0
    if (!m.begun) {
      m.begun = true
      this.#number(Begin, m.id, m.body.length)
    }
    if (this.#n + HEAD + n > SIZE) this.#write()
    this.#head(this.#n, BODY_HEAD + n, Data, m.id)
    copyInto(this.#buf, subarray(m.body, m.sent, m.sent + n), this.#n + HEAD)
    this.#n += HEAD + n
    m.sent += n
    m.credit -= n
    return n
  }

  // #complete takes the i-th message out, lets the next one in, and releases what waited for it.
  #complete (i) {
    const m = this.#open[i]
    remove(this.#open, i)
    if (this.#waiting.length > 0) {
      this.#open[this.#open.length] = this.#waiting[0]
      remove(this.#waiting, 0)
    }
    if (m.key >= 0) {
      this.#holds.delete(m.key)
      this.#held--
    }
    for (let j = 0; j < m.after.length; j++) this.#add(m.key, m.after[j])
  }

  #number (kind, id, n) {
    if (this.#n + HEAD + 4 > SIZE) this.#write()
    this.#head(this.#n, BODY_HEAD + 4, kind, id)
    putU32(this.#buf, this.#n + HEAD, n)
    this.#n += HEAD + 4
  }

  #head (at, length, kind, id) {
    const b = this.#buf
    putU32(b, at, length)
    b[at + 4] = kind
    putU32(b, at + 5, id)
  }
}

// put writes text as UTF-8 and gives the bytes that it took.
function put (b, at, text) {
  const n = text.length
  if (n > SHORT) return utf8Write(b, text, at)
  for (let i = 0; i < n; i++) {
    const c = text.charCodeAt(i)
    if (c >= 0x80) return utf8Write(b, text, at)
    b[at + i] = c
  }
  return n
}
