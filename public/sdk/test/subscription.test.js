import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connected, rpcError, status, take, TestHub } from './hub.js'

const offsets = events => events.map(event => event.offset)

test('history comes first, then what is new', async t => {
  const hub = await TestHub.start(t)
  hub.publish('orders.eu', 'created', { id: 1 })
  const client = await connected(t, hub)
  const orders = client.subscribe('orders.eu', { since: 'start' })
  assert.deepEqual(await orders.ready, { epoch: 'e1', offset: 0, recovered: true })
  hub.publish('orders.eu', 'created', { id: 2 })
  const time = '1970-01-01T00:00:00.000Z'
  assert.deepEqual(await take(orders, 2), [
    { stream: 'orders.eu', offset: 1, type: 'created', time, data: { id: 1 }, position: { epoch: 'e1', offset: 1 } },
    { stream: 'orders.eu', offset: 2, type: 'created', time, data: { id: 2 }, position: { epoch: 'e1', offset: 2 } }
  ])
})

// The point of the whole client: whatever the network does, each event is seen once and in order.
test('drops lose and repeat nothing', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const orders = client.subscribe('orders', { since: 'start' })
  const seen = []
  for (let i = 0; i < 20; i++) {
    hub.publish('orders', 'a', i) // some reach a socket that is about to die
    if (i % 3 === 0) {
      hub.drop()
      hub.publish('orders', 'b', i) // some come while nobody listens
      await status(client, 'open')
    }
    seen.push(...await take(orders, i % 3 === 0 ? 2 : 1))
  }
  assert.deepEqual(offsets(seen), Array.from({ length: 27 }, (_, i) => i + 1))
  assert.ok(seen.every(event => event.recovered === undefined))
})

test('a position may be older than this client', async t => {
  const hub = await TestHub.start(t)
  for (let i = 0; i < 5; i++) hub.publish('orders', 'a', i)
  const client = await connected(t, hub)
  const orders = client.subscribe('orders', { since: { epoch: 'e1', offset: 3 } })
  assert.deepEqual(offsets(await take(orders, 2)), [4, 5])
  assert.deepEqual(orders.position, { epoch: 'e1', offset: 5 })
})

// An honest gap is better than a silent one: after lost history the reader is told, once, in order.
test('a changed epoch is told: recovered false on the grant and on the next event', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const orders = client.subscribe('orders', { since: 'start' })
  const granted = []
  const gaps = []
  orders.on('subscribed', grant => granted.push(grant))
  orders.on('gap', gap => gaps.push(gap))
  hub.publish('orders', 'a')
  await take(orders, 1)
  hub.forget('orders', 'e2')
  hub.publish('orders', 'b')
  hub.drop()
  const [first] = await take(orders, 1)
  hub.publish('orders', 'c')
  const [second] = await take(orders, 1)
  assert.deepEqual([first, second].map(({ offset, type, recovered }) => ({ offset, type, recovered })), [
    { offset: 1, type: 'b', recovered: false },
    { offset: 2, type: 'c', recovered: undefined }
  ])
  assert.deepEqual(granted, [
    { epoch: 'e1', offset: 0, recovered: true },
    { epoch: 'e2', offset: 0, recovered: false }
  ])
  assert.deepEqual(orders.position, { epoch: 'e2', offset: 2 })
  assert.deepEqual(gaps, [{ after: { epoch: 'e1', offset: 1 }, from: { epoch: 'e2', offset: 0 } }])
})

// A reader whose history was trimmed while it was replayed is let go of; it must not wait for ever.
test('a subscription that fell behind asks again, and one whose stream is over ends', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  hub.publish('orders', 'a')
  const orders = client.subscribe('orders', { since: 'start' })
  await take(orders, 1)
  const [socket] = hub.sockets
  const end = reason => {
    const id = [...socket.subscriptions.keys()].at(-1)
    socket.subscriptions.delete(id)
    socket.notify('ended', { subscription: id, reason })
  }
  end('behind')
  hub.publish('orders', 'b')
  assert.deepEqual(offsets(await take(orders, 1)), [2])
  end('ended')
  assert.deepEqual(await orders.next(), { value: undefined, done: true })
})

test('what a subscription wishes for is asked for again with every connection', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const orders = client.subscribe('orders', { presence: true, latest: '/id' })
  await orders.ready
  const change = new Promise(resolve => orders.on('presence', resolve))
  const again = new Promise(resolve => orders.on('subscribed', resolve))
  const [socket] = hub.sockets
  await client.invoke('add', 0, 0)
  socket.notify('presence', { subscription: [...socket.subscriptions.keys()][0], stream: 'orders', event: 'join', connection: 'c1', subject: 'ada', total: 2 })
  assert.deepEqual(await change, { event: 'join', connection: 'c1', subject: 'ada', total: 2 })
  hub.drop()
  await again
  assert.deepEqual(hub.messages.filter(m => m.method === 'subscribe').map(({ params }) => [params.presence, params.latest]), [[true, '/id'], [true, '/id']])
})

