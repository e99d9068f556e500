// One socket, kept alive and signed in. The states and every legal move:
//
//   waiting ──retry──▶ opening ──opened──▶ authenticating ──accepted──▶ open
//      ▲                  │                       │                      │
//      └──────────────────┴─────────lost──────────┴──────────────────────┘
//
// and refused (the hub will not have us) or close (we are done) lead to closed, for good.

import { backoff } from './backoff.js'
import { fromAnswer, LivefnError } from './errors.js'
import { Heartbeat } from './heartbeat.js'
import { wake } from './wake.js'

export const transitions = {
  waiting: { retry: 'opening', close: 'closed' },
  opening: { opened: 'authenticating', lost: 'waiting', close: 'closed' },
  authenticating: { accepted: 'open', lost: 'waiting', refused: 'closed', close: 'closed' },
  open: { lost: 'waiting', refused: 'closed', close: 'closed' },
  closed: {}
}

// The codes of docs/errors.md that are not just a lost connection.
const UNAUTHORIZED = 4001
const FORBIDDEN = 4003
const TOO_LARGE = 1009
const RESTART = 1012
const BUSY = 1013 // more clients came at once than the hub lets in
const OUR_FAULT = new Set([1002, 1003, 1007]) // or that of a wire that garbles: only often in a row is it ours
const FAULTS = 5

const AUTH = 0 // the request id of auth; calls count from 1
const PING = -1
const RENEW = -2 // of auth within a living connection
const STEADY = 5_000 // a connection that held this long starts the backoff anew
const DOUBT = 3_000 // how long an answer may take when a page wakes up

export class Connection {
  state = 'waiting'
  #options
  #socket
  #timer // of the state: patience, or the wait for a retry
  #heartbeat
  #asleep = () => {} // stops listening to what wakes a page
  #wasOpen = false
  #openedAt = 0
  #tries = 0 // since the last steady connection
  #after // the hub's own advice for the next retry
  #advised = false // the wait for a retry is the hub's advice
  #refusals = 0
  #faults = 0 // closed for our fault, since a connection last did something
  #renewal // { promise, resolve, reject } of a token on its way

  /**
   * url, token (string or function), WebSocket; heartbeat and patience in ms; delay (n → ms);
   * changed(state, error, drained) is told every change of state (drained: the hub went in order, so what it
   * began it has answered), received(message, size) every JSON-RPC message.
   */
  constructor ({ heartbeat = 15_000, patience = 10_000, delay = backoff, ...options }) {
    this.#options = { patience, delay, ...options }
    this.#heartbeat = new Heartbeat({
      every: heartbeat,
      ask: () => this.#request(PING, 'ping'),
      dead: () => this.#lose('The hub went silent.')
    })
  }

  /** What people are told: connecting, open, reconnecting or closed. */
  get status () {
    if (this.state === 'open' || this.state === 'closed') return this.state
    return this.#wasOpen ? 'reconnecting' : 'connecting'
  }

  open () {
    this.#asleep = wake(why => this.#wake(why))
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

  /** Asks for a new token and signs in with it, without a new connection. Rejects if that is not possible. */
  renew () {
    if (this.#renewal) return this.#renewal.promise
    const { token } = this.#options
    if (typeof token !== 'function' || this.state !== 'open') return Promise.reject(new LivefnError('unauthorized', 'There is no newer token.'))
    const socket = this.#socket
    const renewal = this.#renewal = {}
    renewal.promise = new Promise((resolve, reject) => Object.assign(renewal, { resolve, reject }))
      .finally(() => { this.#renewal = undefined })
    Promise.resolve().then(token).then(
      secret => { if (this.#socket === socket) this.#request(RENEW, 'auth', { token: secret }) },
      renewal.reject
    )
    return renewal.promise
  }

  close (error) {
    this.#step('close', error)
  }

  /** Takes a step by the table; false if it is not legal now. */
  #step (step, error, drained = false) {
    const to = transitions[this.state][step]
    if (!to) return false
    clearTimeout(this.#timer)
    this.state = to
    if (to === 'waiting' || to === 'closed') this.#drop(error)
    if (to === 'waiting') this.#wait()
    if (to === 'closed') this.#asleep()
    this.#options.changed(to, error, drained)
    return true
  }

  #wait () {
    if (this.#openedAt && Date.now() - this.#openedAt >= STEADY) this.#tries = 0
    this.#openedAt = 0
    this.#advised = this.#after !== undefined
    const ms = this.#after ?? this.#options.delay(this.#tries++)
    this.#after = undefined
    this.#timer = setTimeout(() => this.#retry(), ms)
  }

  /** A page came back to life, or its network did: no reason to wait any longer, nor to trust the socket. */
  #wake (why) {
    if (this.state === 'open') this.#heartbeat.probe(DOUBT)
    else if (this.state === 'waiting' && why !== 'offline' && !this.#advised) {
      clearTimeout(this.#timer)
      this.#tries = 0
      this.#wait()
    }
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
      this.#timer = setTimeout(() => this.#lose('The hub did not answer in time.'), this.#options.patience)
      if (token === undefined || token === null) return this.#accepted()
      this.#request(AUTH, 'auth', { token })
    }
    socket.onmessage = ({ data }) => this.#message(data)
    socket.onclose = ({ code, reason }) => this.#closedBy(code, reason)
    socket.onerror = () => this.#lose('The connection failed.')
  }

  #request (id, method, params) {
    this.#socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }))
  }

  #message (data) {
    this.#heartbeat.heard()
    let value
    try {
      value = JSON.parse(data)
    } catch (cause) {
      return this.#lose('The hub sent something that is not JSON.', cause)
    }
    const messages = Array.isArray(value) ? value : [value]
    for (const message of messages) {
      if (message?.id === PING) continue
      if (message?.id === RENEW) this.#renewed(message)
      else if (this.state === 'authenticating') this.#authenticated(message)
      else if (this.state === 'open') {
        this.#faults = 0
        this.#options.received(message, data.length / messages.length)
      }
    }
  }

  #authenticated (message) {
    if (message?.method === 'closing') this.advise(message.params?.reconnect?.after) // before it has let us in
    if (message?.id !== AUTH) return
    if (!message.error) return this.#accepted()
    this.#refuse(fromAnswer(message.error))
  }

  #renewed ({ error }) {
    if (error) this.#renewal?.reject(fromAnswer(error))
    else this.#renewal?.resolve()
  }

  #closedBy (code, reason) {
    const message = `The connection was closed (${code}${reason ? `: ${reason}` : ''}).`
    if (code === UNAUTHORIZED) this.#refuse(new LivefnError('unauthorized', message))
    else if (code === FORBIDDEN) this.#step('refused', new LivefnError('forbidden', message))
    else if (code === RESTART || code === BUSY) this.#step('lost', new LivefnError('connection_lost', message), true)
    else if (code === TOO_LARGE) this.#step('lost', new LivefnError('payload_too_large', message))
    else if (OUR_FAULT.has(code) && ++this.#faults >= FAULTS) this.#step('refused', new LivefnError('connection_lost', message))
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
    this.#heartbeat.start()
    this.#step('accepted')
  }

  #lose (message, cause) {
    this.#step('lost', new LivefnError('connection_lost', message, { cause }))
  }

  #drop (error) {
    this.#heartbeat.stop()
    this.#renewal?.reject(error ?? new LivefnError('closed', 'The connection was closed here.'))
    const socket = this.#socket
    this.#socket = undefined
    if (!socket) return
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.onerror = () => {} // ws reports closing before open as an error event: nobody listens any more
    socket.close()
  }
}
