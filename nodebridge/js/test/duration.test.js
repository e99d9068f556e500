import assert from 'node:assert/strict'
import { test } from 'node:test'
import { milliseconds } from '../duration.js'

test('a duration is milliseconds, or numbers with units that get smaller', () => {
  const good = { 0: 0, 1500: 1500, '500ms': 500, '90s': 90e3, '2h': 7.2e6, '3d': 259.2e6, '1h30m': 5.4e6, '1d2h3m4s5ms': 93784005, '0d': 0, 9223372036854: 9223372036854 }
  for (const [text, ms] of Object.entries(good)) assert.equal(milliseconds(text), ms, text)
  for (const [number, ms] of [[0, 0], [1500, 1500], [0.2, 1], [1e3 + 1e-9, 1001]]) assert.equal(milliseconds(number), ms)
})

test('what is no duration throws a TypeError that shows how one looks', () => {
  const bad = ['', ' ', 's', '-1', '-5s', '+1', '1.5h', '1 h', '5 s', '1h 30m', '30m1h', '1h1h', '5x', '5constructor', '5__proto__', 'h5', '1h30', '1e3', '١s', '9223372036855', '106752d', '9'.repeat(400) + 'd', 'Infinity',
    -1, NaN, Infinity, 1e13, 1n, null, undefined, {}, [1], new Date(), true, Symbol('s')]
  for (const value of bad) assert.throws(() => milliseconds(value), { name: 'TypeError', message: /is not a duration: milliseconds, or "500ms", "90s", "2h", "3d"\.$/ })
})
