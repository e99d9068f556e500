import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as frames from '../frames.js'
import { start } from './hub.js'

const result = f => {
  assert.equal(f.kind, 'Result', f.text)
  return f.encoding === frames.NOTHING ? undefined : f.encoding === frames.BYTES ? f.bytes : f.json
}
const error = f => {
  assert.equal(f.kind, 'Error', f.text)
  return f.json
}

test('the arguments come first, the tail object at max(args.length, declared - 1)', async t => {
  const hub = await start(t)
  const show = "const show = args => [...args].map(a => a === undefined ? 'undefined' : a?.constructor?.name === 'Hub' ? 'hub' : a); "
  const declared3 = await hub.load(t, show + 'module.exports = function (a, b = 1, hub) { return show(arguments) }')
  const declared0 = await hub.load(t, show + 'module.exports = function () { return show(arguments) }')
  const rest = await hub.load(t, show + 'module.exports = (a, ...rest) => show([a, ...rest])')
  const none = await hub.load(t, show + 'module.exports = function (a, b, hub) { return show(arguments) }', { tail: false })
  const run = async (module, args) => result(await hub.call(module, args).end())
  assert.deepEqual(await run(declared3, []), ['undefined', 'undefined', 'hub'])
  assert.deepEqual(await run(declared3, undefined), ['undefined', 'undefined', 'hub'])
  assert.deepEqual(await run(declared3, [1]), [1, 'undefined', 'hub'])
  assert.deepEqual(await run(declared3, [1, 2]), [1, 2, 'hub'])
  assert.deepEqual(await run(declared3, [1, 2, 3, 4]), [1, 2, 3, 4, 'hub'])
  assert.deepEqual(await run(declared0, []), ['hub'])
  assert.deepEqual(await run(declared0, [1, 2]), [1, 2, 'hub'])
  assert.deepEqual(await run(rest, []), ['hub'])
  assert.deepEqual(await run(rest, [1, 2]), [1, 2, 'hub'])
  assert.deepEqual(await run(none, [1]), [1])
  assert.deepEqual(await run(none, []), [])
})

test('JSON that is no array is the one argument; bytes are one Buffer', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = (a) => Buffer.isBuffer(a) ? { buffer: a.toString("hex"), pooled: a.buffer.byteLength !== a.length } : { a }')
  const run = async args => result(await hub.call(module, args).end())
  assert.deepEqual(await run('{"x":"é🙂"}'), { a: { x: 'é🙂' } })
  assert.deepEqual(await run('"text"'), { a: 'text' })
  assert.deepEqual(await run('null'), { a: null })
  assert.deepEqual(await run(' [ [1] ] '), { a: [1] })
  assert.deepEqual(await run('{"__proto__":{"polluted":1}}'), { a: JSON.parse('{"__proto__":{"polluted":1}}') })
  assert.deepEqual(await run(Buffer.from([0, 255, 10])), { buffer: '00ff0a', pooled: false })
})

test('results are JSON, bytes, or nothing', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = (source) => eval(source)', { tail: false })
  const run = async source => result(await hub.call(module, [source]).end())
  for (const [source, want] of [
    ['1 + 2', 3], ['-0', 0], ['1e21', 1e21], ['NaN', null], ['Infinity', null], ['"é🙂\\u2028"', 'é🙂\u2028'], ['true', true], ['null', null],
    ['[1, undefined, () => 1]', [1, null, null]], ['({ a: { toJSON: () => "j" } })', { a: 'j' }], ['new Date(0)', '1970-01-01T00:00:00.000Z'],
    ['undefined', undefined], ['() => 1', undefined], ['Symbol("s")', undefined], ['Buffer.from("ab")', Buffer.from('ab')],
    ['new Uint8Array([1, 2, 255])', Buffer.from([1, 2, 255])], ['new Uint8Array(0)', Buffer.alloc(0)], ['new Float64Array([1])', { 0: 1 }],
    ['Promise.resolve(Buffer.from("x"))', Buffer.from('x')], ['(async () => ({ ok: true }))()', { ok: true }],
    ['({ then (resolve) { setTimeout(resolve, 1, { then: r => r(7) }) } })', 7], ['new Map([[1, 2]])', {}]
  ]) assert.deepEqual(await run(source), want, source)
})