// An old offset in a new epoch would silently skip or repeat: the two are never taken apart.
test('a reader that is behind keeps the epoch of what it has read', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  for (let i = 0; i < 3; i++) hub.publish('orders', 'a')
  const orders = client.subscribe('orders', { since: 'start' })
  await take(orders, 1)
  await client.invoke('add', 0, 0)
  hub.forget('orders', 'e2')
  hub.publish('orders', 'b')
  hub.drop()
  await new Promise(resolve => orders.on('gap', resolve))
  const positions = []
  for (let i = 0; i < 3; i++) {
    await orders.next()
    positions.push(orders.position)
  }
  assert.deepEqual(positions, [{ epoch: 'e1', offset: 2 }, { epoch: 'e1', offset: 3 }, { epoch: 'e2', offset: 1 }])
})

// Offsets of a pattern's events are each their stream's own; only the position beside them says how far one is.
test('a pattern goes on after the position that its last event brought', async t => {
  const hub = await TestHub.start(t)
  const asked = []
  hub.methods.subscribe = ({ since }, socket) => {
    asked.push(since)
    const offset = since?.offset ?? 40
    socket.after = () => {
      const event = (stream, offset, at, more) => socket.notify('event', { subscription: 's1', stream, offset, type: 'a', time: '', data: null, position: { epoch: 'j1', offset: at }, ...more })
      if (asked.length === 1) {
        event('orders.eu', 9, 41)
        event('function.add', 2, 0, { position: undefined }) // the hub's own streams have none
      } else {
        event('orders.eu', 9, 41) // had it
        event('orders.us', 1, 42)
      }
    }
    return { subscription: 's1', epoch: 'j1', offset, recovered: true }
  }
  const client = await connected(t, hub)
  const orders = client.subscribe('>')
  const first = await take(orders, 2)
  hub.drop()
  const second = await take(orders, 1)
  assert.deepEqual([...first, ...second].map(({ stream, position }) => [stream, position?.offset]), [['orders.eu', 41], ['function.add', undefined], ['orders.us', 42]])
  assert.deepEqual(asked, ['new', { epoch: 'j1', offset: 41 }])
  assert.deepEqual(orders.position, { epoch: 'j1', offset: 42 })
})

test('a pattern sees all its streams, and says after a drop that it may have missed some', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const orders = client.subscribe('orders.>')
  await orders.ready
  hub.publish('orders.eu', 'a')
  hub.publish('orders.us.east', 'a')
  assert.deepEqual((await take(orders, 2)).map(({ stream, offset }) => [stream, offset]), [['orders.eu', 1], ['orders.us.east', 1]])
  const again = new Promise(resolve => orders.on('subscribed', resolve))
  hub.drop()
  assert.equal((await again).recovered, false)
  await client.invoke('add', 0, 0) // the hub has the subscription in its list now
  hub.publish('orders.eu', 'b')
  assert.deepEqual((await take(orders, 1)).map(({ offset, recovered }) => [offset, recovered]), [[2, false]])
})

// A slow reader must cost neither memory here nor the connection: what does not fit stays with the hub.
test('a slow reader lets go and takes the rest from the hub later', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const orders = client.subscribe('orders', { since: 'start', buffer: 4 })
  await orders.ready
  for (let i = 0; i < 50; i++) hub.publish('orders', 'a', i)
  await client.invoke('add', 0, 0)
  assert.equal(orders.state, 'lagging')
  await client.invoke('add', 0, 0)
  assert.equal([...hub.sockets][0].subscriptions.size, 0)
  assert.deepEqual(offsets(await take(orders, 50)), Array.from({ length: 50 }, (_, i) => i + 1))
})

// A bound in number alone lets a few large events take all the memory there is.
test('a slow reader of large events holds few of them', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const orders = client.subscribe('orders', { since: 'start', bufferBytes: 10_000 })
  const states = []
  orders.on('state', (to, from) => states.push(`${from} ${to}`))
  await orders.ready
  for (let i = 0; i < 8; i++) hub.publish('orders', 'a', 'x'.repeat(4000))
  await client.invoke('add', 0, 0)
  assert.equal(orders.state, 'lagging')
  assert.deepEqual(offsets(await take(orders, 8)), [1, 2, 3, 4, 5, 6, 7, 8])
  assert.deepEqual(states.slice(0, 5), ['asking live', 'live lagging', 'lagging idle', 'idle asking', 'asking live'])
})

test('an event larger than the buffer is delivered all the same', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const orders = client.subscribe('orders', { since: 'start', bufferBytes: 10 })
  for (let i = 0; i < 3; i++) hub.publish('orders', 'a', 'x'.repeat(100))
  assert.deepEqual(offsets(await take(orders, 3)), [1, 2, 3])
})

test('a drop while a reader lags changes nothing for it', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const orders = client.subscribe('orders', { since: 'start', buffer: 2 })
  await orders.ready
  for (let i = 0; i < 9; i++) hub.publish('orders', 'a', i)
  await client.invoke('add', 0, 0)
  hub.drop()
  await status(client, 'open')
  assert.deepEqual(offsets(await take(orders, 9)), [1, 2, 3, 4, 5, 6, 7, 8, 9])
})

