import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as frames from '../frames.js'
import { start } from './hub.js'

const value = async call => {
  const f = await call.end()
  assert.equal(f.kind, 'Result', f.text)
  return f.json
}

const caught = source => `module.exports = async (hub) => { try { await ${source} } catch (err) { return { name: err.name, code: err.code, message: err.message, error: err instanceof Error, stack: err.stack, own: Object.keys(err) } } }`

test('what a function asks is a request, and its answer what the promise gives', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = async (hub) => {
    const { invoke, start, publish, checkpoint } = hub
    const results = [await invoke('add', 1, { b: 'é' }), await invoke('none'), await start('import', [[]]),
      await hub.with({ key: 'k"1', delay: '90s', priority: -5 }).start('import'), await publish('orders.eu', 'created', { id: 7 }), await publish('a', 'b'), await checkpoint('x', 1)]
    return results.map(result => result === undefined ? 'undefined' : result)
  }`), [])
  const asked = []
  for (const [i, answer] of [3, undefined, { execution: 'x7' }, { execution: 'x8', state: 'queued' }, { offset: 9, epoch: 'e' }, { offset: 1, epoch: 'e' }, undefined].entries()) {
    const { op, json } = await call.request(i + 1)
    asked.push([op, json])
    call.respond(i + 1, answer)
  }
  assert.deepEqual(await value(call), [3, 'undefined', 'x7', 'x8', { offset: 9, epoch: 'e' }, { offset: 1, epoch: 'e' }, 'undefined'])
  assert.deepEqual(asked, [
    [frames.INVOKE, { function: 'add', args: [1, { b: 'é' }] }],
    [frames.INVOKE, { function: 'none', args: [] }],
    [frames.START, { function: 'import', args: [[[]]] }],
    [frames.START, { function: 'import', args: [], key: 'k"1', delay: 90000, priority: -5 }],
    [frames.PUBLISH, { stream: 'orders.eu', type: 'created', data: { id: 7 } }],
    [frames.PUBLISH, { stream: 'a', type: 'b' }],
    [frames.CHECKPOINT, ['x', 1]]
  ])
})

test('answers come in any order, each to its own promise', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, 'module.exports = hub => Promise.all(Array.from({ length: 100 }, (_, i) => hub.invoke("f", i)))'), [])
  await call.request(100)
  for (let n = 100; n >= 1; n--) call.respond(n, n * 2)
  call.respond(5, 'again')
  call.respond(4000, 'nobody asked')
  assert.deepEqual(await value(call), Array.from({ length: 100 }, (_, i) => (i + 1) * 2))
})

test('bytes arrive as a Buffer in memory of their own, large ones too', async t => {
  const hub = await start(t)
  for (const size of [0, 3, 300000]) {
    const bytes = Buffer.alloc(size, 7)
    const call = hub.call(await hub.load(t, 'module.exports = async hub => { const b = await hub.invoke("f"); return [Buffer.isBuffer(b), b.length, b.every(x => x === 7), b.byteOffset === 0 || b.length > 1000] }'), [])
    await call.request(1)
    call.respond(1, bytes)
    assert.deepEqual(await value(call), [true, size, true, true])
  }
  const text = 'é'.repeat(1 << 20)
  const call = hub.call(await hub.load(t, 'module.exports = async (text, hub) => await hub.invoke("f", text) === text'), [text])
  assert.equal((await call.request(1)).json.args[0], text)
  call.respond(1, text)
  assert.equal(await value(call), true)
})

test("a fault is an error with the hub's code, and the stack of where the function asked", async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, caught('hub.invoke("f")')), [])
  await call.request(1)
  call.fault(1, { code: 'not_found', message: 'There is no function f.' })
  const { stack, ...rest } = await value(call)
  assert.deepEqual(rest, { name: 'LivefnError', code: 'not_found', message: 'There is no function f.', error: true, own: ['name', 'code'] })
  assert.match(stack, /^LivefnError: There is no function f\.\n {4}at module\.exports \(.*index\.js:1:\d+\)/)
  assert.doesNotMatch(stack, /requests\.js|tail\.js/)

  const threw = hub.call(await hub.load(t, 'module.exports = hub => hub.invoke("f")'), [])
  await threw.request(1)
  threw.fault(1, { code: 'function_error', name: 'RangeError', message: 'too far', stack: 'RangeError: too far\n    at index.js:1:1' })
  const { code, name, message } = (await threw.end()).json
  assert.deepEqual({ code, name, message }, { code: 'function_error', name: 'RangeError', message: 'too far' })
})

test('what cannot be asked rejects, and says with a code why', async t => {
  const hub = await start(t, { maxMessage: 100000 })
  const cases = [
    ['hub.checkpoint(1n)', 'result_not_serializable', /^The arguments have no JSON form: Do not know how to serialize a BigInt$/],
    ['(() => { const a = []; a.push(a); return hub.invoke("f", a) })()', 'result_not_serializable', /^The arguments have no JSON form: Converting circular/],
    ['hub.publish("s", "t", { toJSON () { throw new Error("no") } })', 'result_not_serializable', /^The arguments have no JSON form: no$/],
    ['hub.checkpoint("x".repeat(100000))', 'payload_too_large', /^The arguments have 100004 bytes; 100000 bytes is the limit of a message\.$/],
    ['hub.invoke()', 'invalid_request', /^The function's name must be a string that is not empty\.$/],
    ['hub.start({})', 'invalid_request', /^The function's name must be a string/],
    ['hub.invoke("f", Buffer.from("x"))', 'invalid_request', /^Bytes cannot be arguments of another function/],
    ['hub.publish("", "t")', 'invalid_request', /^The stream must be a string/],
    ['hub.publish("s")', 'invalid_request', /^The type must be a string/]
  ]
  for (const [source, code, message] of cases) {
    const got = await value(hub.call(await hub.load(t, caught(source)), []))
    assert.equal(got.code, code, source)
    assert.match(got.message, message)
    assert.equal(got.error, true)
  }
  const call = hub.call(await hub.load(t, `module.exports = hub => [undefined, null, 5, [], { retries: 1 }, { key: '' }, { key: 5 }, { delay: 'x' }, { priority: 1.5 }, { priority: '1' }]
    .map(options => { try { hub.with(options); return 'fine' } catch (err) { return err.name } })`), [])
  assert.deepEqual(await value(call), Array(10).fill('TypeError'))
})

test('trailing undefined is left out of what another function gets, so that its defaults take effect', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, 'module.exports = hub => hub.invoke("f", undefined, 1, undefined, undefined)'), [])
  assert.deepEqual((await call.request(1)).json.args, [null, 1])
  call.respond(1, null)
  assert.equal(await value(call), null)
})

test('a thousand requests may wait for their answers, one more is overloaded', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = async hub => {
    const all = Array.from({ length: 1001 }, () => hub.publish('s', 't').catch(err => err.code))
    hub.emit('refused', await all[1000])
    await all[0]
    return [await hub.publish('s', 't'), await Promise.all(all)]
  }`), [])
  assert.equal((await call.event('refused')).json, 'overloaded')
  for (let n = 1; n <= 1000; n++) call.respond(n, n)
  await call.request(1001)
  call.respond(1001, 'room again')
  const [after, all] = await value(call)
  assert.equal(after, 'room again')
  assert.deepEqual(all, [...Array.from({ length: 1000 }, (_, i) => i + 1), 'overloaded'])
})

