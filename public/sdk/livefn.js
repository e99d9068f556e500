// livefn: the client. The parts, each knowing only those to its right:
//
//   livefn.js ─▶ client.js ─▶ run.js, subscription.js ─▶ link.js ─▶ calls.js, connection.js ─▶ backoff.js
//
// connection.js keeps one socket alive and signed in; calls.js matches answers to requests;
// link.js joins the two and routes events; client.js is what people call.

import { LivefnError } from './errors.js'
import { Client } from './client.js'
import { Link } from './link.js'

export { LivefnError, codes } from './errors.js'

/** Connects to a hub; resolves once signed in. See livefn.d.ts for the options. */
export async function connect (url, options = {}) {
  const { signal, timeout = 10_000 } = options
  signal?.throwIfAborted()
  const link = new Link({ ...options, url: address(url), WebSocket: socketClass(options) })

  const giveUp = () => link.close(signal.reason)
  signal?.addEventListener('abort', giveUp, { once: true })
  const timer = timeout === Infinity
    ? undefined
    : setTimeout(() => link.close(new LivefnError('connection_failed', `No connection to the hub within ${timeout} ms.`)), timeout)
  try {
    await link.opened
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', giveUp)
  }
  return new Client(link)
}

/** The WebSocket's address: http or ws, with or without a path; without one it is /v1/ws. */
export function address (url) {
  const a = new URL(url ?? '/', globalThis.location?.href)
  a.protocol = a.protocol.replace(/^http/, 'ws')
  if (a.protocol !== 'ws:' && a.protocol !== 'wss:') throw new TypeError(`livefn: ${url} is not a ws:, wss:, http: or https: address`)
  if (a.pathname === '/') a.pathname = '/v1/ws'
  a.hash = ''
  return a.href
}

function socketClass ({ WebSocket = globalThis.WebSocket }) {
  if (!WebSocket) throw new TypeError("livefn: this Node has no WebSocket (22 and later have). Install 'ws' and pass it: connect(url, { WebSocket: (await import('ws')).WebSocket })")
  return WebSocket
}
