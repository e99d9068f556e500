import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as frames from '../frames.js'
import { frame, start } from './hub.js'

const bound = (hub, bounds) => hub.write(frame(frames.Bounds, 0, JSON.stringify(bounds)))

test('what is over the limit of lines is dropped, and the execution is told how much before it ends', async t => {
  const hub = await start(t)
  bound(hub, { logRate: 3, logBytes: 0 })
  const call = hub.call(await hub.load(t, 'module.exports = () => { for (let i = 0; i < 10; i++) console.log("line " + i) }'), [])
  assert.equal((await call.end()).kind, 'Result')
  assert.deepEqual(call.logs, [
    ...[0, 1, 2].map(i => ({ level: 'info', message: `line ${i}` })),
    { level: 'warn', message: '7 lines were dropped: more is logged than 3 lines (logRate) a second allow.', dropped: { lines: 7, bytes: 42 } }
  ])
})

test('an execution that goes on in silence is told within a second or so', async t => {
  const hub = await start(t)
  bound(hub, { logRate: 1, logBytes: 0 })
  const call = hub.call(await hub.load(t, 'module.exports = async () => { console.log(1); console.log(2); await new Promise(() => {}) }'), [])
  await hub.until(() => call.logs.some(l => l.dropped?.lines === 1))
  assert.equal(call.final, undefined)
})

test('each execution has its own quota, and all of a process ten times as much', async t => {
  const hub = await start(t)
  bound(hub, { logRate: 2, logBytes: 0 })
  const module = await hub.load(t, 'module.exports = () => { console.log("a"); console.log("b") }')
  const calls = Array.from({ length: 15 }, () => hub.call(module, []))
  for (const call of calls) await call.end()
  assert.equal(calls.flatMap(call => call.logs).length, 20)
  const told = await hub.next(f => f.kind === 'Log' && f.id === 0)
  assert.deepEqual(told.json.dropped, { lines: 10, bytes: 10 })
})

test('what belongs to no execution has a quota, too', async t => {
  const hub = await start(t)
  bound(hub, { logRate: 2, logBytes: 0 })
  await hub.load(t, 'for (let i = 0; i < 5; i++) console.log(i); module.exports = () => {}')
  const told = await hub.next(f => f.kind === 'Log' && f.json.dropped)
  assert.equal(told.id, 0)
  assert.equal(told.json.dropped.lines, 3)
})