test('a checkpoint tells which events were heard, as a pause does', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = async hub => {
    hub.events.on('a', () => {})
    await new Promise(resolve => { hub.events.on('go', resolve); hub.emit('ready') })
    await hub.checkpoint('first')
    hub.events.on('b', () => {})
    await null
    await new Promise(resolve => process.nextTick(resolve))
    await hub.checkpoint('second')
  }`), [])
  await call.event('ready')
  for (const [n, type] of ['a', 'b', 'b', 'a', 'go'].entries()) call.send(type, n, n + 1)
  const first = await call.request(1)
  assert.deepEqual([first.meta, first.json], [{ seen: 5, kept: [2, 3] }, ['first']])
  call.respond(1)
  const second = await call.request(2)
  assert.deepEqual([second.meta, second.json], [{ seen: 5 }, ['second']])
  call.respond(2)
  await call.end()
})

test('requests that are open when the call ends reject, and nobody need catch that', async t => {
  const hub = await start(t)
  for (const [end, kind] of [['return 1', 'Result'], ['throw new Error("x")', 'Error'], ['return hub.pause()', 'Paused']]) {
    const module = await hub.load(t, `let heard = []
      module.exports = async (first, hub) => {
        if (!first) return heard
        hub.checkpoint(1)
        hub.publish('s', 't').then(() => heard.push('done'))
        ;(async () => { await hub.invoke('f') })()
        hub.start('f').catch(err => heard.push([err.name, err.code, err.message]))
        ${end}
      }`)
    const call = hub.call(module, [true])
    assert.equal((await call.end()).kind, kind)
    assert.deepEqual(call.kinds, ['Request', 'Request', 'Request', 'Request', kind])
    call.respond(1) // too late
    assert.deepEqual(await value(hub.call(module, [false])), [['AbortError', 'ABORT_ERR', 'The execution ended before the hub answered.']])
  }
  assert.deepEqual(hub.frames.filter(f => f.kind === 'Log').map(f => f.json), [])
  assert.equal(hub.stderr, '')
})

test('what is asked after the call ended is not sent, and a log says so if nobody catches it', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, 'module.exports = hub => { setTimeout(() => hub.publish("s", "t"), 1); return 1 }'), [])
  assert.equal(await value(call), 1)
  const { json } = await hub.next(f => f.kind === 'Log')
  assert.match(json.message, /AbortError: The execution has ended; the hub does nothing more for it\./)
  assert.deepEqual(call.kinds, ['Result'])
})

test('a request that fails and that nobody catches fails its own execution alone', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = async hub => { hub.publish("s", "t"); return new Promise(resolve => hub.events.on("end", resolve)) }')
  const [a, b] = [hub.call(module, []), hub.call(module, [])]
  await Promise.all([a.request(1), b.request(1)])
  hub.down.cork() // one chunk
  a.fault(1, { code: 'storage_unavailable', message: 'Nothing can be written.' })
  b.respond(1, { offset: 1, epoch: 'e' })
  hub.down.uncork()
  const { code, message } = (await a.end()).json
  assert.deepEqual({ code, message }, { code: 'function_error', message: 'Nothing can be written.' })
  b.send('end', 'fine')
  assert.equal(await value(b), 'fine')
})

test('a cancel does not reject what is asked: the hub answers it', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = async hub => {
    const asked = hub.invoke('slow').catch(err => err.code)
    await new Promise(resolve => { hub.signal.addEventListener('abort', resolve); hub.emit('ready') })
    hub.emit('aborted')
    return asked
  }`), [])
  await call.event('ready')
  call.cancel()
  await call.event('aborted')
  call.fault(1, { code: 'cancelled', message: 'The execution was cancelled.' })
  assert.equal(await value(call), 'cancelled')
})

