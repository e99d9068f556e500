// A hub for the client's tests: real sockets, real JSON-RPC, streams with offsets and epochs, and a
// hand on everything that goes wrong in life. Not a fake of the client's parts: the wire alone.

import { once, EventEmitter } from 'node:events'
import { WebSocket, WebSocketServer } from 'ws'
import { connect } from '../livefn.js'

export class TestHub extends EventEmitter {
  streams = new Map() // name → { epoch, events }
  sockets = new Set()
  messages = [] // every parsed message, in order
  batches = [] // the methods of each batch
  executions = new Map()
  keys = new Map() // idempotency key → result
  token = 'secret'
  methods = {
    ping: () => true,
    invoke: (params, socket, id) => this.functions[params.function](params, socket, id),
    subscribe: (params, socket) => this.#subscribe(params, socket),
    unsubscribe: ({ subscription }, socket) => socket.subscriptions.delete(subscription),
    get: ({ execution }) => this.executions.get(execution) ?? fault('not_found', 'no such execution')
  }

  functions = {
    add: ({ args: [a, b] }) => a + b
  }

  static async start (t, { port = 0 } = {}) {
    const hub = new TestHub()
    hub.server = new WebSocketServer({ port, host: '127.0.0.1', path: '/v1/ws' })
    hub.server.on('connection', socket => hub.#serve(socket))
    await once(hub.server, 'listening')
    hub.port = hub.server.address().port
    hub.url = `http://127.0.0.1:${hub.port}`
    t.after(() => hub.stop())
    return hub
  }

  async stop () {
    for (const socket of this.server.clients) socket.terminate()
    await new Promise(resolve => this.server.close(resolve))
  }

  /** Cuts every connection without a word, as a network does. */
  drop () {
    for (const socket of this.sockets) socket.terminate()
  }

  publish (name, type, data) {
    const stream = this.stream(name)
    const event = { stream: name, offset: ++stream.top, type, time: new Date(0).toISOString(), data }
    stream.events.push(event)
    for (const socket of this.sockets) {
      for (const [id, pattern] of socket.subscriptions) {
        if (matches(pattern, name)) socket.notify('event', { subscription: id, ...event })
      }
    }
  }

  stream (name) {
    if (!this.streams.has(name)) this.streams.set(name, { epoch: 'e1', top: 0, events: [] })
    return this.streams.get(name)
  }

  /** As when a hub restarts and its memory is gone. */
  forget (name, epoch) {
    this.streams.set(name, { epoch, top: 0, events: [] })
  }

  #serve (socket) {
    this.sockets.add(socket)
    socket.on('close', () => this.sockets.delete(socket))
    socket.subscriptions = new Map()
    socket.notify = (method, params) => socket.send(JSON.stringify({ jsonrpc: '2.0', method, params }))
    socket.signedIn = false
    socket.on('message', data => {
      const value = JSON.parse(data)
      if (Array.isArray(value)) this.batches.push(value.map(message => message.method))
      for (const message of Array.isArray(value) ? value : [value]) { // a batch's answers may also come one by one
        this.messages.push(message)
        this.emit('message', message, socket)
        this.#answer(message, socket)
      }
    })
    this.emit('connection', socket)
  }

  async #answer ({ id, method, params }, socket) {
    const reply = answer => {
      if (answer !== SILENT && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ jsonrpc: '2.0', id, ...answer }))
    }
    try {
      if (method === 'auth') {
        if (params.token !== this.token) throw rpcError('unauthorized', 'unknown key')
        socket.signedIn = true
        return reply({ result: true })
      }
      if (!socket.signedIn) throw rpcError('unauthorized', 'sign in first')
      const answer = this.methods[method] ? this.methods[method](params, socket, id) : undefined
      if (!this.methods[method]) return reply({ error: { code: -32601, message: 'no such method' } })
      const result = answer instanceof Promise ? await answer : answer
      if (result === SILENT) return
      reply({ result: result ?? null })
      socket.after?.()
      socket.after = undefined
    } catch (error) {
      if (!error.rpc) throw error
      reply({ error: error.rpc })
    }
  }

  #subscribe ({ stream: name, since }, socket) {
    const id = `s${++this.#ids}`
    const wild = /[*>]/.test(name)
    const { epoch, top, events } = wild ? { epoch: 'h1', top: 0, events: [] } : this.stream(name)
    let offset = since === 'start' ? 0 : top
    let recovered = typeof since === 'string' || since === undefined
    if (typeof since === 'object' && !wild) {
      recovered = since.epoch === epoch && since.offset <= top
      offset = recovered ? since.offset : 0
    }
    socket.after = () => { // the answer first, then history
      socket.subscriptions.set(id, name)
      for (const event of events) if (event.offset > offset) socket.notify('event', { subscription: id, ...event })
    }
    return { subscription: id, epoch, offset, recovered }
  }

  #ids = 0
}

export const SILENT = Symbol('no answer')

export function rpcError (code, detail, more) {
  return Object.assign(new Error(detail), { rpc: { code: -32000, message: detail, data: { code, detail, ...more } } })
}

export function fault (code, detail, more) {
  throw rpcError(code, detail, more)
}

/** Connects with what Node 20 lacks, and closes with the test. Retries are instant unless told otherwise. */
export async function connected (t, hub, options = {}) {
  const client = connect(hub.url, { token: hub.token, WebSocket, delay: () => 1, ...options })
  t.after(() => client.close())
  await client.ready
  return client
}

/** The next emission of a status. */
export function status (client, wanted) {
  return new Promise(resolve => {
    const off = client.on('status', now => {
      if (now !== wanted) return
      off()
      resolve()
    })
  })
}

/** Takes n events from an iterator. */
export async function take (iterator, n) {
  const events = []
  while (events.length < n) {
    const { value, done } = await iterator.next()
    if (done) break
    events.push(value)
  }
  return events
}

function matches (pattern, name) {
  const expression = pattern.split('.').map(token => token === '*' ? '[^.]+' : token === '>' ? '.+' : token).join('\\.')
  return new RegExp(`^${expression}$`).test(name)
}
