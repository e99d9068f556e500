import assert from 'node:assert/strict'
import { test } from 'node:test'
import { start } from './hub.js'

const value = async call => {
  const f = await call.end()
  assert.equal(f.kind, 'Result', f.text)
  return f.json
}

test("the interview's bare form pauses: on pause, emit paused with the resume arguments", async t => {
  const hub = await start(t)
  const module = await hub.load(t, `module.exports = function (rows, from = 0, hub) {
    return new Promise(() => {
      hub.events.on('pause', info => hub.events.emit('paused', rows, 7, info))
      hub.events.emit('listening')
    })
  }`)
  const call = hub.call(module, [['a']])
  await call.event('listening')
  call.pause({ reason: 'drain', deadline: 5 })
  const final = await call.end()
  assert.deepEqual([final.kind, final.json], ['Paused', [['a'], 7, { reason: 'drain', deadline: 5 }]])
})

test('hub.pausing is true once a pause was asked for, and returning hub.pause() pauses', async t => {
  const hub = await start(t)
  const module = await hub.load(t, `module.exports = async (n, hub) => {
    const before = hub.pausing
    hub.emit('ready')
    while (!hub.pausing) await new Promise(r => setTimeout(r, 1))
    return hub.pause(n + 1, before, undefined)
  }`)
  const call = hub.call(module, [1])
  await call.event('ready')
  call.pause()
  assert.deepEqual((await call.end()).json, [2, false, null])
  assert.deepEqual(call.kinds, ['Event', 'Paused'])
})

test('a pause listener that is added late is called all the same, and once means once', async t => {
  const hub = await start(t)
  const module = await hub.load(t, `module.exports = async (hub) => {
    hub.emit('ready')
    while (!hub.pausing) await new Promise(r => setTimeout(r, 1))
    const heard = []
    hub.events.once('pause', ({ reason }) => heard.push('once ' + reason))
    hub.events.on('pause', ({ reason }) => heard.push('on ' + reason))
    hub.events.prependListener('pause', ({ reason }) => heard.push('first ' + reason))
    const gone = () => heard.push('removed')
    hub.events.on('pause', gone).off('pause', gone)
    heard.push('sync')
    await new Promise(r => setTimeout(r, 5))
    return [heard, hub.events.listenerCount('pause')]
  }`)
  const call = hub.call(module, [])
  await call.event('ready')
  call.pause()
  assert.deepEqual(await value(call), [['sync', 'once request', 'on request', 'first request'], 2])
})

test('the first of paused, return and throw wins, and only one final frame is sent', async t => {
  const hub = await start(t)
  const run = async body => {
    const call = hub.call(await hub.load(t, `module.exports = ${body}`), [])
    await call.end()
    await hub.call(await hub.load(t, 'module.exports = async () => { await new Promise(r => setTimeout(r, 10)) }'), []).end()
    return [call.kinds, call.final.json]
  }
  assert.deepEqual(await run('hub => { hub.pause(1); return 2 }'), [['Paused'], [1]])
  assert.deepEqual(await run('hub => { hub.pause(1); throw new Error("late") }'), [['Paused'], [1]])
  assert.deepEqual(await run('async hub => { hub.pause(1); await null; throw new Error("late") }'), [['Paused'], [1]])
  assert.deepEqual(await run('hub => { hub.pause(1); hub.pause(2); return [hub.emit("after"), hub.events.emit("paused", 3)] }'), [['Paused'], [1]])
  assert.deepEqual(await run('hub => { setTimeout(() => hub.pause(1), 2); return 2 }'), [['Result'], 2])
  assert.deepEqual(await run('hub => { queueMicrotask(() => { hub.pause(1); hub.emit("after") }); return 2 }'), [['Result'], 2])
  assert.deepEqual(await run('async hub => { const p = new Promise(() => {}); process.nextTick(() => hub.pause()); return p }'), [['Paused'], []])
})

