// What the SDK's tests under Node share: the hub that internal/e2e started, and clients of it.
import { WebSocket } from 'ws'
import { connect } from '../../../public/sdk/livefn.js'
import { Proxy } from './proxy.mjs'

function need (name) {
  if (!process.env[name]) throw new Error(`${name} is not set: run these tests with make test-e2e`)
  return process.env[name]
}

export const url = need('LIVEFN_URL')
export const key = need('LIVEFN_KEY')

/** A client that goes straight to the hub. */
export function client (t, options) {
  const hub = connect(url, { token: key, WebSocket, ...options })
  t.after(() => hub.close())
  return hub
}

/** A proxy, and a client behind it that is quick to notice and to come back. */
export async function behindProxy (t, options) {
  const proxy = await Proxy.start(url)
  const hub = connect(proxy.url, { token: key, WebSocket, heartbeat: 300, delay: () => 5, ...options })
  t.after(() => {
    hub.close()
    proxy.stop()
  })
  return { proxy, hub }
}

/** Asks the hub over HTTP, past the SDK. */
export async function http (method, path, body) {
  const response = await fetch(url + path, {
    method, headers: { Authorization: `Bearer ${key}` }, body: body === undefined ? undefined : JSON.stringify(body)
  })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return response.status === 204 ? undefined : response.json()
}

/** The next emission of a status. */
export function status (hub, wanted) {
  return new Promise(resolve => {
    const off = hub.on('status', now => {
      if (now !== wanted) return
      off()
      resolve()
    })
  })
}

/** Random numbers that are the same for the same seed (mulberry32). */
export function random (seed) {
  return () => {
    seed = seed + 0x6d2b79f5 | 0
    let x = Math.imul(seed ^ seed >>> 15, 1 | seed)
    x = x + Math.imul(x ^ x >>> 7, 61 | x) ^ x
    return ((x ^ x >>> 14) >>> 0) / 2 ** 32
  }
}
