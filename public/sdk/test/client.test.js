import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { address } from '../address.js'
import { connect, LivefnError } from '../livefn.js'
import { connected, fault, rpcError, SILENT, status, TestHub } from './hub.js'

test('an http or ws address works, with or without a path', () => {
  assert.deepEqual(
    ['http://h:1', 'https://h/', 'ws://h/v1/ws', 'wss://h/behind/v1/ws?x=1', new URL('http://h')].map(address),
    ['ws://h:1/v1/ws', 'wss://h/v1/ws', 'ws://h/v1/ws', 'wss://h/behind/v1/ws?x=1', 'ws://h/v1/ws']
  )
  assert.throws(() => address('ftp://h'), TypeError)
})

test('a Node without WebSocket says what to pass', () => {
  const had = globalThis.WebSocket
  delete globalThis.WebSocket
  assert.throws(() => connect('http://127.0.0.1:1'), { name: 'TypeError', message: /import { WebSocket } from "ws"/ })
  if (had) globalThis.WebSocket = had
})

test('a call gives its result', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  assert.equal(await client.invoke('add', 1, 2), 3)
  assert.equal(client.status, 'open')
})

test('a token may come from a function, and is asked for again with every connection', async t => {
  const hub = await TestHub.start(t)
  let asked = 0
  const client = await connected(t, hub, { token: async () => { asked++; return 'secret' } })
  hub.drop()
  await status(client, 'open')
  assert.equal(asked, 2)
})

test('a wrong token rejects with unauthorized and does not try again', async t => {
  const hub = await TestHub.start(t)
  let connections = 0
  hub.on('connection', () => connections++)
  await assert.rejects(connected(t, hub, { token: 'wrong' }), { name: 'LivefnError', code: 'unauthorized', message: 'unknown key' })
  assert.equal(connections, 1)
})

test('a token that ran out is asked for once more', async t => {
  const hub = await TestHub.start(t)
  const tokens = ['old', 'secret']
  const client = await connected(t, hub, { token: () => tokens.shift() })
  assert.equal(await client.invoke('add', 1, 1), 2)
})

test('without a hub, calls and ready reject with connection_failed after the timeout', async t => {
  const client = connect('http://127.0.0.1:9', { WebSocket, timeout: 30 })
  t.after(() => client.close())
  const answers = await Promise.allSettled([client.ready, client.invoke('add', 1, 2), client.with({ key: 'k' }).invoke('add', 1, 2)])
  assert.deepEqual(answers.map(({ reason }) => reason.code), ['connection_failed', 'connection_failed', 'connection_failed'])
  assert.equal(client.status, 'connecting')
})

test('what is asked before the hub is there waits for it', async t => {
  const { port } = await TestHub.start(t).then(async hub => { await hub.stop(); return hub })
  const client = connect(`http://127.0.0.1:${port}`, { WebSocket, token: 'secret', delay: () => 5 })
  t.after(() => client.close())
  const sum = client.invoke('add', 1, 2)
  const orders = client.subscribe('orders', { since: 'start' })
  const hub = await TestHub.start(t, { port })
  hub.publish('orders', 'created')
  await client.ready
  assert.equal(await sum, 3)
  assert.equal((await orders.next()).value.type, 'created')
})

test('a signal closes the client', async t => {
  const hub = await TestHub.start(t)
  const reason = new Error('enough')
  assert.throws(() => connect(hub.url, { WebSocket, signal: AbortSignal.abort(reason) }), reason)
  const abort = new AbortController()
  const client = await connected(t, hub, { signal: abort.signal })
  abort.abort(reason)
  await assert.rejects(client.invoke('add', 1, 2), reason)
  assert.equal(client.status, 'closed')
})

