// One socket, kept alive and signed in. The states and every legal move:
//
//   waiting ──retry──▶ opening ──opened──▶ authenticating ──accepted──▶ open
//      ▲                  │                       │                      │
//      └──────────────────┴─────────lost──────────┴──────────────────────┘
//
// and refused (the hub will not have us) or close (we are done) lead to closed, for good.

import { backoff } from './backoff.js'
import { fromAnswer, LivefnError } from './errors.js'

export const transitions = {
  waiting: { retry: 'opening', close: 'closed' },
  opening: { opened: 'authenticating', lost: 'waiting', close: 'closed' },
  authenticating: { accepted: 'open', lost: 'waiting', refused: 'closed', close: 'closed' },
  open: { lost: 'waiting', refused: 'closed', close: 'closed' },
  closed: {}
}

// What the hub closes with when coming back would be in vain; on every other code we come back.
const UNAUTHORIZED = 4001
const OUR_FAULT = new Set([1002, 1003, 1007])

const AUTH = 0 // the request id of auth; calls count from 1
const PING = -1
const STEADY = 5_000 // a connection that held this long starts the backoff anew

export class Connection {
  state = 'waiting'
  #options
  #socket
  #timer // of the state: patience, or the wait for a retry
  #beat // the heartbeat while open
  #heard = true
  #wasOpen = false
  #openedAt = 0
  #tries = 0 // since the last steady connection
  #after // the hub's own advice for the next retry
  #refusals = 0

  /**
   * url, token (string or function), WebSocket; heartbeat and patience in ms; delay (n → ms);
   * changed(state, error) is told every change of state, received(message) every JSON-RPC message.
   */
  constructor ({ heartbeat = 15_000, patience = 10_000, delay = backoff, ...options }) {
    this.#options = { heartbeat, patience, delay, ...options }
  }

  /** What people are told: connecting, open, reconnecting or closed. */
  get status () {
    if (this.state === 'open' || this.state === 'closed') return this.state
    return this.#wasOpen ? 'reconnecting' : 'connecting'
  }

  open () {
    this.#retry()
  }

  /** Sends text frames, in one write where the socket can be corked (ws; browsers do it by themselves); only while open. */
  send (texts) {
    const raw = this.#socket._socket
    raw?.cork?.()
    for (const text of texts) this.#socket.send(text)
    raw?.uncork?.()
  }

  /** The next retry waits this many ms: a hub that drains spreads its clients out. */
  advise (after) {
    if (Number.isFinite(after) && after >= 0) this.#after = after
  }

  close (error) {
    this.#step('close', error)
  }

  /** Takes a step by the table; false if it is not legal now. */
  #step (step, error) {
    const to = transitions[this.state][step]
    if (!to) return false
    clearTimeout(this.#timer)
    this.state = to
    if (to === 'waiting' || to === 'closed') this.#drop()
    if (to === 'waiting') this.#wait()
    this.#options.changed(to, error)
    return true
  }

  #wait () {
    if (this.#openedAt && Date.now() - this.#openedAt >= STEADY) this.#tries = 0
    this.#openedAt = 0
    const ms = this.#after ?? this.#options.delay(this.#tries++)
    this.#after = undefined
    this.#timer = setTimeout(() => this.#retry(), ms)
  }

  async #retry () {
    if (!this.#step('retry')) return
    const timer = this.#timer = setTimeout(() => this.#lose('The hub did not answer in time.'), this.#options.patience)
    const { token, url, WebSocket } = this.#options
    try {
      const secret = typeof token === 'function' ? await token() : token
      if (this.#timer !== timer || this.state !== 'opening') return // closed, or timed out, meanwhile
      this.#dial(new WebSocket(url), secret)
    } catch (cause) {
      if (this.#timer === timer) this.#lose('The connection could not be opened.', cause)
    }
  }

  #dial (socket, token) {
    this.#socket = socket
    socket.onopen = () => {
      this.#step('opened')
      if (token === undefined || token === null) return this.#accepted()
      socket.send(JSON.stringify({ jsonrpc: '2.0', id: AUTH, method: 'auth', params: { token } }))
    }
    socket.onmessage = ({ data }) => this.#message(data)
    socket.onclose = ({ code, reason }) => this.#closedBy(code, reason)
    socket.onerror = () => this.#lose('The connection failed.')
  }

  #message (data) {
    this.#heard = true
    let value
    try {
      value = JSON.parse(data)
    } catch (cause) {
      return this.#lose('The hub sent something that is not JSON.', cause)
    }
    for (const message of Array.isArray(value) ? value : [value]) {
      if (message?.id === PING) continue
      if (this.state === 'authenticating') this.#authenticated(message)
      else if (this.state === 'open') this.#options.received(message)
    }
  }

  #authenticated (message) {
    if (message?.id !== AUTH) return
    if (!message.error) return this.#accepted()
    this.#refuse(fromAnswer(message.error))
  }

  #closedBy (code, reason) {
    const message = `The connection was closed (${code}${reason ? `: ${reason}` : ''}).`
    if (code === UNAUTHORIZED) this.#refuse(new LivefnError('unauthorized', message))
    else if (OUR_FAULT.has(code)) this.#step('refused', new LivefnError('connection_lost', message))
    else this.#lose(message)
  }

  /** A token from a function may just have run out: it is asked once more. */
  #refuse (error) {
    const final = error.code === 'unauthorized' || error.code === 'forbidden'
    const again = typeof this.#options.token === 'function' && this.#refusals++ === 0
    this.#step(final && !again ? 'refused' : 'lost', error)
  }

  #accepted () {
    this.#wasOpen = true
    this.#openedAt = Date.now()
    this.#refusals = 0
    this.#heard = true
    let asked = false
    // Silence of one beat is answered with a ping, of two with a new connection: a dead peer is
    // found within three beats.
    this.#beat = setInterval(() => {
      if (this.#heard) asked = false
      else if (asked) return this.#lose('The hub went silent.')
      else {
        asked = true
        this.send([JSON.stringify({ jsonrpc: '2.0', id: PING, method: 'ping' })])
      }
      this.#heard = false
    }, this.#options.heartbeat)
    this.#step('accepted')
  }

  #lose (message, cause) {
    this.#step('lost', new LivefnError('connection_lost', message, { cause }))
  }

  #drop () {
    clearInterval(this.#beat)
    const socket = this.#socket
    this.#socket = undefined
    if (!socket) return
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.onerror = () => {} // ws reports closing before open as an error event: nobody listens any more
    socket.close()
  }
}
