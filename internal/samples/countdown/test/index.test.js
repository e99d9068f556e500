const assert = require('node:assert/strict')
const { test } = require('node:test')
const countdown = require('..')

async function drain (generator) {
  const yielded = []
  for (;;) {
    const { value, done } = await generator.next()
    if (done) return { yielded, returned: value }
    yielded.push(value)
  }
}

test('counts down to lift-off', async () => {
  assert.deepEqual(await drain(countdown(3, 1)), { yielded: [3, 2, 1], returned: 'lift-off' })
})

test('pauses at the number it would say next', async () => {
  const hub = { pausing: false, pause: (...args) => ({ paused: args }) }
  const generator = countdown(3, 1, hub)
  assert.equal((await generator.next()).value, 3)
  hub.pausing = true
  assert.deepEqual(await drain(generator), { yielded: [], returned: { paused: [2, 1] } })
})