test('what JSON cannot hold fails that execution alone', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = (source) => eval(source)', { tail: false })
  const slow = hub.call(module, ['new Promise(resolve => setTimeout(resolve, 50, "fine"))'])
  for (const source of ['const a = {}; a.a = a; a', '10n', '[1n]', 'Promise.resolve(1n)', '({ toJSON () { throw new Error("no") } })', 'const d = []; let x = d; for (let i = 0; i < 1e5; i++) x = x[0] = []; d']) {
    const { code, name, message, stack } = error(await hub.call(module, [source]).end())
    assert.deepEqual({ code, name, stack }, { code: 'result_not_serializable', name: 'TypeError', stack: '' }, source)
    assert.match(message, /^The result has no JSON form: /)
  }
  assert.equal(result(await slow.end()), 'fine')
})

test('arguments that are not JSON are an invalid request', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = () => 1')
  for (const args of ['[1', '', '{', '[1]]', '\u0000', "['a']"]) {
    const { code, name, message, stack } = error(await hub.call(module, args, { encoding: frames.JSON }).end())
    assert.deepEqual({ code, name, stack }, { code: 'invalid_request', name: 'SyntaxError', stack: '' })
    assert.match(message, /^The arguments are not JSON: /)
  }
  assert.equal(result(await hub.call(module, []).end()), 1)
})

test('whatever is thrown is told, with a stack that knows the function alone', async t => {
  const hub = await start(t)
  const module = await hub.load(t, {
    'index.js': "const lib = require('./lib/x.js')\nmodule.exports = (source) => lib(source)",
    'lib/x.js': 'module.exports = source => eval(source)'
  }, { tail: false })
  const run = async source => error(await hub.call(module, [source]).end())
  const { code, name, message, stack } = await run('null.x')
  assert.deepEqual({ code, name, message }, { code: 'function_error', name: 'TypeError', message: "Cannot read properties of null (reading 'x')" })
  const lines = stack.split('\n')
  assert.equal(lines[0], "TypeError: Cannot read properties of null (reading 'x')")
  assert.match(lines[1], /^ {4}at eval \(eval at module\.exports \(lib\/x\.js:1:28\), <anonymous>:1:6\)$/)
  assert.match(lines[2], /^ {4}at module\.exports \(lib\/x\.js:1:28\)$/)
  assert.match(lines[3], /^ {4}at module\.exports \(index\.js:2:30\)$/)
  assert.equal(lines.length, 4)

  const told = async source => {
    const { code, name, message } = await run(source)
    assert.equal(code, 'function_error')
    return [name, message]
  }
  assert.deepEqual(await told('throw "text"'), ['Error', 'text'])
  assert.deepEqual(await told('throw null'), ['Error', 'null'])
  assert.deepEqual(await told('throw undefined'), ['Error', 'undefined'])
  assert.deepEqual(await told('throw 42n'), ['Error', '42n'])
  assert.deepEqual(await told('throw Symbol("s")'), ['Error', 'Symbol(s)'])
  assert.deepEqual(await told('throw { a: 1 }'), ['Error', '{ a: 1 }'])
  assert.deepEqual(await told('throw { name: "Mine", message: "m" }'), ['Mine', 'm'])
  assert.deepEqual(await told('throw Object.freeze(new RangeError("frozen"))'), ['RangeError', 'frozen'])
  assert.deepEqual(await told('throw { get name () { throw 1 }, get message () { throw 2 }, get stack () { throw 3 } }').then(([name]) => name), 'Error')
  assert.deepEqual(await told('throw new Proxy({}, { get () { throw 1 }, getPrototypeOf () { throw 2 }, has () { throw 3 }, ownKeys () { throw 4 } })').then(([name]) => name), 'Error')
  assert.deepEqual(await told('const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); throw proxy').then(([name]) => name), 'Error')
  assert.deepEqual(await told('Promise.reject(new Error("late"))'), ['Error', 'late'])
  assert.deepEqual(await told('(function f () { f() })()'), ['RangeError', 'Maximum call stack size exceeded'])
  assert.match((await told('throw new Error("m".repeat(100000))'))[1], /^m{65536}… \[cut: 100000 bytes\]$/)
  assert.deepEqual(await told('Error.prepareStackTrace = () => ({}); try { null.x } finally { setImmediate(() => { delete Error.prepareStackTrace }) }'), ['TypeError', "Cannot read properties of null (reading 'x')"])
})