test('resume arguments without a JSON form are refused and the execution goes on', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = hub => { const sent = hub.events.emit("paused", 1n); hub.emit("sent", sent); return "went on" }')
  const call = hub.call(module, [])
  assert.equal(await value(call), 'went on')
  assert.deepEqual(call.kinds, ['Refused', 'Event', 'Result'])
  assert.deepEqual(call.frames[0].json, { message: 'the resume arguments have no JSON form: Do not know how to serialize a BigInt' })
  assert.deepEqual(call.events, [['sent', false]])
})

test('a pause that was refused can be asked for again', async t => {
  const hub = await start(t)
  const module = await hub.load(t, `module.exports = hub => new Promise(() => {
    let n = 0
    hub.events.on('pause', ({ reason }) => hub.events.emit('paused', reason, n++ === 0 ? 1n : n))
    hub.emit('ready')
  })`)
  const call = hub.call(module, [])
  await call.event('ready')
  call.pause()
  call.pause({ reason: 'drain', deadline: 1 })
  assert.deepEqual((await call.end()).json, ['drain', 2])
  assert.deepEqual(call.kinds, ['Event', 'Refused', 'Paused'])
})

test('returning hub.pause() although it was refused says why', async t => {
  const hub = await start(t)
  const cycle = await hub.run(t, 'module.exports = async hub => { const a = []; a.push(a); return hub.pause(a) }')
  assert.equal(cycle.kind, 'Error')
  assert.equal(cycle.json.code, 'result_not_serializable')
  assert.match(cycle.json.message, /^The function returned what hub\.pause, hub\.sleep or hub\.waitFor gave it, but the execution is not paused: the resume arguments have no JSON form: Converting circular/)
  const module = await hub.load(t, 'let kept; module.exports = (first, hub) => first ? kept = hub.pause() : kept')
  assert.equal((await hub.call(module, [true]).end()).kind, 'Paused')
  const stale = await hub.call(module, [false]).end()
  assert.equal(stale.json.message, 'The function returned what hub.pause, hub.sleep or hub.waitFor gave it, but the execution is not paused: nothing was paused.')
})

test('events of the function go to the hub: one value as it is, several as an array, none as none', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = (hub) => {
    const { emit, events } = hub
    return [emit('none'), emit('one', { a: 1 }), emit('two', 1, 'b'), events.emit('größe', null), emit('array', [1]), emit('undefined', undefined), emit('error', 'as any other')]
  }`), [])
  assert.deepEqual(await value(call), [true, true, true, true, true, true, true])
  assert.deepEqual(call.events, [['none', undefined], ['one', { a: 1 }], ['two', [1, 'b']], ['größe', null], ['array', [1]], ['undefined', undefined], ['error', 'as any other']])
})

test('an event goes to the other end of the bus, not to listeners on its own end', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = (hub) => {
    const heard = []
    hub.events.on('newListener', type => heard.push('new ' + type))
    hub.events.on('progress', () => heard.push('progress'))
    hub.events.emit('progress', 1)
    return heard
  }`), [])
  assert.deepEqual(await value(call), ['new progress'])
  assert.deepEqual(call.events, [['progress', 1]])
})

test("client events reach listeners with EventEmitter's semantics", async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `const { EventEmitter, once } = require('node:events')
  module.exports = async (hub) => {
    const heard = []
    hub.events.on('speed', data => heard.push(data)).once('speed', data => heard.push(['once', data]))
    const off = () => heard.push('off')
    hub.events.on('speed', off)
    hub.events.off('speed', off)
    hub.emit('ready')
    const [stop] = await once(hub.events, 'stop')
    return { heard, stop, emitter: hub.events instanceof EventEmitter, names: hub.events.eventNames() }
  }`), [])
  await call.event('ready')
  call.send('speed', 1)
  call.send('speed', { rate: 'é🙂' })
  call.send('speed', undefined)
  call.send('stop', null)
  assert.deepEqual(await value(call), { heard: [1, ['once', 1], { rate: 'é🙂' }, null], stop: null, emitter: true, names: ['speed'] })
})

