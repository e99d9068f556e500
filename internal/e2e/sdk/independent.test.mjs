// Clients that we did not write: the wire is what the documents say, not what our SDK happens to do.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { EventSource } from 'eventsource'
import { JSONRPCClient, JSONRPCServer, JSONRPCServerAndClient } from 'json-rpc-2.0'
import { Client as RpcWebSockets } from 'rpc-websockets'
import { WebSocket } from 'ws'
import { http, key, url } from './helpers.mjs'
import { Proxy } from './proxy.mjs'

const address = `${url.replace(/^http/, 'ws')}/v1/ws`
let names = 0
const fresh = () => `independent.${process.pid}-${++names}`

/** A peer of json-rpc-2.0 on a socket; notes has what the hub notified of. */
async function peer (t, options, protocols) {
  const socket = new WebSocket(address, protocols, options)
  t.after(() => socket.terminate())
  await once(socket, 'open')
  const notes = []
  let look = () => {}
  const server = new JSONRPCServer()
  server.addMethod('event', event => {
    notes.push(event)
    look()
  })
  const rpc = new JSONRPCServerAndClient(server, new JSONRPCClient(request => socket.send(JSON.stringify(request))))
  socket.on('message', data => rpc.receiveAndSend(JSON.parse(data)))
  const noted = n => new Promise(resolve => {
    look = () => { if (notes.length >= n) resolve(notes) }
    look()
  })
  return { rpc, noted }
}

test('json-rpc-2.0 calls, is told of faults, publishes and is notified', async t => {
  const { rpc, noted } = await peer(t, { headers: { Authorization: `Bearer ${key}` } })
  assert.equal(await rpc.request('invoke', { function: 'add', args: [1, 2] }), 3)
  assert.deepEqual(await Promise.all([rpc.request('invoke', { function: 'add', args: [3, 4] }), rpc.request('ping')]), [7, 'pong'])
  await assert.rejects(rpc.request('invoke', { function: 'nobody' }), { code: -32000, message: 'There is no function "nobody".', data: { code: 'not_found' } })
  await assert.rejects(rpc.request('dance'), { code: -32601 })
  const stream = fresh()
  const { subscription, recovered } = await rpc.request('subscribe', { stream, since: 'start' })
  const { epoch } = await rpc.request('publish', { stream, type: 'created', data: { id: 7 } })
  const [{ time, ...event }] = await noted(1)
  assert.deepEqual({ ...event, recovered, epoch: typeof epoch, time: new Date(time).toISOString() === time }, {
    subscription, stream, offset: 1, type: 'created', data: { id: 7 }, recovered: true, epoch: 'string', time: true
  })
})

test('json-rpc-2.0 sends a batch, which is answered as one', async t => {
  const { rpc } = await peer(t, { headers: { Authorization: `Bearer ${key}` } })
  const answers = await rpc.client.requestAdvanced([
    { jsonrpc: '2.0', id: 'a', method: 'invoke', params: { function: 'add', args: [1, 2] } },
    { jsonrpc: '2.0', method: 'ping' },
    { jsonrpc: '2.0', id: 'b', method: 'ping' }
  ])
  assert.deepEqual(answers.toSorted((a, b) => a.id < b.id ? -1 : 1), [
    { jsonrpc: '2.0', id: 'a', result: 3 }, { jsonrpc: '2.0', id: 'b', result: 'pong' }
  ])
})

test('a client signs in by subprotocol, by address, or by message', async t => {
  const ways = [
    await peer(t, {}, ['livefn.v1', `livefn.token.${key}`]),
    await peer(t, { headers: {} })
  ]
  await ways[1].rpc.request('auth', { token: key })
  for (const { rpc } of ways) assert.equal(await rpc.request('invoke', { function: 'add', args: [1, 2] }), 3)
})

test('rpc-websockets, signed in by its address, calls and starts', async t => {
  const client = new RpcWebSockets(`${address}?token=${key}`, { reconnect: false })
  t.after(() => client.close())
  await once(client, 'open')
  assert.equal(await client.call('invoke', { function: 'add', args: [1, 2] }), 3)
  const { execution } = await client.call('start', { function: 'add', args: [3, 4] })
  assert.equal((await client.call('get', { execution })).function, 'add')
  await assert.rejects(client.call('get', { execution: 'nobody' }), { code: -32000 })
})

// It reconnects by itself and sends Last-Event-ID: neither a gap nor a repetition.
test('eventsource follows a stream, and goes on after the last event when it comes back', async t => {
  const stream = fresh()
  const publish = n => http('POST', `/v1/streams/${stream}/events`, { type: 'n', data: n })
  for (const n of [1, 2]) await publish(n)
  const proxy = await Proxy.start(url)
  t.after(() => proxy.stop())
  const sent = []
  const source = new EventSource(`${proxy.url}/v1/streams/${stream}/events?since=start`, {
    fetch: (input, init) => {
      sent.push(init.headers['Last-Event-ID'])
      return fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${key}` } })
    }
  })
  t.after(() => source.close())
  const seen = []
  let look = () => {}
  source.addEventListener('n', ({ data, lastEventId }) => {
    seen.push([JSON.parse(data).data, Number(lastEventId.split(':').at(-1))])
    look()
  })
  const until = n => new Promise(resolve => {
    look = () => { if (seen.length >= n) resolve() }
    look()
  })
  await until(2)
  proxy.drop()
  for (const n of [3, 4]) await publish(n)
  await until(4)
  assert.deepEqual(seen, [[1, 1], [2, 2], [3, 3], [4, 4]])
  assert.deepEqual([sent.length, sent[0]], [2, undefined])
  assert.match(sent[1], /:2$/)
})
