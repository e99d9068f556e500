// The SDK behind a network that drops, delays, half-opens and garbles, with the real hub at the end of it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { behindProxy, client, http, random, status } from './helpers.mjs'

let names = 0
const fresh = () => `net.${process.pid}-${++names}`

// The point of the whole client. What is random is drawn from a seed, which a failure names.
test('whatever the network does, every subscriber sees each event once and in order', async t => {
  const seed = Number(process.env.LIVEFN_SEED ?? Date.now() % 100_000)
  t.diagnostic(`LIVEFN_SEED=${seed}`)
  const draw = random(seed)
  const base = fresh()
  const streams = ['a', 'b', 'c'].map(name => `${base}.${name}`)
  const { proxy, hub } = await behindProxy(t)
  const publisher = client(t)
  await hub.ready

  const told = [] // gaps: with all history there, there is none
  const readers = [...streams, `${base}.*`, `${base}.>`].map(name => {
    const seen = []
    const ends = name.endsWith('*') || name.endsWith('>') ? streams.length : 1
    let left = ends
    const subscription = hub.subscribe(name, { since: 'start', buffer: 40, onGap: gap => told.push({ name, gap }) })
    const read = async () => {
      for await (const event of subscription) {
        seen.push([event.stream, event.offset, event.data])
        if (event.type === 'end' && --left === 0) return
      }
    }
    return { name, seen, done: read() }
  })

  const faults = [() => proxy.drop(), () => proxy.halfOpen(), () => proxy.garble('down'), () => proxy.garble('up'), () => proxy.delay(draw() * 20), () => proxy.delay(0)]
  const want = new Map(streams.map(name => [name, []]))
  for (let i = 0; i < 600; i++) {
    const name = streams[Math.floor(draw() * streams.length)]
    const { offset } = await publisher.publish(name, 'n', i)
    want.get(name).push([name, offset, i])
    if (i % 200 === 100) { // whatever the draw, it fails some times
      if (hub.status !== 'open') await status(hub, 'open')
      const again = status(hub, 'open')
      proxy.drop()
      await again
    }
    if (draw() < 0.04) {
      faults[Math.floor(draw() * faults.length)]()
      if (draw() < 0.5 && hub.status !== 'open') await status(hub, 'open')
    }
  }
  for (const name of streams) want.get(name).push([name, (await publisher.publish(name, 'end', 'end')).offset, 'end'])
  proxy.delay(0)
  await Promise.all(readers.map(reader => reader.done))

  assert.deepEqual(told, [])
  for (const { name, seen } of readers) {
    for (const stream of streams) {
      if (!name.startsWith(stream) && !/[*>]$/.test(name)) continue
      assert.deepEqual(seen.filter(([s]) => s === stream), want.get(stream), `${name} of ${stream}`)
    }
  }
  assert.ok(proxy.count >= 4, `there were ${proxy.count} connections`)
})

test('what the hub no longer has is told, and what follows is whole', async t => {
  const stream = fresh()
  await http('PUT', `/v1/streams/${stream}`, { maxEvents: 5 })
  const { proxy, hub } = await behindProxy(t)
  const publisher = client(t)
  const orders = hub.subscribe(stream)
  const { epoch } = await orders.ready
  const gap = new Promise(resolve => orders.on('gap', resolve))
  await publisher.publish(stream, 'n', 0)
  await orders.next()
  proxy.refuse()
  for (let i = 1; i < 20; i++) await publisher.publish(stream, 'n', i)
  proxy.refuse(false)
  assert.deepEqual(await gap, { after: { epoch, offset: 1 }, from: { epoch, offset: 15 } })
  const seen = []
  for await (const { offset, recovered } of orders) {
    seen.push([offset, recovered])
    if (offset === 20) break
  }
  assert.deepEqual(seen, [[16, false], [17, undefined], [18, undefined], [19, undefined], [20, undefined]])
})

test('a slow reader takes nothing into memory that the hub can keep for it', async t => {
  const stream = fresh()
  const { hub } = await behindProxy(t)
  const publisher = client(t)
  const orders = hub.subscribe(stream, { since: 'start', buffer: 10 })
  await orders.ready
  const lagging = new Promise(resolve => orders.on('state', now => { if (now === 'lagging') resolve() }))
  await Promise.all(Array.from({ length: 300 }, (_, i) => publisher.publish(stream, 'n', i)))
  await lagging
  for (let i = 1; i <= 300; i++) assert.equal((await orders.next()).value.offset, i)
})

test('a call without a key that the network cut off says so; one with a key is attached again and runs once', async t => {
  const { proxy, hub } = await behindProxy(t)
  await hub.ready
  const id = fresh()
  const started = hub.subscribe('function.wait')
  await started.ready
  const keyed = hub.with({ key: id }).invoke('wait', id)
  const plain = hub.invoke('wait', `${id}-plain`)
  await started.next()
  await started.next()
  const lost = assert.rejects(plain, { code: 'connection_lost' })
  proxy.halfOpen() // nobody says that it is over: the heartbeat finds out
  await lost
  await status(hub, 'open')
  const { items } = await hub.list({ function: 'wait', state: 'running' })
  for (const { id } of items) await hub.execution(id).send('go')
  assert.deepEqual(await keyed, { waited: id })
  assert.deepEqual(await hub.with({ key: id }).invoke('wait', id), { waited: id }, 'the answer is kept')
})

test('a network that takes its time loses nothing', async t => {
  const { proxy, hub } = await behindProxy(t, { heartbeat: 2000 })
  proxy.delay(150)
  await hub.ready
  assert.deepEqual(await Promise.all(Array.from({ length: 50 }, (_, i) => hub.invoke('add', i, 1))), Array.from({ length: 50 }, (_, i) => i + 1))
  assert.equal(proxy.count, 1)
})

test('who is subscribed is known, and who comes and goes, also over a drop', async t => {
  const stream = fresh()
  const { proxy, hub } = await behindProxy(t)
  const other = client(t)
  const watching = other.subscribe(stream, { presence: true })
  await watching.ready
  const told = []
  let look = () => {}
  watching.on('presence', ({ event, total }) => {
    told.push(`${event} ${total}`)
    look()
  })
  const until = n => new Promise(resolve => {
    look = () => { if (told.length >= n) resolve() }
    look()
  })
  const mine = hub.subscribe(stream)
  await until(1)
  assert.equal((await other.presence(stream)).total, 2)
  proxy.drop()
  await until(3)
  await mine.return()
  await until(4)
  // What came first of the drop, the old one's leave or the new one's join, is the network's to say.
  assert.deepEqual([told[0], told.slice(1, 3).map(change => change.slice(0, -2)).sort(), told[3]], ['join 2', ['join', 'leave'], 'leave 1'])
  const { total, members } = await other.presence(stream)
  assert.deepEqual([total, members.length], [1, 1])
})
