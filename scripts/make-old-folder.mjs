// Makes the data folder of a hub that was killed with work under way, for the test that later programs go on with
// it (internal/torture/upgrade_test.go):
//
//   node scripts/make-old-folder.mjs PROGRAM FOLDER
//   rm -r FOLDER/bridges; tar c -C FOLDER . | gzip -9 > internal/torture/testdata/format-N.tar.gz
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { WebSocket } from 'ws'

const [,, program, data] = process.argv
const admin = 'upgrade-admin-key-0123456789'
const hub = spawn(program, ['serve', '--listen', '127.0.0.1:18099', '--data', data], { env: { ...process.env, LIVEFN_ADMIN_KEY: admin }, stdio: 'inherit' })
const url = 'http://127.0.0.1:18099'
const ask = async (key, method, path, body, headers = {}) => {
  const r = await fetch(url + path, { method, body: body === undefined ? undefined : JSON.stringify(body), headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers } })
  const text = await r.text()
  if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${text}`)
  return text ? JSON.parse(text) : undefined
}
for (;;) { try { await ask('x', 'GET', '/readyz') ; break } catch (e) { if (String(e).includes('JSON')) break; await new Promise(r => setTimeout(r, 50)) } }
const { key } = await ask(admin, 'POST', '/v1/admin/tenants', { name: 'old' })
await ask(key, 'PUT', '/v1/functions/echo', { source: 'module.exports = x => x' })
await ask(key, 'PUT', '/v1/functions/boom', { source: 'module.exports = () => { throw new RangeError("as ever") }' })
await ask(key, 'PUT', '/v1/functions/wait', { source: 'module.exports = (hub) => { hub.emit("waiting"); return new Promise(r => hub.events.once("word", r)) }' })
await ask(key, 'PUT', '/v1/functions/hold', { source: `module.exports = async (n, words, hub) => {
  if (words) { hub.events.on('word', w => words.push(w)); await new Promise(r => setTimeout(r, 200)); return [n, words] }
  hub.emit('holding')
  await new Promise(r => hub.events.once('pause', r))
  return hub.pause(n + 1, ['` + 'x'.repeat(3000) + `'])
}` })
const ids = { key }
const start = async (fn, ...args) => (await ask(key, 'POST', `/v1/invoke/${fn}?async=1`, args)).execution
const until = async (id, state) => { for (;;) { const x = await ask(key, 'GET', '/v1/executions/' + id); if (x.state === state) return x; await new Promise(r => setTimeout(r, 20)) } }
const emitted = async (id, type) => { for (;;) { const p = await ask(key, 'GET', `/v1/executions/${id}/events`); if (p.events.some(e => e.type === type)) return; await new Promise(r => setTimeout(r, 20)) } }
ids.succeeded = await start('echo', 'y'.repeat(5000)); await until(ids.succeeded, 'succeeded')
ids.failed = await start('boom'); await until(ids.failed, 'failed')
ids.paused = await start('hold', 1); await emitted(ids.paused, 'holding')
await ask(key, 'POST', `/v1/executions/${ids.paused}/pause`); await until(ids.paused, 'paused')
for (const w of ['first', 'second']) await ask(key, 'POST', `/v1/executions/${ids.paused}/events`, { type: 'word', data: w })
ids.running = await start('wait'); await emitted(ids.running, 'waiting')
const ws = new WebSocket('ws://127.0.0.1:18099/v1/ws', { headers: { authorization: `Bearer ${key}` } })
await new Promise(r => ws.once('open', r))
const rpc = (method, params) => new Promise(resolve => { ws.once('message', m => resolve(JSON.parse(m).result)); ws.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })) })
ids.due = (await rpc('start', { function: 'echo', args: ['due'], delay: '5s' })).execution
ids.later = (await rpc('start', { function: 'echo', args: ['later'], delay: '36500d' })).execution
hub.kill('SIGKILL')
writeFileSync(data + '/ids.json', JSON.stringify(ids, null, 1))
process.exit(0)
