// Versions and aliases, as a program that uses the SDK names them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { client, http } from './helpers.mjs'

test('a function is called, and started, by its alias and by its version', async t => {
  const name = `which-${process.pid}`
  const publish = n => http('PUT', `/v1/functions/${name}`, { source: `module.exports = (x, hub) => ({ version: hub.execution.version, x, is: ${n} })` })
  await publish(1)
  await publish(2)
  await http('PUT', `/v1/functions/${name}/aliases/prod`, { version: 1 })
  const hub = client(t)
  const is = n => ({ version: n, x: 'a', is: n })
  assert.deepEqual(await hub.invoke(name, 'a'), is(2))
  assert.deepEqual(await hub.invoke(`${name}@prod`, 'a'), is(1))
  assert.deepEqual(await hub.invoke(`${name}@1`, 'a'), is(1))
  assert.deepEqual(await hub.invoke(`${name}@2`, 'a'), is(2))
  assert.deepEqual(await hub.with({ key: `${name}-key` }).invoke(`${name}@prod`, 'a'), is(1))
  const run = await hub.start(`${name}@prod`, 'a')
  assert.deepEqual(await run.result(), is(1))
  const { function: of, version, state } = await run.get()
  assert.deepEqual({ of, version, state }, { of: name, version: 1, state: 'succeeded' })
  await http('PUT', `/v1/functions/${name}/aliases/prod`, { version: 2 })
  assert.deepEqual(await hub.invoke(`${name}@prod`, 'a'), is(2))
  await assert.rejects(hub.invoke(`${name}@nobody`, 'a'), { code: 'not_found' })
  await assert.rejects(hub.start(`${name}@9`, 'a'), { code: 'not_found' })
})
