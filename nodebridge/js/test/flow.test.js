import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Flow, WINDOW } from '../flow.js'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc')

test('a flow that is always at the window counts right, and keeps nothing of what was handed on', () => {
  const flow = new Flow()
  const most = WINDOW / 128
  for (let i = 0; i < most; i++) flow.add(64)
  assert.equal(flow.full, false)
  gc()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 4_000_000; i++) {
    flow.add(64)
    if (!flow.full) assert.fail(`one more than the window, ${i} later, does not fill it`)
    flow.taken(1)
    if (flow.full) assert.fail(`the window, ${i} later, is too much`)
  }
  gc()
  const grown = process.memoryUsage().heapUsed - before
  assert.ok(grown < 4 << 20, `${grown} bytes more`)
  flow.taken(most)
  flow.add(WINDOW)
  assert.equal(flow.full, true)
  flow.taken(1)
  assert.equal(flow.full, false)
})

test('a flow that was opened is never full, and one that was closed again is', () => {
  const flow = new Flow()
  flow.add(WINDOW)
  flow.open()
  assert.equal(flow.full, false)
  flow.close()
  assert.equal(flow.full, true)
})
