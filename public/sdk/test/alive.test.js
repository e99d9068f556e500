// What finds out that a connection is dead, or may be: the heartbeat, and what wakes a page.
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { Heartbeat } from '../heartbeat.js'
import { wake } from '../wake.js'
import { connected, SILENT, status, TestHub } from './hub.js'

function heartbeat (t) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  t.after(() => mock.timers.reset())
  const told = []
  const heart = new Heartbeat({ every: 100, ask: () => told.push('ask'), dead: () => told.push('dead'), clock: () => Date.now() })
  heart.start()
  return { heart, told, pass: ms => mock.timers.tick(ms) }
}

test('silence of one beat is asked about, of two is death', t => {
  const { told, pass } = heartbeat(t)
  pass(100)
  assert.deepEqual(told, [])
  pass(100)
  assert.deepEqual(told, ['ask'])
  pass(100)
  assert.deepEqual(told, ['ask', 'dead'])
})

test('whoever is heard is not asked', t => {
  const { heart, told, pass } = heartbeat(t)
  for (let i = 0; i < 9; i++) {
    heart.heard()
    pass(100)
  }
  assert.deepEqual(told, [])
  pass(100)
  heart.heard()
  for (let i = 0; i < 3; i++) pass(100)
  assert.deepEqual(told, ['ask', 'ask', 'dead'])
})

// The timers of a hidden tab, or of a laptop that slept: the answer may have come and lie unread.
test('a beat that comes late buries nobody, the next punctual one does', t => {
  let now = 0
  const told = []
  mock.timers.enable({ apis: ['setTimeout'] })
  t.after(() => mock.timers.reset())
  const heart = new Heartbeat({ every: 100, ask: () => told.push('ask'), dead: () => told.push('dead'), clock: () => now })
  heart.start()
  const beat = ms => {
    now += ms
    mock.timers.tick(100)
  }
  beat(100)
  beat(60_000)
  beat(60_000)
  beat(60_000)
  assert.deepEqual(told, ['ask', 'ask', 'ask'])
  beat(100)
  assert.deepEqual(told, ['ask', 'ask', 'ask', 'dead'])
})

test('a probe asks at once and waits for less', t => {
  const { heart, told, pass } = heartbeat(t)
  heart.probe(30)
  assert.deepEqual(told, ['ask'])
  pass(30)
  assert.deepEqual(told, ['ask', 'dead'])
})

test('a page is woken by its network and by being looked at, until it is told to stop', () => {
  const target = new EventTarget()
  const page = Object.assign(new EventTarget(), { visibilityState: 'hidden' })
  const why = []
  const stop = wake(reason => why.push(reason), { target, page })
  page.dispatchEvent(new Event('visibilitychange'))
  target.dispatchEvent(new Event('offline'))
  target.dispatchEvent(new Event('online'))
  page.visibilityState = 'visible'
  page.dispatchEvent(new Event('visibilitychange'))
  target.dispatchEvent(new Event('pageshow'))
  stop()
  target.dispatchEvent(new Event('online'))
  page.dispatchEvent(new Event('visibilitychange'))
  assert.deepEqual(why, ['offline', 'online', 'visible', 'visible'])
})

/** Makes this Node a page: happens(type) is an event of its window, leave() makes it a Node again. */
function asPage () {
  const target = new EventTarget()
  globalThis.document = Object.assign(new EventTarget(), { visibilityState: 'visible' })
  globalThis.addEventListener = target.addEventListener.bind(target)
  globalThis.removeEventListener = target.removeEventListener.bind(target)
  const leave = () => {
    delete globalThis.document
    delete globalThis.addEventListener
    delete globalThis.removeEventListener
  }
  return { happens: type => target.dispatchEvent(new Event(type)), leave }
}

test('a page whose network is back does not wait any longer', async t => {
  const { happens, leave } = asPage()
  const hub = await TestHub.start(t)
  const waits = [60_000, 1]
  const client = await connected(t, hub, { delay: () => waits.shift() })
  t.after(leave) // after the client has closed
  hub.drop()
  await status(client, 'reconnecting')
  happens('online')
  await status(client, 'open')
})

test('a page whose network is back waits all the same if the hub said how long', async t => {
  const { happens, leave } = asPage()
  const hub = await TestHub.start(t)
  const client = await connected(t, hub, { delay: () => assert.fail('the hub said when') })
  t.after(leave) // after the client has closed
  const [socket] = hub.sockets
  socket.notify('closing', { reason: 'drain', reconnect: { after: 20 } })
  socket.close(1012)
  await status(client, 'reconnecting')
  happens('online')
  await status(client, 'open')
})

test('a page that comes back finds out soon that its connection is dead', async t => {
  const { happens, leave } = asPage()
  const hub = await TestHub.start(t)
  const client = await connected(t, hub, { heartbeat: 20 })
  t.after(leave) // after the client has closed
  hub.methods.ping = () => SILENT
  happens('online')
  await status(client, 'reconnecting')
  delete hub.methods.ping
  await status(client, 'open')
})
