const assert = require('node:assert/strict')
const { EventEmitter } = require('node:events')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { test } = require('node:test')
const { parse } = require('csv-parse/sync')
const report = require('..')

// As much of the tail object as report uses. Events are handed to watch as they are emitted.
function tail (watch = () => {}) {
  const hub = {
    events: new EventEmitter(),
    pausing: false,
    paused: undefined,
    aborter: new AbortController(),
    get signal () { return hub.aborter.signal },
    emit: (type, data) => watch(type, data, hub),
    pause: (...args) => { hub.paused = JSON.parse(JSON.stringify(args)) }
  }
  return hub
}

const full = report()

test('adds up every order', async () => {
  const orders = parse(readFileSync(join(__dirname, '..', 'orders.csv')), { columns: true })
  let cents = 0
  for (const { quantity, unit_price: price, discount } of orders) {
    cents += Math.round(quantity * Math.round(price * 100) * (1 - discount))
  }
  const result = await full
  assert.equal(result.orders, 50_000)
  assert.equal(result.revenue, cents / 100)
  for (const group of ['countries', 'categories', 'months']) {
    const sum = result[group].reduce((sum, { revenue }) => sum + Math.round(revenue * 100), 0)
    assert.equal(sum, cents, group)
  }
  assert.deepEqual([result.countries.length, result.categories.length, result.months.length, result.customers.length], [12, 6, 12, 10])
})

test('gives the same result when it was paused on the way, wherever', async () => {
  let args = []
  let pauses = 0
  for (;;) {
    const hub = tail((type, data, hub) => {
      if (type === 'progress' && data.done >= (pauses + 1) * 7_000) hub.pausing = true
    })
    const result = await report(args[0], args[1], hub)
    if (!hub.paused) {
      assert.deepEqual(result, await full)
      break
    }
    args = hub.paused
    pauses++
  }
  assert.equal(pauses, 7)
})

test('goes as slowly as it is told, and changes its pace on the way', async () => {
  const said = []
  const hub = tail((type, data, hub) => {
    said.push([type, data])
    if (said.length === 1) hub.events.emit('speed', { rowsPerSecond: 0 })
  })
  await report({ rowsPerSecond: 100 }, undefined, hub)
  assert.deepEqual(said.slice(0, 3), [
    ['progress', { done: 10, of: 50_000 }],
    ['speed', { rowsPerSecond: 0 }],
    ['progress', { done: 1_010, of: 50_000 }]
  ])
  assert.deepEqual(said.at(-1), ['progress', { done: 50_000, of: 50_000 }])
})

test('a pause does not wait for a slow slice', async () => {
  const hub = tail((type, data, hub) => {
    hub.pausing = true
    setImmediate(() => hub.events.emit('pause'))
  })
  await report({ rowsPerSecond: 0.001 }, undefined, hub)
  assert.deepEqual(hub.paused[0], { rowsPerSecond: 0.001 })
  assert.equal(hub.paused[1].done, 1)
})

test('stops when it is cancelled', async () => {
  const hub = tail((type, data, hub) => hub.aborter.abort(new Error('cancelled')))
  await assert.rejects(report({}, undefined, hub), { message: 'cancelled' })
})
