// livefn: the client. The parts, each knowing only those to its right:
//
//   livefn.js ─▶ client.js ─▶ run.js, subscription.js ─▶ link.js ─▶ calls.js, connection.js ─▶ heartbeat.js, wake.js, backoff.js
//
// Three of them are state machines with their table in front: connection.js keeps one socket alive and
// signed in, subscription.js one view of a stream gap-free, run.js knows how far an execution is.
// calls.js matches answers to requests; link.js joins them and routes events; client.js is what
// people call.

import { address } from './address.js'
import { Client } from './client.js'
import { Link } from './link.js'

export { LivefnError, codes } from './errors.js'

/** Connects to a hub, and stays connected until close(). What is asked meanwhile waits. See livefn.d.ts for the options. */
export function connect (url, options = {}) {
  const { signal, WebSocket = globalThis.WebSocket, ...rest } = options
  if (!WebSocket) {
    throw new TypeError('livefn: this Node has no WebSocket (22 and later have). Run npm install ws, then: import { WebSocket } from "ws"; connect(url, { WebSocket })')
  }
  signal?.throwIfAborted()
  const link = new Link({ ...rest, url: address(url), WebSocket })
  const close = () => link.close(signal.reason)
  signal?.addEventListener('abort', close, { once: true })
  link.on('status', status => { if (status === 'closed') signal?.removeEventListener('abort', close) })
  return new Client(link)
}
