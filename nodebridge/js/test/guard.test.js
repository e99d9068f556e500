import assert from 'node:assert/strict'
import { test } from 'node:test'
import { start } from './hub.js'

const failure = async call => {
  const f = await call.end()
  assert.equal(f.kind, 'Error', f.text)
  return f.json
}

test('a function that ends the process ends only its execution', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = async (source, after) => { if (after) await null; eval(source); return "went on" }', { tail: false })
  const other = hub.call(await hub.load(t, 'module.exports = () => new Promise(r => setTimeout(r, 100, "fine"))'), [])
  for (const [source, what] of [
    ['process.exit()', 'process.exit()'], ['process.exit(3)', 'process.exit(3)'], ['try { process.exit(3) } catch {}', 'process.exit(3)'],
    ['process.reallyExit(1)', 'process.reallyExit(1)'], ['process.abort()', 'process.abort()'], ['process.kill(process.pid)', `process.kill(${hub.child.pid})`],
    ['process.kill(process.ppid)', `process.kill(${process.pid})`], ['process.kill(0, "SIGKILL")', 'process.kill(0)'], ['process.kill(-1)', 'process.kill(-1)'], ['process.exitCode = 4; process.exit()', 'process.exit(4)']
  ]) {
    for (const after of [false, true]) {
      const { code, name, message } = await failure(hub.call(module, [source, after]))
      assert.deepEqual({ code, name, message }, { code: 'function_error', name: 'ProcessExit', message: `The function called ${what}; it shares its process with others, so only this execution ends.` })
    }
  }
  assert.equal((await other.end()).json, 'fine')
  assert.equal((await hub.call(module, ['process.kill(process.pid, 0)']).end()).json, 'went on')
})

test('what a function throws where nobody catches fails the execution that caused it, and only that one', async t => {
  const hub = await start(t)
  const module = await hub.load(t, `const { EventEmitter } = require('node:events')
  const fs = require('node:fs')
  const ways = {
    timer: () => setTimeout(() => { throw new RangeError('x') }, 1),
    immediate: () => setImmediate(() => { throw new RangeError('x') }),
    tick: () => process.nextTick(() => { throw new RangeError('x') }),
    microtask: () => queueMicrotask(() => { throw new RangeError('x') }),
    rejection: () => { Promise.reject(new RangeError('x')) },
    async: () => { (async () => { await new Promise(r => setTimeout(r, 1)); throw new RangeError('x') })() },
    emitter: () => setTimeout(() => new EventEmitter().emit('error', new RangeError('x')), 1),
    callback: () => fs.stat('/', () => { throw new RangeError('x') }),
    stream: () => fs.createReadStream('/there/is/no/such/file'),
    abort: (hub) => { hub.signal.addEventListener('abort', () => { throw new RangeError('x') }); hub.emit('ready') }
  }
  module.exports = (way, hub) => { if (way) ways[way](hub); return new Promise(r => setTimeout(r, 200, 'fine')) }`)
  const other = hub.call(module, [null])
  for (const way of ['timer', 'immediate', 'tick', 'microtask', 'rejection', 'async', 'emitter', 'callback']) {
    const { code, name, message, stack } = await failure(hub.call(module, [way]))
    assert.deepEqual({ code, name, message }, { code: 'function_error', name: 'RangeError', message: 'x' }, way)
    assert.match(stack, /index\.js:\d/)
  }
  assert.match((await failure(hub.call(module, ['stream']))).message, /^ENOENT/)
  const cancelled = hub.call(module, ['abort'])
  await cancelled.event('ready')
  cancelled.cancel()
  assert.equal((await failure(cancelled)).name, 'RangeError')
  assert.equal((await other.end()).json, 'fine')
})

test('concurrent executions that throw later each get their own error', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = n => new Promise(resolve => setTimeout(() => { if (n % 2) throw new Error("n" + n); resolve(n) }, n % 5))')
  const calls = Array.from({ length: 200 }, (_, n) => hub.call(module, [n]))
  for (const [n, call] of calls.entries()) {
    const f = await call.end()
    if (n % 2) assert.equal(f.json.message, 'n' + n)
    else assert.equal(f.json, n)
  }
})

test('an error that comes after its execution ended is a log that names it', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, 'module.exports = () => { setTimeout(() => { throw new Error("late") }, 5); return 1 }', { name: 'f', version: 2 }), [], { execution: 'x9' })
  assert.equal((await call.end()).json, 1)
  const log = await hub.next(f => f.kind === 'Log')
  assert.equal(log.id, 0)
  assert.deepEqual(log.json.fields, { execution: 'x9', function: 'f', version: 2 })
  assert.match(log.json.message, /^Uncaught Error: late\n {4}at Timeout\._onTimeout \(index\.js:1:51\)/)
})

test('functions can neither take the errors of others nor stop the guards', async t => {
  const hub = await start(t)
  const bad = await hub.load(t, `module.exports = () => {
    process.removeAllListeners('uncaughtException')
    process.removeAllListeners('unhandledRejection')
    process.removeAllListeners()
    for (const type of ['uncaughtException', 'unhandledRejection', 'uncaughtExceptionMonitor']) {
      process.listeners(type).forEach(listener => process.off(type, listener))
      process.on(type, () => process.exit(5))
    }
    try { process.setUncaughtExceptionCaptureCallback(() => {}) } catch (err) { return err.message }
  }`)
  assert.match((await hub.call(bad, []).end()).json, /is not available/)
  const module = await hub.load(t, 'module.exports = way => new Promise(() => { if (way) setTimeout(() => { throw new Error("x") }); else Promise.reject(new Error("x")) })')
  for (const way of [0, 1]) assert.equal((await failure(hub.call(module, [way]))).message, 'x')
})

test('packages that want domains still load', async t => {
  const hub = await start(t)
  assert.equal((await hub.run(t, 'require("domain"); module.exports = () => 1')).json, 1)
})

test('a process in which Node itself fails on and on ends', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = () => { Array.prototype.pop = () => { throw new Error("replaced") } }')
  hub.call(module, [])
  assert.deepEqual((await hub.exited).code > 0, true)
})
