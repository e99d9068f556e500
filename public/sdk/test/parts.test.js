import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backoff } from '../backoff.js'
import { transitions as connection } from '../connection.js'
import { isPattern, transitions as subscription } from '../subscription.js'

test('backoff doubles up to its cap and is drawn evenly from zero', () => {
  const longest = [0, 1, 2, 3, 10].map(n => backoff(n, { random: () => 1 }))
  assert.deepEqual(longest, [250, 500, 1000, 2000, 15_000])
  assert.equal(backoff(5, { random: () => 0 }), 0)
  assert.equal(backoff(1, { random: () => 0.5 }), 250)
})

// A state that cannot be left, or a step to a state that is not there, is how a client hangs for ever.
for (const [name, table] of Object.entries({ connection, subscription })) {
  test(`every state of a ${name} is reachable and leads to closed`, () => {
    const start = name === 'connection' ? 'waiting' : 'idle'
    const reached = new Set([start])
    for (const state of reached) for (const to of Object.values(table[state])) reached.add(to)
    assert.deepEqual([...reached].sort(), Object.keys(table).sort())
    for (const state of reached) {
      if (state !== 'closed') assert.ok(Object.values(table[state]).includes('closed'), state)
    }
    assert.deepEqual(table.closed, {})
  })
}

test('a pattern is told from a name by whole tokens', () => {
  assert.deepEqual(['orders', 'orders.*', 'orders.>', '>', 'a.b-c_d'].map(isPattern), [false, true, true, true, false])
})
