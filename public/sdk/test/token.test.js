// Tokens run out. A client whose token is a function never makes that anybody's business.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connected, rpcError, status, TestHub } from './hub.js'

test('a call that is refused because the token ran out is made again with a new one, on the same connection', async t => {
  const hub = await TestHub.start(t)
  let connections = 0
  hub.on('connection', () => connections++)
  let valid = true
  const used = []
  hub.functions.add = ({ args: [a, b] }) => {
    if (!valid) throw rpcError('unauthorized', 'The token ran out.')
    return a + b
  }
  hub.on('message', ({ method, params }) => {
    if (method !== 'auth') return
    used.push(params.token)
    if (used.length > 1) valid = true
  })
  let n = 0
  const client = await connected(t, hub, { token: async () => ['secret', 'secret', 'third'][n++] })
  valid = false
  assert.deepEqual(await Promise.all([client.invoke('add', 1, 2), client.invoke('add', 3, 4)]), [3, 7])
  assert.deepEqual([connections, used], [1, ['secret', 'secret']])
})

test('a call that is refused twice rejects with unauthorized', async t => {
  const hub = await TestHub.start(t)
  let asked = 0
  hub.functions.add = () => { asked++; throw rpcError('unauthorized', 'no') }
  const client = await connected(t, hub, { token: () => 'secret' })
  await assert.rejects(client.invoke('add', 1, 2), { code: 'unauthorized' })
  assert.equal(asked, 2)
})

test('a call that is refused rejects at once if there is no other token', async t => {
  const hub = await TestHub.start(t)
  let asked = 0
  hub.functions.add = () => { asked++; throw rpcError('unauthorized', 'no') }
  const client = await connected(t, hub)
  await assert.rejects(client.invoke('add', 1, 2), { code: 'unauthorized' })
  assert.equal(asked, 1)
})

test('calls whose token is on its way are answered when the connection drops', async t => {
  const hub = await TestHub.start(t)
  hub.functions.add = () => { throw rpcError('unauthorized', 'no') }
  let n = 0
  const client = await connected(t, hub, { token: () => n++ === 1 ? hub.drop() ?? new Promise(() => {}) : 'secret' })
  await assert.rejects(client.invoke('add', 1, 2), { code: 'connection_lost' })
  await status(client, 'open')
})

// A session whose token runs out is asked for a newer one instead of being cut.
test('a hub that says that the token runs out is given a new one, on the same connection', async t => {
  const hub = await TestHub.start(t)
  let connections = 0
  hub.on('connection', () => connections++)
  let asked = 0
  const client = await connected(t, hub, {
    token: () => {
      if (++asked === 2) throw new Error('the server that makes tokens is away')
      return 'secret'
    }
  })
  const failed = []
  client.on('renewal_failed', error => failed.push(error.message))
  const renewed = new Promise(resolve => hub.on('message', ({ method }) => { if (method === 'auth') resolve() }))
  ;[...hub.sockets][0].notify('expiring', {})
  await renewed
  assert.deepEqual([asked, connections, failed], [3, 1, ['the server that makes tokens is away']])
})

test('what a newer token does not allow ends with forbidden; the rest goes on', async t => {
  const hub = await TestHub.start(t)
  const client = await connected(t, hub)
  const [lost, kept] = [client.subscribe('a'), client.subscribe('b')]
  await Promise.all([lost.ready, kept.ready])
  ;[...hub.sockets][0].notify('ended', { subscription: 's1', reason: 'forbidden' })
  await assert.rejects(lost[Symbol.asyncIterator]().next(), { code: 'forbidden' })
  hub.publish('b', 'x', 1)
  for await (const { data } of kept) {
    assert.equal(data, 1)
    break
  }
})

test('a hub that does not allow the page is not asked again', async t => {
  const hub = await TestHub.start(t)
  let connections = 0
  hub.on('connection', () => connections++)
  const client = await connected(t, hub, { token: () => 'secret' })
  const closed = new Promise(resolve => client.on('status', (status, error) => { if (status === 'closed') resolve(error.code) }))
  ;[...hub.sockets][0].close(4003, 'forbidden')
  assert.deepEqual([await closed, connections], ['forbidden', 1])
})