test('a function that throws rejects with its message, name, stack and execution', async t => {
  const hub = await TestHub.start(t)
  hub.functions.bad = () => fault('function_error', 'no rows', { execution: '01X', name: 'RangeError', stack: 'RangeError: no rows\n at f' })
  const client = await connected(t, hub)
  const error = await client.invoke('bad').catch(error => error)
  assert.ok(error instanceof LivefnError)
  assert.deepEqual(
    { ...error, message: error.message },
    { name: 'LivefnError', code: 'function_error', message: 'no rows', execution: '01X', functionName: 'RangeError', functionStack: 'RangeError: no rows\n at f' }
  )
})

test('arguments without a JSON form reject that call alone', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const [bad, good] = await Promise.allSettled([client.invoke('add', 1n), client.invoke('add', 1, 2)])
  assert.equal(bad.reason.code, 'invalid_request')
  assert.equal(good.value, 3)
})

// JSON-RPC answers a batch once all of it is done, so calls must not share one.
test('calls made in one turn leave in one write, and are answered as they finish', async t => {
  const hub = await TestHub.start(t)
  let release
  hub.functions.slow = () => new Promise(resolve => { release = resolve })
  const client = await connected(t, hub)
  const chunks = []
  ;[...hub.sockets][0]._socket.on('data', chunk => chunks.push(chunk))
  const slow = client.invoke('slow')
  const sums = await Promise.all([client.invoke('add', 1, 2), client.invoke('add', 3, 4)])
  assert.equal(chunks.length, 1)
  release('late')
  assert.deepEqual([...sums, await slow], [3, 7, 'late'])
  assert.deepEqual(hub.messages.slice(1).map(({ id, params }) => ({ id, ...params })), [
    { id: 1, function: 'slow', args: [] },
    { id: 2, function: 'add', args: [1, 2] },
    { id: 3, function: 'add', args: [3, 4] }
  ])
})

test('the number of calls under way is bounded', async t => {
  const hub = await TestHub.start(t)
  hub.functions.never = () => SILENT
  const client = await connected(t, hub, { maxPending: 1 })
  const first = assert.rejects(client.invoke('never'), { code: 'closed' })
  await assert.rejects(client.invoke('add', 1, 2), { code: 'overloaded' })
  client.close()
  await first
})

test('a dropped connection rejects what was under way, and the client comes back by itself', async t => {
  const hub = await TestHub.start(t)
  hub.functions.never = () => { hub.drop(); return SILENT }
  const client = await connected(t, hub)
  const seen = []
  client.on('status', status => seen.push(status))
  await assert.rejects(client.invoke('never'), { code: 'connection_lost' })
  const sum = client.invoke('add', 1, 2) // made while there is no connection: it waits for one
  assert.equal(await sum, 3)
  assert.deepEqual(seen, ['reconnecting', 'open'])
})

test('a call with a key is sent again with the same key', async t => {
  const hub = await TestHub.start(t)
  const keys = []
  hub.functions.charge = ({ key, args: [amount] }) => {
    keys.push(key)
    if (keys.length > 1) return { charged: amount }
    hub.drop()
    return SILENT
  }
  const client = await connected(t, hub)
  assert.deepEqual(await client.with({ key: 'order-7' }).invoke('charge', 5), { charged: 5 })
  assert.deepEqual(keys, ['order-7', 'order-7'])
})

// connection_failed says that nothing was done, which nobody knows of a call that the hub had.
test('a call with a key that the hub had waits for a connection as long as it takes', async t => {
  const hub = await TestHub.start(t)
  let calls = 0
  hub.functions.charge = () => ++calls === 1 ? SILENT : 'charged'
  const client = await connected(t, hub, { timeout: 20, delay: () => 5 })
  const charged = client.with({ key: 'order-7' }).invoke('charge')
  await client.list().catch(() => {}) // the hub has it
  const lost = status(client, 'reconnecting')
  await hub.stop()
  await lost
  await assert.rejects(client.invoke('add', 1, 2), { code: 'connection_failed' })
  await assert.rejects(client.invoke('add', 1, 2), { code: 'connection_failed' })
  const { port } = hub
  const next = await TestHub.start(t, { port })
  next.functions.charge = hub.functions.charge
  assert.equal(await charged, 'charged')
})