test('client events wait for the first listener of their type, in order, before later ones', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = async (hub) => {
    await new Promise(resolve => hub.events.on('go', resolve))
    const heard = []
    hub.events.on('n', n => heard.push(n))
    await new Promise(resolve => hub.events.on('end', resolve))
    return heard
  }`), [])
  for (let n = 0; n < 10; n++) call.send('n', n)
  call.send('other', 1)
  call.send('go')
  for (let n = 10; n < 20; n++) call.send('n', n)
  call.send('end')
  assert.deepEqual(await value(call), Array.from({ length: 20 }, (_, n) => n))
})

test('a thousand client events are kept for a listener, the newest', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = async (hub) => {
    await new Promise(resolve => hub.events.on('go', resolve))
    const heard = []
    hub.events.on('n', n => heard.push(n))
    await new Promise(r => setTimeout(r, 1))
    return [heard.length, heard[0], heard.at(-1)]
  }`), [])
  for (let n = 0; n < 1500; n++) call.send('n', n)
  call.send('go')
  assert.deepEqual(await value(call), [1000, 500, 1499])
  assert.equal(call.logs.filter(l => l.level === 'warn').length, 1)
})

test('an error event from a client without a listener throws nowhere', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = async (hub) => {
    hub.events.on('x', () => {})
    const go = new Promise(resolve => hub.events.on('go', resolve))
    await go
    return new Promise(resolve => hub.events.on('error', resolve))
  }`), [])
  call.send('error', 'from a client')
  call.send('go')
  assert.equal(await value(call), 'from a client')
})

test('a listener that throws fails its execution alone', async t => {
  const hub = await start(t)
  const module = await hub.load(t, `module.exports = (type, hub) => new Promise(resolve => {
    hub.events.on('bad', () => { throw new RangeError('in a listener') })
    hub.events.on('good', resolve)
    hub.emit('ready')
  })`)
  const [a, b] = [hub.call(module, ['a']), hub.call(module, ['b'])]
  await Promise.all([a.event('ready'), b.event('ready')])
  a.send('bad')
  b.send('good', 1)
  const failed = await a.end()
  assert.deepEqual([failed.json.code, failed.json.name, failed.json.message], ['function_error', 'RangeError', 'in a listener'])
  assert.equal(await value(b), 1)
})

test('event data without a JSON form, or a bad type, throws a TypeError where it is emitted', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = (hub) => {
    const cycle = {}
    cycle.cycle = cycle
    return [[['x', 1n]], [['x', cycle]], [['x', 1, cycle]], [['é'.repeat(128)]], [[Symbol('s')]], [['']], [[5]]].map(([args]) => {
      try { return hub.emit(...args) } catch (err) { return err instanceof TypeError && err.message }
    }).concat(hub.emit('x'.repeat(255)))
  }`), [])
  const got = await value(call)
  assert.match(got[0], /^The data of the event x has no JSON form: /)
  assert.match(got[1], /^The data of the event x has no JSON form: /)
  assert.match(got[2], /^The data of the event x has no JSON form: /)
  assert.equal(got[3], 'The type of an event has 256 bytes; 255 is the limit.')
  assert.deepEqual(got.slice(4, 7), Array(3).fill('The type of an event must be a string that is not empty.'))
  assert.equal(got[7], true)
  assert.equal(call.events.length, 1)
})

test('cancel aborts hub.signal, and is an event', async t => {
  const hub = await start(t)
  const module = await hub.load(t, `module.exports = async (late, hub) => {
    if (late) { hub.emit('ready'); await new Promise(r => setTimeout(r, 20)) }
    const before = hub.signal.aborted
    const heard = await new Promise(resolve => {
      hub.events.on('cancel', info => setTimeout(resolve, 5, info))
      hub.emit('ready')
    })
    return { before, aborted: hub.signal.aborted, name: hub.signal.reason.name, message: hub.signal.reason.message, heard }
  }`)
  const want = { aborted: true, name: 'AbortError', message: 'The execution was cancelled: request.', heard: { reason: 'request' } }
  for (const late of [false, true]) {
    const call = hub.call(module, [late])
    await call.event('ready')
    call.cancel()
    assert.deepEqual(await value(call), { before: late, ...want })
  }
})

