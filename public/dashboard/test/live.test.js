import assert from 'node:assert/strict'
import { test } from 'node:test'
import { live } from '../live.js'

// A client whose subscriptions are given lists of events; after the last it waits for the signal.
function client (...lists) {
  return {
    subscribed: 0,
    async * subscribe (stream, { signal }) {
      const events = lists[this.subscribed++]
      yield * events
      signal.throwIfAborted()
      await new Promise((resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    }
  }
}

const events = n => Array.from({ length: n }, (_, i) => ({ type: 'e', offset: i + 1 }))

// The page must not cost a busy hub's connection: 4008 would take everything else with it.
test('a stream too fast for a screen is left for a while, and what is missed is told', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const abort = new AbortController()
  const fake = client(events(2000), events(3))
  const told = []
  let seen = 0
  const busy = defer()
  const again = defer()
  const done = live(fake, 'function.>', {
    signal: abort.signal,
    event: () => { if (++seen === 504) again.resolve() },
    missed: () => told.push('missed'),
    busy: now => {
      told.push(now ? 'busy' : 'calm')
      if (now) busy.resolve()
    }
  })
  await busy.promise
  assert.equal(seen, 501)
  assert.equal(fake.subscribed, 1)
  await new Promise(resolve => setImmediate(resolve)) // live waits now
  t.mock.timers.tick(3000)
  await again.promise
  assert.deepEqual(told, ['busy', 'missed', 'calm'])
  assert.equal(fake.subscribed, 2)
  abort.abort()
  await done
})

test('a gap is told at once', async () => {
  const abort = new AbortController()
  const missed = defer()
  const done = live(client([{ type: 'e', recovered: false }]), 'function.>', { signal: abort.signal, event () {}, missed: missed.resolve })
  await missed.promise
  abort.abort()
  await done
})

function defer () {
  const d = {}
  d.promise = new Promise((resolve, reject) => Object.assign(d, { resolve, reject }))
  return d
}