test('an aborted call rejects with the reason and cancels its execution', async t => {
  const hub = await TestHub.start(t)
  const abort = new AbortController()
  const cancelled = new Promise(resolve => {
    hub.methods.cancel = ({ execution }) => { resolve(execution); return {} }
  })
  hub.functions.long = (params, socket, id) => {
    assert.equal(params.events, true)
    socket.notify('event', { call: id, stream: 'execution.01L', offset: 1, type: 'execution.started', time: '', data: null })
    return SILENT
  }
  const client = await connected(t, hub)
  const reason = new Error('changed my mind')
  const call = client.with({ signal: abort.signal, onEvent: () => abort.abort(reason) }).invoke('long')
  await assert.rejects(call, reason)
  assert.equal(await cancelled, '01L')
})

test('a call aborted before its first event is cancelled when that comes', async t => {
  const hub = await TestHub.start(t)
  const abort = new AbortController()
  const cancelled = new Promise(resolve => {
    hub.methods.cancel = ({ execution }) => { resolve(execution); return {} }
  })
  const reached = withResolvers()
  hub.functions.long = (_, socket, id) => { reached.resolve({ socket, id }); return SILENT }
  const client = await connected(t, hub)
  const call = client.with({ signal: abort.signal }).invoke('long')
  const { socket, id } = await reached.promise
  abort.abort()
  await assert.rejects(call, { name: 'AbortError' })
  socket.notify('event', { call: id, stream: 'execution.01M', offset: 1, type: 'execution.started', time: '', data: null })
  assert.equal(await cancelled, '01M')
})

test('a call aborted in the turn it was made is never sent', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const abort = new AbortController()
  const call = client.with({ signal: abort.signal }).invoke('add', 1, 2)
  abort.abort()
  await assert.rejects(call, { name: 'AbortError' })
  await client.invoke('add', 3, 4)
  assert.deepEqual(hub.messages.at(-1).params.args, [3, 4])
  assert.equal(hub.messages.length, 2)
})

test('events of a call reach it before its result', async t => {
  const hub = await TestHub.start(t)
  hub.functions.count = async (_, socket, id) => {
    for (const offset of [1, 2]) socket.notify('event', { call: id, stream: 'execution.01E', offset, type: 'yield', time: '', data: offset * 10 })
    return 'done'
  }
  const client = await connected(t, hub)
  const seen = []
  assert.equal(await client.with({ onEvent: ({ type, data }) => seen.push([type, data]) }).invoke('count'), 'done')
  assert.deepEqual(seen, [['yield', 10], ['yield', 20]])
})

test('close rejects calls, ends subscriptions, and stays closed', async t => {
  const hub = await TestHub.start(t)
  hub.functions.never = () => SILENT
  const client = await connected(t, hub)
  const call = assert.rejects(client.invoke('never'), { code: 'closed' })
  const next = client.subscribe('orders').next()
  const gone = once([...hub.sockets][0], 'close')
  client.close()
  await Promise.all([gone, call])
  assert.deepEqual(await next, { value: undefined, done: true })
  await assert.rejects(client.invoke('add', 1, 2), { code: 'closed' })
  assert.equal(client.status, 'closed')
})

test('the hub announces its closing and says when to come back', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub, { delay: () => assert.fail('the hub said when') })
  const closing = new Promise(resolve => client.on('closing', resolve))
  const [socket] = hub.sockets
  socket.notify('closing', { reason: 'drain', reconnect: { after: 2 } })
  socket.close(1012)
  assert.deepEqual(await closing, { reason: 'drain', reconnect: { after: 2 } })
  await status(client, 'open')
})

