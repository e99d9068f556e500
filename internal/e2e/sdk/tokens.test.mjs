// Tokens that live for a second or two, as a page with a backend has them: nobody notices when they run out.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connect } from '../../../public/sdk/livefn.js'
import { WebSocket } from 'ws'
import { http, url } from './helpers.mjs'

async function mint (scopes, ttl = '1s', subject = 'u1') {
  return (await http('POST', '/v1/tokens', { scopes, ttl, subject })).token
}

test('a connection outlives its tokens: it is given new ones, and loses nothing', async t => {
  const stream = `tokens.${Date.now()}`
  let asked = 0
  const hub = connect(url, { token: () => { asked++; return mint(['invoke:add', 'subscribe:tokens.>', 'publish:tokens.>']) }, WebSocket })
  t.after(() => hub.close())
  const seen = []
  hub.on('status', status => seen.push(status))
  const events = hub.subscribe(stream, { since: 'start' })
  const enough = () => asked < 4
  for (let n = 1; enough(); n++) { // so that the first three have run out
    await hub.publish(stream, 'n', n)
    const { value } = await events.next()
    assert.deepEqual([value.data, value.offset], [n, n])
    assert.equal(await hub.invoke('add', n, 1), n + 1)
  }
  assert.deepEqual(seen, ['open'])
})

test('a token may do what its scopes say, and what is refused says which is lacking', async t => {
  const hub = connect(url, { token: () => mint(['invoke:add'], '1m'), WebSocket })
  t.after(() => hub.close())
  assert.equal(await hub.invoke('add', 1, 2), 3)
  await assert.rejects(hub.invoke('report'), { code: 'forbidden', message: 'The token lacks the scope invoke:report.' })
  await assert.rejects(hub.subscribe('orders.>')[Symbol.asyncIterator]().next(), { code: 'forbidden' })
})

test('whose subject is revoked is signed out, and in again with what it is given then', async t => {
  const subject = `u${Date.now()}`
  const hub = connect(url, { token: () => mint(['invoke:add'], '1m', subject), WebSocket, delay: () => 10 })
  t.after(() => hub.close())
  await hub.ready
  const back = new Promise(resolve => {
    const seen = []
    hub.on('status', (status, error) => {
      seen.push(error ? `${status} ${error.code}` : status)
      if (status === 'open') resolve(seen)
    })
  })
  await http('POST', '/v1/tokens/revoke', { subject })
  assert.deepEqual(await back, ['reconnecting unauthorized', 'open'])
  assert.equal(await hub.invoke('add', 1, 2), 3)
})

test('the example of a backend gives a page its tokens', async t => {
  const path = fileURLToPath(new URL('../../../public/sdk/examples/backend.mjs', import.meta.url))
  const backend = spawn(process.execPath, [path, '0'], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => backend.kill('SIGKILL'))
  const [line] = await once(backend.stdout.setEncoding('utf8'), 'data')
  const at = line.trim().split(' ').at(-1)
  assert.equal((await fetch(at, { method: 'POST' })).status, 401)
  const token = async () => (await (await fetch(at, { method: 'POST', headers: { cookie: 'user=ada' } })).json()).token
  const hub = connect(url, { token, WebSocket })
  t.after(() => hub.close())
  const run = await hub.start('add', 1, 2)
  assert.equal(await run.result(), 3)
  assert.equal((await run.get()).caller, 'ada')
  assert.deepEqual((await hub.list()).items.map(({ id }) => id), [run.id])
})
