const assert = require('node:assert/strict')
const { test } = require('node:test')
const primes = require('..')

async function drain (generator) {
  const yielded = []
  for (;;) {
    const { value, done } = await generator.next()
    if (done) return { yielded, returned: value }
    yielded.push(value)
  }
}

test('yields the primes below a number', async () => {
  assert.deepEqual(await drain(primes(20, 0)), { yielded: [2, 3, 5, 7, 11, 13, 17, 19], returned: undefined })
})

test('pauses at the prime it would say next', async () => {
  const hub = { pausing: false, pause: (...args) => ({ paused: args }) }
  const generator = primes(20, 0, 2, hub)
  assert.equal((await generator.next()).value, 2)
  hub.pausing = true
  assert.deepEqual(await drain(generator), { yielded: [], returned: { paused: [20, 0, 3] } })
})