test('every yield is an event and the return value the result', async t => {
  const hub = await start(t)
  const run = async source => {
    const call = hub.call(await hub.load(t, source), [3])
    return [(await call.end()).json, call.events]
  }
  const yields = list => list.map(v => ['yield', v])
  assert.deepEqual(await run('module.exports = function * (n) { for (let i = 0; i < n; i++) yield i; return "end" }'), ['end', yields([0, 1, 2])])
  assert.deepEqual(await run('module.exports = async function * (n) { for (let i = 0; i < n; i++) { await null; yield { i } } return "end" }'), ['end', yields([{ i: 0 }, { i: 1 }, { i: 2 }])])
  assert.deepEqual(await run('module.exports = function * () { yield Promise.resolve("p"); yield; return Promise.resolve(5) }'), [5, [['yield', 'p'], ['yield', undefined]]])
  assert.deepEqual(await run('module.exports = () => (async function * () { yield 1 })()'), [undefined, yields([1])])
  assert.deepEqual(await run('module.exports = async () => (function * () { yield 1; return 2 })()'), [2, yields([1])])
  assert.deepEqual(await run('let i = 0; module.exports = () => ({ next: async () => ({ value: i, done: i++ >= 2 }), [Symbol.asyncIterator] () { return this } })'), [2, yields([0, 1])])
})

test('a generator that throws, or yields what JSON cannot hold, fails after what it yielded', async t => {
  const hub = await start(t)
  const thrown = hub.call(await hub.load(t, 'module.exports = async function * () { yield 1; throw new Error("mid") }'), [])
  assert.equal(error(await thrown.end()).message, 'mid')
  assert.deepEqual(thrown.events, [['yield', 1]])
  const bad = hub.call(await hub.load(t, 'module.exports = function * (hub) { try { yield 1n } finally { console.log("closed") } }'), [])
  assert.equal(error(await bad.end()).code, 'result_not_serializable')
  assert.equal((await hub.next(f => f.kind === 'Log' && f.json.message === 'closed')).json.fields.execution, 'x1')
})

test('a generator without an await lets others run and hears of its pause', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, 'module.exports = function * (hub) { for (let i = 0; ; i++) { if (hub.pausing) return hub.pause(i); yield i } }'), [])
  await call.event('yield')
  call.pause()
  const final = await call.end()
  assert.equal(final.kind, 'Paused')
  assert.equal(final.json[0], call.events.length)
})

test('a generator waits while what it yielded is not taken, and goes on as it is', async t => {
  const hub = await start(t)
  // What it yields is 1,000 characters as JSON, so with 64 for each a window holds 246, and one more fills it.
  const module = await hub.load(t, `const text = 'x'.repeat(998)
    module.exports = async function * (n, hub) { for (let i = 0; i < n; i++) { hub.emit('at', i); yield text } return 'end' }`)
  const yields = call => call.frames.filter(f => f.type === 'yield').length
  const call = hub.call(module, [1000])
  await hub.until(() => yields(call) === 247)
  const other = hub.call(module, [3]) // answered behind all that the first one yields without waiting
  assert.equal((await other.end()).json, 'end')
  assert.equal(yields(call), 247)
  call.taken(100)
  await hub.until(() => yields(call) === 347)
  assert.equal((await hub.call(module, [3]).end()).json, 'end')
  assert.equal(yields(call), 347)
  call.taken(347) // more than are under way
  await hub.until(() => yields(call) === 594)
  call.taken(247)
  await hub.until(() => yields(call) === 841)
  call.taken(247)
  assert.equal((await call.end()).json, 'end')
  assert.equal(yields(call), 1000)
})

test('a pause or a cancel lets a generator go on that waits', async t => {
  const hub = await start(t)
  const module = await hub.load(t, `module.exports = async function * (hub) {
    for (let i = 0; ; i++) {
      if (hub.pausing) return hub.pause(i)
      if (hub.signal.aborted) return 'aborted'
      yield 'x'.repeat(10_000)
    }
  }`)
  const full = async () => {
    const call = hub.call(module, [])
    await hub.until(() => call.frames.length === 27)
    return call
  }
  const [paused, cancelled] = [await full(), await full()]
  paused.pause()
  assert.deepEqual((await paused.end()).json, [27])
  cancelled.cancel()
  assert.equal((await cancelled.end()).json, 'aborted')
})