// After a storm: the hub turns away whom it can't serve yet, and says when it can.
test('a hub that is busy is asked again when it said, and what waits is asked of it then', async t => {
  const hub = await TestHub.start(t)
  let turnedAway = 0
  hub.on('connection', socket => {
    if (turnedAway++ >= 2) return
    socket.notify('closing', { reason: 'busy', reconnect: { after: 2 } })
    socket.close(1013, 'busy')
  })
  const client = connect(hub.url, { token: hub.token, WebSocket, delay: () => assert.fail('the hub said when') })
  t.after(() => client.close())
  assert.equal(await client.invoke('add', 1, 2), 3)
  assert.deepEqual([turnedAway, hub.messages.filter(({ method }) => method === 'invoke').length], [3, 1])
})

// A deploy is no reason for callers to fail: what the draining hub would refuse waits for the next one.
test('what is asked after the hub announced its closing waits for the next connection', async t => {
  const hub = await TestHub.start(t)
  let finish
  hub.functions.slow = () => new Promise(resolve => { finish = resolve })
  const client = await connected(t, hub)
  const slow = client.invoke('slow')
  await client.list().catch(() => {}) // the hub has it
  const [socket] = hub.sockets
  const announced = new Promise(resolve => client.on('closing', resolve))
  socket.notify('closing', { reason: 'drain', reconnect: { after: 1 } })
  await announced
  const before = hub.messages.length
  const sum = client.invoke('add', 1, 2)
  finish('done')
  assert.equal(await slow, 'done')
  assert.equal(hub.messages.length, before)
  socket.close(1012)
  assert.equal(await sum, 3)
})

test('a call that a draining hub did not begin waits for the next connection, one that it had to end does not', async t => {
  const hub = await TestHub.start(t)
  let draining = true
  hub.functions.add = ({ args: [a, b] }) => draining ? fault('drained', 'The hub takes nothing new.') : a + b
  hub.functions.ended = () => fault('drained', 'The hub was stopped before the function answered.', { execution: '01D' })
  hub.functions.silent = () => draining ? SILENT : 'begun once'
  const client = await connected(t, hub)
  const refused = client.invoke('add', 1, 2)
  const silent = client.invoke('silent')
  const publish = assert.rejects(client.publish('orders', 'n'), { code: 'connection_lost' }) // that may have happened
  hub.methods.publish = () => SILENT
  await assert.rejects(client.invoke('ended'), { code: 'drained', execution: '01D' })
  draining = false
  ;[...hub.sockets][0].close(1012)
  assert.deepEqual([await refused, await silent], [3, 'begun once'])
  await publish
})

test('a call that a draining hub did not begin says so if none comes after it', async t => {
  const hub = await TestHub.start(t)
  hub.functions.add = () => fault('drained', 'The hub takes nothing new.')
  const client = await connected(t, hub, { timeout: 30 })
  await assert.rejects(client.invoke('add', 1, 2), { code: 'drained' })
})

test('a call with a key that is aborted while there is no connection is cancelled', async t => {
  const hub = await TestHub.start(t)
  const cancelled = new Promise(resolve => {
    hub.methods.cancel = ({ execution }) => { resolve(execution); return {} }
  })
  const reached = withResolvers()
  hub.functions.long = (_, socket, id) => {
    reached.resolve()
    for (const offset of [1, 2]) socket.notify('event', { call: id, stream: 'execution.01K', offset, type: 'n', time: '', data: null })
    return SILENT
  }
  const client = await connected(t, hub)
  const abort = new AbortController()
  const call = client.with({ key: 'k', signal: abort.signal }).invoke('long')
  await reached.promise
  hub.drop()
  await status(client, 'reconnecting')
  abort.abort()
  await assert.rejects(call, { name: 'AbortError' })
  assert.equal(await cancelled, '01K')
})

test('events that come again with a call that is attached again are not told again', async t => {
  const hub = await TestHub.start(t)
  let calls = 0
  hub.functions.count = (_, socket, id) => {
    const upTo = ++calls * 2
    for (let offset = 1; offset <= upTo; offset++) socket.notify('event', { call: id, stream: 'execution.01E', offset, type: 'n', time: '', data: null })
    if (calls === 2) return 'done'
    setImmediate(() => hub.drop())
    return SILENT
  }
  const client = await connected(t, hub)
  const seen = []
  assert.equal(await client.with({ key: 'k', onEvent: ({ offset }) => seen.push(offset) }).invoke('count'), 'done')
  assert.deepEqual(seen, [1, 2, 3, 4])
})

