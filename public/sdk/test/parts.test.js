import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backoff } from '../backoff.js'
import { transitions as connection } from '../connection.js'
import { Buffer } from '../buffer.js'
import { transitions as run } from '../run.js'
import { isPattern, transitions as subscription } from '../subscription.js'

test('backoff doubles up to its cap and is drawn evenly from zero', () => {
  const longest = [0, 1, 2, 3, 10].map(n => backoff(n, { random: () => 1 }))
  assert.deepEqual(longest, [250, 500, 1000, 2000, 15_000])
  assert.equal(backoff(5, { random: () => 0 }), 0)
  assert.equal(backoff(1, { random: () => 0.5 }), 250)
})

// A state that cannot be left, or a step to a state that is not there, is how a client hangs for ever.
for (const [name, { table, start, ends }] of Object.entries({
  connection: { table: connection, start: 'waiting', ends: ['closed'] },
  subscription: { table: subscription, start: 'idle', ends: ['closed'] },
  run: { table: run, start: 'unknown', ends: ['succeeded', 'failed', 'cancelled'] }
})) {
  test(`every state of a ${name} is reachable, and an end from each`, () => {
    const from = start => {
      const reached = new Set([start])
      for (const state of reached) for (const to of Object.values(table[state])) reached.add(to)
      return reached
    }
    assert.deepEqual([...from(start)].sort(), Object.keys(table).sort())
    for (const state of Object.keys(table)) {
      for (const end of ends) assert.ok(state === end || from(state).has(end), `${end} from ${state}`)
    }
  })
}

test('a buffer gives back what it took, in order, and knows when it is full', () => {
  const buffer = new Buffer(1000, 5000)
  const out = []
  let next = 0
  for (let round = 0; round < 20; round++) {
    while (buffer.fits(6)) buffer.push(next++, 6)
    assert.equal(buffer.length, 833)
    while (!buffer.low) out.push(buffer.shift())
  }
  while (buffer.length > 0) out.push(buffer.shift())
  assert.deepEqual(out, Array.from({ length: next }, (_, i) => i))
})

test('a pattern is told from a name by whole tokens', () => {
  assert.deepEqual(['orders', 'orders.*', 'orders.>', '>', 'a.b-c_d'].map(isPattern), [false, true, true, true, false])
})