test('a generator whose pause was refused waits again', async t => {
  const hub = await start(t)
  const module = await hub.load(t, `module.exports = async function * (hub) {
    hub.events.on('pause', () => hub.events.emit('paused', 1n))
    for (let i = 0; ; i++) {
      if (hub.signal.aborted) return 'aborted'
      yield 'x'.repeat(10_000)
    }
  }`)
  const yields = () => call.frames.filter(f => f.type === 'yield').length
  const call = hub.call(module, [])
  const behind = async () => { // answered behind all that the first one yields without waiting
    const other = hub.call(await hub.load(t, 'module.exports = () => 1'), [])
    await other.end()
    return yields()
  }
  await hub.until(() => yields() === 27)
  call.pause()
  await hub.until(() => call.kinds.includes('Refused'))
  const more = await behind()
  assert.ok(more <= 28, `${more} yields`) // it was woken once
  assert.equal(await behind(), more)
  call.cancel()
  assert.equal((await call.end()).json, 'aborted')
})

test('the module says whether it yields and how many parameters it declares', async t => {
  const hub = await start(t)
  const { folder } = await import('./hub.js')
  for (const [source, want] of [
    ['module.exports = (a, b = 2, { c } = {}, ...d) => 1', { declared: 3, kind: 'function' }],
    ['module.exports = function * (a) {}', { declared: 1, kind: 'generator' }],
    ['module.exports = async function * () {}', { declared: 0, kind: 'generator' }]
  ]) assert.deepEqual((await hub.loads(folder(t, source))).json, want)
})

test('thousands of calls run at once and get their own answers', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = async (n, hub) => { await new Promise(r => setTimeout(r, n % 7)); hub.emit("n", n); return n }')
  const calls = Array.from({ length: 5000 }, (_, n) => hub.call(module, [n]))
  for (const [n, call] of calls.entries()) {
    assert.equal(result(await call.end()), n)
    assert.deepEqual(call.events, [['n', n]])
  }
})

test('arguments and results from 1 byte to 64 MB arrive whole', { timeout: 120000 }, async t => {
  const hub = await start(t)
  const echo = await hub.load(t, 'module.exports = x => x', { tail: false })
  for (const size of [1, 100, 65520, 65530, 65536, 70000, frames.WINDOW, 1 << 20, 64 << 20]) {
    const bytes = Buffer.alloc(size, 'livefn🙂')
    const final = await hub.call(echo, bytes).end()
    assert.ok(result(final).equals(bytes), `${size} bytes`)
  }
  const text = 'é'.repeat(8 << 20)
  assert.ok(result(await hub.call(echo, JSON.stringify([text])).end()) === text)
})

test('small calls pass a large one on its way', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = x => x.length ?? x', { tail: false })
  let small = 0
  const big = hub.call(module, Buffer.alloc(4 << 20), {
    gap: async () => {
      if (small++ < 20) assert.equal(result(await hub.call(module, [small]).end()), small)
    }
  })
  assert.equal(result(await big.end()), 4 << 20)
  assert.ok(small > 20)
})

test('a result over the largest message fails in the bridge', async t => {
  const hub = await start(t, { maxMessage: 1 << 20 })
  const module = await hub.load(t, 'module.exports = (n, kind) => kind === "bytes" ? Buffer.alloc(n) : "x".repeat(n)', { tail: false })
  for (const kind of ['bytes', 'text']) {
    assert.equal(error(await hub.call(module, [1 << 20, kind]).end()).code, 'payload_too_large')
    assert.equal(result(await hub.call(module, [(1 << 20) - 8, kind]).end()).length, (1 << 20) - 8)
  }
})

