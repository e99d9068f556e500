import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'node:test'
import { Watch } from '../watch.js'

/** A client whose only subscription at a time is fed by the test; asked has the since of each. */
function client () {
  const fake = {
    asked: [],
    subscribe (pattern, { since, signal }) {
      fake.asked.push(since)
      const waiting = []
      const listeners = {}
      let wake = () => {}
      signal.addEventListener('abort', () => wake())
      fake.emit = (type, value) => listeners[type](value)
      fake.feed = (...events) => { waiting.push(...events); wake() }
      const subscription = {
        position: undefined,
        on: (type, fn) => { listeners[type] = fn },
        async * [Symbol.asyncIterator] () {
          for (;;) {
            while (waiting.length && !signal.aborted) {
              subscription.position = { epoch: 'e', offset: waiting[0].offset }
              yield waiting.shift()
            }
            signal.throwIfAborted()
            await new Promise(resolve => { wake = resolve })
          }
        }
      }
      return subscription
    }
  }
  return fake
}

const n = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => ({ type: 'e', offset: from + i }))
const offsets = watch => watch.events.map(event => event.offset)

test('a pause lets go of the stream, and a resume goes on after the last event that was shown', async () => {
  const hub = client()
  const watch = new Watch(hub, 'a.>', () => {})
  hub.emit('subscribed')
  hub.feed(...n(1, 3))
  await turn()
  assert.deepEqual([watch.state, offsets(watch)], ['live', [1, 2, 3]])
  watch.pause()
  hub.feed(...n(4, 5)) // came too late: the hub has them yet
  await turn()
  assert.deepEqual([watch.state, offsets(watch)], ['paused', [1, 2, 3]])
  watch.resume()
  await turn()
  hub.emit('subscribed')
  hub.feed(...n(4, 5))
  await turn()
  assert.deepEqual([watch.state, offsets(watch), hub.asked], ['live', [1, 2, 3, 4, 5], ['start', { epoch: 'e', offset: 3 }]])
  for (const step of ['pause', 'resume', 'pause']) watch[step]()
  await turn()
  assert.deepEqual([watch.state, hub.asked.length], ['paused', 2])
})

test('what is kept is bounded, and can be cleared', async () => {
  const hub = client()
  const watch = new Watch(hub, 'a.>', () => {})
  hub.feed(...n(1, 200))
  await turn()
  watch.clear()
  assert.deepEqual([watch.events, watch.dropped], [[], 200])
  globalThis.document = { hidden: true } // as of a tab in the background, which draws nothing
  let most = 0
  for (let i = 201; i <= 1500; i++) {
    hub.feed({ type: 'e', offset: i })
    await turn()
    most = Math.max(most, watch.events.length)
    if (i % 250 === 0) await new Promise(resolve => setTimeout(resolve, 300)) // a frame of such a tab
  }
  assert.ok(most <= 500, `${most} were kept`)
  assert.equal(watch.dropped + watch.events.length, 1500)
  assert.equal(watch.events.at(-1).offset, 1500)
})

test('a stream that has ended says why, and is asked for again from where it was', async () => {
  const hub = client()
  const subscribe = hub.subscribe
  hub.subscribe = (...args) => {
    const subscription = subscribe(...args)
    return Object.assign(subscription, { position: args[1].since, [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('forbidden')) }) })
  }
  const watch = new Watch(hub, 'a', () => {})
  await turn()
  assert.deepEqual([watch.state, watch.error.message], ['ended', 'forbidden'])
  hub.subscribe = subscribe
  watch.resume()
  await turn()
  hub.emit('subscribed')
  assert.deepEqual([watch.state, watch.error, hub.asked], ['live', undefined, ['start', 'start']])
})

test('a gap is told until the next event, which tells it itself', async () => {
  const hub = client()
  const watch = new Watch(hub, 'a', () => {})
  hub.emit('gap')
  assert.equal(watch.gap, true)
  hub.feed({ type: 'e', offset: 9, recovered: false })
  await turn()
  assert.deepEqual([watch.gap, watch.events[0].recovered], [false, false])
})