test('logs after an await of an answer belong to their execution', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = async (n, hub) => { await hub.invoke("f"); console.log("n" + n); return n }')
  const calls = Array.from({ length: 20 }, (_, n) => hub.call(module, [n]))
  await Promise.all(calls.map(call => call.request(1)))
  for (const call of calls.toReversed()) call.respond(1, 1)
  for (const [n, call] of calls.entries()) {
    assert.equal(await value(call), n)
    assert.deepEqual(call.logs.map(l => l.message), ['n' + n])
  }
})

test('functions that replace what everybody uses do not break what others ask', async t => {
  const hub = await start(t)
  const module = await hub.load(t, `const never = new Promise(() => {})
  module.exports = async hub => {
    const results = [await hub.invoke('a', 1, undefined), await hub.checkpoint(1), await hub.with({ delay: '1s' }).start('b'), await hub.publish('s', 't', 1)]
    hub.events.on('n', () => hub.sleep('1h30m', results[2]))
    hub.emit('ready')
    return never
  }`)
  const other = await hub.load(t, 'module.exports = hub => hub.invoke("a").catch(err => err.code)')
  await hub.run(t, `module.exports = () => {
    const { Error } = globalThis
    const broken = () => { throw new Error('replaced') }
    for (const prototype of [Array.prototype, String.prototype, Map.prototype, WeakSet.prototype]) for (const name of ['push', 'slice', 'indexOf', 'includes', 'split', 'shift', 'splice', 'filter', 'some', 'get', 'set', 'add', 'has', 'delete']) if (name in prototype) prototype[name] = broken
    JSON.stringify = JSON.parse = Object.keys = Math.ceil = Number.isInteger = Buffer.byteLength = Buffer.allocUnsafeSlow = broken
    globalThis.Error = globalThis.TypeError = class { constructor () { broken() } }
    globalThis.Promise = broken
    Object.prototype['1'] = 'inherited'
  }`)
  const call = hub.call(module, [])
  for (const [i, answer] of [1, undefined, { execution: 'x2' }, { offset: 1, epoch: 'e' }].entries()) {
    await call.request(i + 1)
    call.respond(i + 1, answer)
  }
  await call.event('ready')
  call.send('other', 1, 1)
  call.send('n', 1, 2)
  const final = await call.end()
  assert.deepEqual([final.kind, final.meta, final.json], ['Paused', { sleep: 5400000, seen: 2, kept: [1] }, ['x2']])
  const again = hub.call(other, [])
  await again.request(1)
  again.fault(1, { code: 'conflict', message: 'No.' })
  assert.equal(await value(again), 'conflict')
})