test('text is cut nowhere: UTF-8 across chunks', async t => {
  const hub = await start(t)
  const { frame, callPayload } = await import('./hub.js')
  const module = await hub.load(t, 'module.exports = x => x', { tail: false })
  const call = hub.call(module, undefined)
  await call.end()
  const text = 'aé日🙂'.repeat(50)
  const bytes = frame(frames.Call, call.id, callPayload(module, [text]))
  call.final = undefined
  for (let i = 0; i < bytes.length; i++) {
    hub.write(bytes.subarray(i, i + 1))
    if (i % 16 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  assert.equal(result(await call.end()), text)
})

test('functions that replace what the language offers do not reach other calls', async t => {
  const hub = await start(t)
  const good = await hub.load(t, 'module.exports = async ({ a }) => ({ a: [a, await 2] })', { tail: false })
  const bad = await hub.load(t, `module.exports = () => {
    const no = () => { throw new Error('replaced') }
    JSON.parse = JSON.stringify = no
    Promise.prototype.then = Promise.prototype.catch = Promise.resolve = no
    globalThis.Promise = no
    globalThis.setImmediate = globalThis.setTimeout = process.nextTick = globalThis.queueMicrotask = no
    Array.isArray = Reflect.apply = Date.now = Buffer.byteLength = Buffer.allocUnsafe = Buffer.from = no
    for (const name of ['slice', 'map', 'filter', 'forEach', 'includes', 'concat', 'join', 'at']) Array.prototype[name] = no
    for (const name of ['get', 'set', 'has', 'delete']) Map.prototype[name] = no
    Buffer.prototype.write = Buffer.prototype.toString = Buffer.prototype.utf8Slice = Buffer.prototype.subarray = no
    String.prototype.replace = String.prototype.replaceAll = String.prototype.split = String.prototype.includes = RegExp.prototype.test = RegExp.prototype.exec = no
    return 1
  }`, { tail: false })
  assert.equal(result(await hub.call(bad, []).end()), 1)
  for (let i = 0; i < 3; i++) assert.deepEqual(result(await hub.call(good, [{ a: i }]).end()), { a: [i, 2] })
  const { code, name, message } = error(await hub.call(good, []).end())
  assert.deepEqual({ code, name, message }, { code: 'function_error', name: 'TypeError', message: "Cannot destructure property 'a' of 'undefined' as it is undefined." })
})

test('a call of a module that was not loaded, or could not be, is answered version_broken', async t => {
  const hub = await start(t)
  const { folder, frame } = await import('./hub.js')
  assert.equal(error(await hub.call(77, []).end()).code, 'version_broken')
  const dir = folder(t, 'throw new RangeError("at load")')
  hub.write(frame(frames.Load, 50, JSON.stringify({ function: 'f', version: 1, tenant: 'acme', dir, tail: true, env: {} })))
  const calls = [hub.call(50, []), hub.call(50, [])]
  for (const call of calls) {
    assert.deepEqual(error(await call.end()), { code: 'version_broken', name: 'RangeError', message: 'at load', stack: error(call.final).stack })
    assert.match(error(call.final).stack, /^RangeError: at load\n {4}at Object\.<anonymous> \(index\.js:1:7\)/)
  }
  const failed = await hub.next(f => f.kind === 'LoadFailed')
  assert.equal(failed.json.message, 'at load')
  assert.equal(error(await hub.call(50, []).end()).code, 'version_broken')
})

test('calls that come before their module is loaded run in order, and hear what came meanwhile', async t => {
  const hub = await start(t)
  const { folder, frame } = await import('./hub.js')
  const dir = folder(t, { 'index.mjs': 'await new Promise(r => setTimeout(r, 30))\nexport default (n, hub) => ({ n, pausing: hub.pausing })' })
  hub.write(frame(frames.Load, 50, JSON.stringify({ function: 'f', version: 1, tenant: 'acme', dir, tail: true, env: {} })))
  const calls = [1, 2, 3, 4].map(n => hub.call(50, [n]))
  calls[1].pause()
  calls[2].cancel()
  assert.deepEqual(result(await calls[0].end()), { n: 1, pausing: false })
  assert.deepEqual(result(await calls[1].end()), { n: 2, pausing: true })
  assert.equal(error(await calls[2].end()).code, 'cancelled')
  assert.deepEqual(result(await calls[3].end()), { n: 4, pausing: false })
  assert.deepEqual(hub.frames.filter(f => f.kind === 'Loaded' || f.kind === 'Result').map(f => f.kind), ['Loaded', 'Result', 'Result', 'Result'])
})