test('a token that is refused in a living connection ends it', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const closed = status(client, 'closed')
  ;[...hub.sockets][0].close(4001, 'unauthorized')
  await closed
  await assert.rejects(client.invoke('add', 1, 2), { code: 'unauthorized' })
})

// Sent again after every reconnect, it would cost all others their connection for ever.
test('a message that is too large for the hub fails its call alone, though it has a key', async t => {
  const hub = await TestHub.start(t)
  hub.functions.store = ({ args: [text] }, socket) => {
    if (text.length > 100) socket.close(1009, 'message too large')
    return text.length > 100 ? SILENT : text.length
  }
  hub.functions.slow = (() => { let n = 0; return () => n++ === 0 ? SILENT : 'done' })()
  const client = await connected(t, hub)
  const slow = client.with({ key: 's' }).invoke('slow')
  await assert.rejects(client.with({ key: 'k' }).invoke('store', 'x'.repeat(200)), { code: 'payload_too_large' })
  assert.equal(await slow, 'done')
})

// One garbled byte on the way looks to the hub as if we had a bug.
test('a hub that thinks we break the protocol is believed when it often says so in a row', async t => {
  const hub = await TestHub.start(t)
  hub.on('connection', socket => socket.on('message', () => setImmediate(() => socket.close(1002, 'protocol error'))))
  const statuses = []
  const client = connect(hub.url, { token: hub.token, WebSocket, delay: () => 1 })
  client.on('status', now => statuses.push(now))
  await status(client, 'closed')
  assert.equal(statuses.filter(now => now === 'open').length, 5)
})

test('a hub that went silent is left for a new connection', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub, { heartbeat: 15 })
  hub.methods.ping = () => SILENT
  await status(client, 'reconnecting')
  delete hub.methods.ping
  await status(client, 'open')
})

test('what is not JSON costs the connection, not the client', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  ;[...hub.sockets][0].send('{"jsonrpc":')
  await status(client, 'reconnecting')
  await status(client, 'open')
  assert.equal(await client.invoke('add', 1, 2), 3)
})

test('executions are started, looked at, and acted on', async t => {
  const hub = await TestHub.start(t)
  const asked = []
  for (const method of ['start', 'pause', 'resume', 'cancel', 'retry', 'send', 'list']) {
    hub.methods[method] = params => { asked.push([method, params]); return { execution: '01S', state: method } }
  }
  hub.executions.set('01S', { id: '01S', state: 'running' })
  const client = await connected(t, hub)
  const run = await client.with({ key: 'k', delay: '2h' }).start('import', [1])
  assert.equal(run.id, '01S')
  assert.deepEqual(await run.get(), { id: '01S', state: 'running' })
  assert.deepEqual(await client.get('01S'), { id: '01S', state: 'running' })
  await run.send('speed', 2)
  assert.equal((await run.pause()).state, 'pause')
  await run.resume()
  await run.resume({ args: [2], version: 3 })
  await run.cancel()
  await run.retry()
  await client.list({ state: 'running', limit: 5 })
  assert.deepEqual(asked, [
    ['start', { function: 'import', args: [[1]], key: 'k', delay: '2h' }],
    ['send', { execution: '01S', type: 'speed', data: 2 }],
    ['pause', { execution: '01S' }],
    ['resume', { execution: '01S' }],
    ['resume', { execution: '01S', args: [2], version: 3 }],
    ['cancel', { execution: '01S' }],
    ['retry', { execution: '01S' }],
    ['list', { state: 'running', limit: 5 }]
  ])
  hub.methods.get = () => { throw rpcError('not_found', 'gone') }
  await assert.rejects(run.get(), { code: 'not_found' })
})

function withResolvers () {
  const d = {}
  d.promise = new Promise((resolve, reject) => Object.assign(d, { resolve, reject }))
  return d
}