test('hub.execution and hub.env tell of the call and the module, and cannot be changed', async t => {
  const hub = await start(t)
  const module = await hub.load(t, `module.exports = (hub) => {
    'use strict'
    let frozen = 0
    for (const change of [() => { hub.env.A = 'x' }, () => { hub.execution.id = 'x' }, () => { hub.env = 1 }, () => { Object.getPrototypeOf(hub).emit = 1 }, () => { hub.log.info = 1 }]) try { change() } catch { frozen++ }
    return { execution: { ...hub.execution, trigger: hub.execution.trigger ?? null }, keys: Object.keys(hub.execution), env: hub.env, frozen, secret: process.env.A ?? null, own: Object.keys(hub), json: JSON.stringify(hub) }
  }`, { env: { A: '1', B: 'grüß' }, name: 'import', version: 3 })
  const keys = ['id', 'function', 'version', 'tenant', 'attempt', 'resumed', 'trigger', 'caller', 'parent', 'traceparent']
  const rest = { keys, env: { A: '1', B: 'grüß' }, frozen: 5, secret: null, own: [], json: '{}' }
  assert.deepEqual(await value(hub.call(module, [], { execution: '01JQ8Z6W3V9T2K4M5N7P8R0S1A' })),
    { execution: { id: '01JQ8Z6W3V9T2K4M5N7P8R0S1A', function: 'import', version: 3, tenant: 'acme', attempt: 1, resumed: false, trigger: null }, ...rest })
  const meta = { attempt: 2, resumed: true, trigger: { schedule: '* * * * *' }, caller: 'key1', parent: '01JQ8Z6W3V9T2K4M5N7P8R0S1B', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' }
  assert.deepEqual(await value(hub.call(module, [], { execution: 'x2', meta: JSON.stringify(meta) })),
    { execution: { id: 'x2', function: 'import', version: 3, tenant: 'acme', ...meta }, ...rest })
})

test('hub.log takes a message and its fields, or what console.log takes', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = ({ log }) => {
    log.debug('d', { a: 1, big: 1n, error: Object.assign(new RangeError('r'), { stack: 's' }) })
    log.info('plain')
    log.warn('%s is %d', 'x', 5, 'more')
    log.error(new Error('e').message, [1])
    const cycle = {}
    cycle.cycle = cycle
    log.info('cycle', cycle)
    log.info('a', 'b', { c: 1 })
    log.info({ only: 1 })
  }`), [])
  await call.end()
  assert.deepEqual(call.logs, [
    { level: 'debug', message: 'd', fields: { a: 1, big: '1', error: { name: 'RangeError', message: 'r', stack: 's' } } },
    { level: 'info', message: 'plain' },
    { level: 'warn', message: 'x is 5 more' },
    { level: 'error', message: 'e', fields: [1] },
    { level: 'info', message: 'cycle', fields: { text: '<ref *1> { cycle: [Circular *1] }' } },
    { level: 'info', message: 'a b { c: 1 }' },
    { level: 'info', message: '{ only: 1 }' }
  ])
})

test('an event over one frame arrives before the result of its call', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, 'module.exports = hub => { hub.emit("big", "é".repeat(1 << 20)); hub.emit("small", 1); return 1 }'), [])
  await call.end()
  assert.deepEqual(call.kinds, ['Event', 'Event', 'Result'])
  assert.equal(call.events[0][1].length, 1 << 20)
})

test('events of a function that blocks are sent while it does', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = hub => {
    const wait = new Int32Array(new SharedArrayBuffer(4))
    for (let i = 0; i < 40; i++) { hub.emit('n', i); Atomics.wait(wait, 0, 0, 20) }
  }`), [])
  await call.event('n')
  await hub.until(() => call.events.length > 3)
  assert.equal(call.final, undefined)
  await call.end()
})