test('leaving the loop unsubscribes', async t => {
  const hub = await TestHub.start(t)
  hub.publish('orders', 'a')
  const client = await connected(t, hub)
  for await (const event of client.subscribe('orders', { since: 'start' })) {
    assert.equal(event.offset, 1)
    break
  }
  await client.invoke('add', 0, 0)
  assert.equal([...hub.sockets][0].subscriptions.size, 0)
})

test('a subscription that is left before the hub granted it is let go of when the grant comes', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const orders = client.subscribe('orders')
  await orders.return()
  await assert.rejects(orders.ready, { code: 'closed' })
  await client.invoke('add', 0, 0)
  await client.invoke('add', 0, 0)
  assert.equal([...hub.sockets][0].subscriptions.size, 0)
  assert.equal(hub.messages.filter(m => m.method === 'unsubscribe').length, hub.messages.filter(m => m.method === 'subscribe').length)
})

test('a subscription that a draining hub does not take is asked of its successor', async t => {
  const hub = await TestHub.start(t)
  const { subscribe } = hub.methods
  hub.methods.subscribe = () => { throw rpcError('drained', 'The hub takes nothing new.') }
  const client = await connected(t, hub)
  const orders = client.subscribe('orders')
  await client.invoke('add', 0, 0)
  hub.methods.subscribe = subscribe
  hub.drop()
  await orders.ready
  assert.equal(orders.state, 'live')
})

// Ids of subscriptions begin anew with every connection: the old one's may be somebody else's by now.
test('what was left in the moment of a drop is not taken for another after it', async t => {
  const hub = await TestHub.start(t)
  hub.methods.subscribe = ({ stream }, socket) => { // as the hub counts: from s1 on each connection
    const id = `s${socket.count = (socket.count ?? 0) + 1}`
    socket.after = () => socket.subscriptions.set(id, stream)
    return { subscription: id, epoch: 'e1', offset: 0, recovered: true }
  }
  const client = await connected(t, hub)
  const first = client.subscribe('a')
  const second = client.subscribe('b')
  await Promise.all([first.ready, second.ready])
  const [socket] = hub.sockets
  const closing = new Promise(resolve => client.on('closing', resolve))
  socket.notify('closing', { reason: 'drain', reconnect: { after: 1 } })
  await closing
  const granted = new Promise(resolve => second.on('subscribed', resolve))
  first.return() // its unsubscribe cannot be sent any more
  socket.close(1012)
  await granted
  await client.invoke('add', 0, 0)
  hub.publish('b', 'n')
  assert.equal((await second.next()).value.type, 'n')
})

test('a signal ends the loop with its reason', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const abort = new AbortController()
  const next = client.subscribe('orders', { signal: abort.signal }).next()
  const reason = new Error('enough')
  abort.abort(reason)
  await assert.rejects(next, reason)
  await assert.rejects(client.subscribe('orders', { signal: abort.signal }).next(), reason)
})

test('a subscription that the hub refuses rejects, others go on', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const fine = client.subscribe('orders')
  await fine.ready
  hub.methods.subscribe = () => { throw rpcError('forbidden', 'not yours') }
  await assert.rejects(client.subscribe('execution.other').next(), { code: 'forbidden' })
  hub.publish('orders', 'a')
  assert.equal((await fine.next()).value.offset, 1)
})

test('a run\'s events end with it', async t => {
  const hub = await TestHub.start(t)
  hub.publish('execution.01R', 'execution.started')
  const client = await connected(t, hub)
  const seen = []
  for await (const event of client.execution('01R').events()) {
    seen.push(event.type)
    if (seen.length === 1) {
      hub.drop()
      hub.publish('execution.01R', 'progress', { done: 1 })
      hub.publish('execution.01R', 'execution.succeeded')
    }
  }
  assert.deepEqual(seen, ['execution.started', 'progress', 'execution.succeeded'])
})

test('result waits for the end, also when it came during a drop', async t => {
  const hub = await TestHub.start(t)
  hub.executions.set('01R', { id: '01R', state: 'running' })
  const client = await connected(t, hub)
  const first = client.execution('01R').result()
  await client.invoke('add', 0, 0)
  hub.executions.set('01R', { id: '01R', state: 'succeeded', result: { imported: 5 } })
  hub.publish('execution.01R', 'execution.succeeded')
  assert.deepEqual(await first, { imported: 5 })

  hub.executions.set('01F', { id: '01F', state: 'running' })
  const second = client.execution('01F').result()
  await client.invoke('add', 0, 0)
  hub.executions.set('01F', { id: '01F', state: 'failed', error: { code: 'function_error', message: 'no', name: 'TypeError', stack: 's' } })
  hub.drop()
  await assert.rejects(second, { code: 'function_error', message: 'no', execution: '01F', functionName: 'TypeError', functionStack: 's' })
})
