import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as frames from '../frames.js'
import { callPayload, frame, random, start } from './hub.js'

const init = frame(frames.Init, 0, '{"protocol":1,"maxMessage":67174400}')

test('Ping is answered at once, with its id', async t => {
  const hub = await start(t)
  hub.write(Buffer.concat([frame(frames.Ping, 42), frame(frames.Ping, 0xffffffff)]))
  await hub.next(f => f.kind === 'Pong' && f.id === 0xffffffff)
  assert.deepEqual(hub.frames.slice(1).map(f => [f.kind, f.id, f.payload.length]), [['Pong', 42, 0], ['Pong', 0xffffffff, 0]])
})

test('the process ends at once when the hub is gone, whatever functions still do', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, 'process.on("exit", () => { for (;;); }); setInterval(() => {}, 10); module.exports = hub => { hub.emit("ready"); return new Promise(() => {}) }'), [])
  await call.event('ready')
  hub.down.end()
  assert.deepEqual(await hub.exited, { code: 0, signal: null })
})

for (const [name, bytes] of Object.entries({
  'a length that lies': Buffer.concat([init, Buffer.from([255, 255, 255, 255])]),
  'a kind of its own': Buffer.concat([init, frame(frames.Ready, 0, '{}')]),
  'a call that is too short': Buffer.concat([init, frame(frames.Call, 1, 'x')]),
  'data of no message': Buffer.concat([init, frame(frames.Data, 1, 'x')]),
  'a call before Init': frame(frames.Call, 1, callPayload(1, [])),
  'a second Init': Buffer.concat([init, init]),
  'another protocol': frame(frames.Init, 0, '{"protocol":2}'),
  'an Init that is not JSON': frame(frames.Init, 0, '{'),
  text: Buffer.from('GET / HTTP/1.1\r\n\r\n')
})) {
  test(`the process ends with an error over ${name}`, async t => {
    const hub = await start(t, { init: false })
    hub.write(bytes)
    assert.deepEqual(await hub.exited, { code: 1, signal: null })
    await hub.until(() => /^livefn bridge: /.test(hub.stderr)).catch(() => {})
    assert.match(hub.stderr, /^livefn bridge: .*Error: /)
  })
}

test('random garbage ends the process, and it never hangs', async t => {
  const seed = 77
  console.log(`seed ${seed}`)
  const below = random(seed)
  for (let i = 0; i < 5; i++) {
    const hub = await start(t)
    hub.write(Buffer.from(Array.from({ length: 1 << 16 }, () => below(256))))
    assert.equal((await hub.exited).code, 1)
  }
})

test('frames for calls that are not, or no longer, in flight are dropped', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = () => 1')
  const call = hub.call(module, [])
  await call.end()
  call.pause()
  call.cancel()
  call.send('x', 1)
  for (const id of [0, 5, 0xffffffff]) hub.write(frame(frames.Pause, id, '{"reason":"request","deadline":1}'))
  assert.equal((await hub.call(module, []).end()).json, 1)
})

test('a slow function keeps back no answer of a call before it, once it is known to be slow', async t => {
  const hub = await start(t)
  const fast = await hub.load(t, 'module.exports = () => 1')
  const slow = await hub.load(t, 'const wait = new Int32Array(new SharedArrayBuffer(4)); module.exports = () => { Atomics.wait(wait, 0, 0, 50); return 2 }')
  await hub.call(slow, []).end()
  const calls = [hub.call(fast, []), hub.call(slow, [])]
  await calls[0].end()
  assert.equal(calls[1].final, undefined)
  await calls[1].end()
})
