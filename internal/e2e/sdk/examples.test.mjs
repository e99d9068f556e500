// The examples of the SDK, as somebody would run them.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import React from 'react'
import { create } from 'react-test-renderer'
import { useEvents, useStatus } from '../../../public/sdk/examples/use-livefn.js'
import { client, http, url } from './helpers.mjs'

/** Runs an example; until(pattern) waits for what it prints. */
function run (t, name, args, options) {
  const path = fileURLToPath(new URL(`../../../public/sdk/examples/${name}`, import.meta.url))
  const child = spawn(process.execPath, [...options ?? [], path, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  const program = { out: '', child, ended: once(child, 'close') }
  let look = () => {}
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      program.out += text
      look()
    })
  }
  program.until = pattern => new Promise((resolve, reject) => {
    look = () => {
      const match = pattern.exec(program.out)
      if (match) resolve(match)
    }
    look()
    program.ended.then(() => reject(new Error(`${name} ended without ${pattern}:\n${program.out}`)))
  })
  return program
}

test('what the README of the SDK begins with works as it stands', async t => {
  const readme = readFileSync(new URL('../../../public/sdk/README.md', import.meta.url), 'utf8')
  const [, block] = /```js\n(import.*?)```/s.exec(readme)
  const text = block
    .replace("'livefn'", JSON.stringify(new URL('../../../public/sdk/livefn.js', import.meta.url).href))
    .replace('http://localhost:8080', url)
    .replace(/(?<=\)) …/, ' { console.log(event.stream, event.data); break }')
  assert.ok(!text.replace(/\/\/.*/g, '').includes('…'), 'something is left out that this test does not know')
  await http('PUT', '/v1/functions/import', { source: "module.exports = (rows, hub) => { hub.emit('progress', rows.length); return rows.length }" })
  const flags = globalThis.WebSocket ? [] : ['--experimental-websocket', '--no-warnings']
  const program = `const token = process.env.LIVEFN_KEY, rows = ['a', 'b']\n${text}\nhub.close()`
  const child = spawn(process.execPath, [...flags, '--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  let out = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', data => { out += data })
  assert.deepEqual(await once(child, 'close'), [0, null], out)
  assert.match(out, /progress 2[\s\S]*orders\./)
})

test('a service handles each order once, also those that came while it did not run', async t => {
  const file = join(mkdtempSync(join(tmpdir(), 'livefn-')), 'position.json')
  const stream = `orders.${process.pid}`
  const publish = n => http('POST', `/v1/streams/${stream}/events`, { type: 'created', data: { n } })
  await publish(1)
  await publish(2)
  const first = run(t, 'orders.mjs', [file])
  await first.until(/"n":2/)
  await publish(3)
  await first.until(/"n":3/)
  first.child.kill('SIGINT')
  assert.deepEqual(await first.ended, [0, null])
  await publish(4)
  const second = run(t, 'orders.mjs', [file])
  await second.until(/"n":4/)
  second.child.kill('SIGINT')
  await second.ended
  const lines = [1, 2, 3, 4].map(n => `${stream} created {"n":${n}}\n`)
  const handled = ({ out }) => out.split(/(?<=\n)/).filter(line => line.startsWith(stream)).join('')
  assert.deepEqual([handled(first), handled(second)], [lines.slice(0, 3).join(''), lines[3]])
  assert.equal(typeof JSON.parse(readFileSync(file, 'utf8')).epoch, 'string')
})

test('a durable job shows how far it is, is paused with Ctrl-C, and goes on with its id', async t => {
  const first = run(t, 'progress.mjs', [])
  await first.until(/█.* %/)
  first.child.kill('SIGINT')
  const [, id] = await first.until(/paused; go on with: node progress\.mjs (\w+)/)
  assert.deepEqual(await first.ended, [0, null])
  const second = run(t, 'progress.mjs', [id])
  await second.until(/█.* %/)
  await http('POST', `/v1/executions/${id}/events`, { type: 'speed', data: { rowsPerSecond: 0 } })
  await second.until(/ 100 %[\s\S]*\{/)
  assert.deepEqual(await second.ended, [0, null])
})

// Node 22 and later have it; Node 20 has it behind a flag. Everybody else in these tests uses ws.
test("the SDK works with Node's own WebSocket", async t => {
  const native = `
    import { connect } from ${JSON.stringify(new URL('../../../public/sdk/livefn.js', import.meta.url).href)}
    const hub = connect(process.env.LIVEFN_URL, { token: process.env.LIVEFN_KEY })
    const sums = await Promise.all([hub.invoke('add', 1, 2), hub.invoke('add', 3, 4)])
    const run = await hub.start('add', 5, 6)
    const seen = []
    for await (const { type } of run.events()) seen.push(type)
    console.log(JSON.stringify({ sums, result: await run.result(), seen }))
    hub.close()`
  const flags = globalThis.WebSocket ? [] : ['--experimental-websocket', '--no-warnings']
  const child = spawn(process.execPath, [...flags, '--input-type=module', '--eval', native], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  let out = ''
  child.stdout.on('data', text => { out += text })
  await once(child, 'close')
  assert.deepEqual(JSON.parse(out), { sums: [3, 7], result: 11, seen: ['execution.queued', 'execution.started', 'execution.succeeded'] })
})

test('the React hooks show events and status, and let go with their component', async t => {
  const hub = client(t)
  const stream = `react.${process.pid}`
  for (const n of [1, 2, 3]) await hub.publish(stream, 'n', n)
  let shown, tell
  const Orders = ({ name }) => {
    const { events, gap, error } = useEvents(hub, name, { keep: 3 })
    shown = { events: events.map(event => event.data), gap, error, status: useStatus(hub) }
    React.useEffect(() => tell?.())
    return null
  }
  const until = condition => new Promise(resolve => {
    tell = () => { if (shown && condition(shown)) resolve() }
    tell()
  })
  const root = create(React.createElement(Orders, { name: stream }))
  await until(({ events, status }) => events.length === 3 && status === 'open')
  await hub.publish(stream, 'n', 4)
  await until(({ events }) => events.at(-1) === 4)
  assert.deepEqual(shown, { events: [2, 3, 4], gap: false, error: undefined, status: 'open' })
  root.update(React.createElement(Orders, { name: `${stream}.other` }))
  await until(({ events }) => events.length === 0)
  root.unmount()
})
