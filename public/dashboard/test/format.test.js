import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ago, between, clock, count, duration, parseArgs, parseJSON, settings, shortId, size } from '../format.js'

test('durations are short at every size', () => {
  assert.deepEqual(
    [0.418, 1.24, 18.4, 999.4, 3210, 59_900, 252_000, 7_500_000, 273_600_000, -1, NaN].map(duration),
    ['0.42 ms', '1.2 ms', '18 ms', '999 ms', '3.2 s', '59 s', '4 min 12 s', '2 h 5 min', '3 d 4 h', '', '']
  )
  const t = '2026-01-02T03:04:05.000Z'
  assert.deepEqual([0, 7, 1500].map(ms => between(t, +new Date(t) + ms)), ['< 1 ms', '7 ms', '1.5 s'])
})

test('times are near or a date', () => {
  const now = Date.UTC(2026, 0, 20, 12)
  const before = s => ago(new Date(now - s * 1000).toISOString(), now)
  assert.deepEqual([1, 40, 200, 7300].map(before), ['just now', '40 s ago', '3 min ago', '2 h ago'])
  assert.match(before(30 * 86400), /21/)
  assert.equal(ago(undefined, now), '')
  assert.match(clock('2026-01-02T03:04:05.006Z'), /^\d\d:04:05\.006$/)
  assert.equal(clock('never'), '')
})

test('arguments are read as the API reads a body', () => {
  assert.deepEqual(['', ' ', '[1, [2]]', '{"a": 1}', '"x"', 'null'].map(parseArgs), [[], [], [1, [2]], [{ a: 1 }], ['x'], [null]])
})

test('what is not JSON is said without noise', () => {
  assert.throws(() => parseJSON('{"a": '), { message: 'Not JSON: Unexpected end of JSON input.' })
  assert.throws(() => parseJSON('[1, 2'), error => /^Not JSON: .+\.$/.test(error.message) && !error.message.includes('is not valid JSON'))
})

test('settings are labels, and secrets only a number', () => {
  assert.deepEqual(settings({
    settings: { public: true, idempotent: true, concurrency: 8, timeout: '2h', retries: { attempts: 3 }, triggers: [{}], env: { TOKEN: 'secret' } }
  }), ['public', 'idempotent', '8 at once', 'timeout 2h', '3 attempts', '1 trigger', '1 variable'])
  assert.deepEqual(settings({}), [])
  assert.deepEqual(settings({ settings: { timeout: 1500 } }), ['timeout 1.5 s'])
})

test('ids and counts', () => {
  assert.deepEqual([shortId('01K0MWTESQQ900000000000008'), shortId('s1'), count(1, 'row'), count(2, 'row')], ['00000008', 's1', '1 row', '2 rows'])
})

test('sizes are written with one unit', () => {
  assert.deepEqual([0, 1023, 1024, 1536, 43_000_000, 3 * 2 ** 30, NaN].map(size), ['0 B', '1023 B', '1.0 KiB', '1.5 KiB', '41 MiB', '3.0 GiB', ''])
})
