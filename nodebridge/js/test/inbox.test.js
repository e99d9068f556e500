import assert from 'node:assert/strict'
import { test } from 'node:test'
import { start } from './hub.js'

// What the process says here is what the next attempt gets: too little loses events that a client was told
// are safe, too much repeats what a listener has done.
test('a pause tells the highest number that came, and the numbers that no listener heard', async t => {
  const hub = await start(t)
  const module = await hub.load(t, `module.exports = hub => new Promise(() => {
    hub.events.on('heard', n => hub.emit('got', n))
    hub.events.on('stop', () => hub.pause('from here'))
    hub.emit('ready')
  })`)
  const call = hub.call(module, [])
  await call.event('ready')
  for (const [type, number] of [['heard', 3], ['late', 4], ['heard', 5], ['late', 6], ['unnumbered', 0], ['stop', 7], ['heard', 8]]) call.send(type, number, number)
  const final = await call.end()
  assert.deepEqual([final.kind, final.meta, final.json], ['Paused', { seen: 7, kept: [4, 6] }, ['from here']])
  assert.deepEqual(call.events.slice(1), [['got', 3], ['got', 5]])
})

test('an execution without numbered events has no meta in its pause', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = hub => new Promise(() => { hub.events.on("stop", () => hub.pause()); hub.emit("ready") })')
  const call = hub.call(module, [])
  await call.event('ready')
  call.send('other', 1)
  call.send('stop')
  assert.deepEqual([(await call.end()).meta, call.final.json], [undefined, []])
  const all = hub.call(module, [])
  await all.event('ready')
  all.send('stop', null, 2 ** 53 - 1)
  assert.deepEqual((await all.end()).meta, { seen: 2 ** 53 - 1 })
})

test('what was kept is heard one by one: a pause in the middle leaves the rest', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = async hub => {
    await new Promise(resolve => hub.events.on('go', resolve))
    hub.events.on('n', n => n === 3 ? hub.pause(n) : hub.emit('got', n))
    return new Promise(() => {})
  }`), [])
  for (let n = 1; n <= 5; n++) call.send('n', n, n)
  call.send('go', null, 6)
  const final = await call.end()
  assert.deepEqual([final.meta, final.json, call.events], [{ seen: 6, kept: [4, 5] }, [3], [['got', 1], ['got', 2]]])
})

test('a listener that is taken off leaves the rest to the next one, in order', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = async hub => {
    await new Promise(resolve => hub.events.on('go', resolve))
    const heard = []
    const one = () => new Promise(resolve => hub.events.once('n', resolve))
    for (let i = 0; i < 6; i++) heard.push(await one())
    return heard
  }`), [])
  for (let n = 1; n <= 4; n++) call.send('n', n, n)
  call.send('go')
  call.send('n', 5, 5)
  call.send('n', 6, 6)
  assert.deepEqual((await call.end()).json, [1, 2, 3, 4, 5, 6])
})

test('an event does not overtake those of its type that wait, when a listener is added between two frames', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = hub => new Promise(resolve => {
    const heard = []
    hub.events.on('go', () => hub.events.on('n', n => heard.push(n) === 3 && resolve(heard)))
    hub.emit('ready')
  })`), [])
  await call.event('ready')
  hub.down.cork() // one chunk
  call.send('n', 1, 1)
  call.send('n', 2, 2)
  call.send('go', null, 3)
  call.send('n', 3, 4)
  hub.down.uncork()
  assert.deepEqual((await call.end()).json, [1, 2, 3])
})

test('events that had to be dropped are still told as kept, so that the next attempt gets them', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, 'module.exports = hub => new Promise(() => { hub.events.on("stop", () => hub.pause()); hub.emit("ready") })'), [])
  await call.event('ready')
  for (let n = 1; n <= 1500; n++) call.send('n', n, n)
  call.send('stop', null, 1501)
  const { meta } = await call.end()
  assert.deepEqual(meta, { seen: 1501, kept: Array.from({ length: 1500 }, (_, i) => i + 1) })
})

test('sleep and waitFor pause with when to wake up', async t => {
  const hub = await start(t)
  const run = async body => {
    const f = await hub.run(t, `module.exports = hub => ${body}`)
    return [f.kind, f.meta, f.json]
  }
  assert.deepEqual(await run('hub.sleep("1h30m", "a", { b: 1 })'), ['Paused', { sleep: 5400000 }, ['a', { b: 1 }]])
  assert.deepEqual(await run('hub.sleep(0)'), ['Paused', { sleep: 0 }, []])
  assert.deepEqual(await run('hub.waitFor("größe\\"", { timeout: "3d" }, 1, undefined)'), ['Paused', { event: 'größe"', timeout: 259200000 }, [1, null]])
  assert.deepEqual(await run('hub.waitFor("approved")'), ['Paused', { event: 'approved' }, []])
  assert.deepEqual(await run('{ const { waitFor } = hub; return waitFor("approved", {}, 1) }'), ['Paused', { event: 'approved' }, [1]])
})

test('a wrong sleep or waitFor throws a TypeError, and pauses nothing', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = hub => ['hub.sleep()', 'hub.sleep("soon")', 'hub.sleep(-1)', 'hub.waitFor()', 'hub.waitFor("")', 'hub.waitFor("x".repeat(256))', 'hub.waitFor("a", 5)', 'hub.waitFor("a", [1])', 'hub.waitFor("a", { timeOut: 1 })', 'hub.waitFor("a", { timeout: "x" })']
    .map(source => { try { eval(source); return source } catch (err) { return err.name + ': ' + err.message } })`), [])
  const usage = 'hub.waitFor takes the type of an event, then options: { timeout }, then the arguments to resume with'
  const duration = 'is not a duration: milliseconds, or "500ms", "90s", "2h", "3d".'
  assert.deepEqual((await call.end()).json, [`A value of type undefined ${duration}`, `"soon" ${duration}`, `-1 ${duration}`,
    'The type of an event must be a string that is not empty.', 'The type of an event must be a string that is not empty.', 'The type of an event has 256 bytes; 255 is the limit.',
    `${usage}.`, `${usage}.`, `${usage}; it does not know timeOut.`, `"x" ${duration}`].map(message => `TypeError: ${message}`))
  const refused = await hub.run(t, 'module.exports = hub => hub.sleep(5, 1n)')
  assert.deepEqual([refused.kind, refused.json.code], ['Error', 'result_not_serializable'])
})

test('missing arguments are filled up with undefined to as many as the meta says, before the tail', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = function (a, b = "default", hub) { return [a, b, arguments.length, typeof arguments[arguments.length - 1].emit] }')
  const run = async (args, meta) => (await hub.call(module, args, { meta: JSON.stringify(meta) }).end()).json
  assert.deepEqual(await run([1], { attempt: 2 }), [1, 'default', 3, 'function'])
  assert.deepEqual(await run([1], { resumed: true, arguments: 4 }), [1, 'default', 5, 'function'])
  assert.deepEqual(await run([1, 2, 3], { arguments: 2 }), [1, 2, 4, 'function'])
  assert.deepEqual(await run(undefined, { arguments: 3 }), [null, 'default', 4, 'function'])
  const plain = await hub.load(t, 'module.exports = function () { return arguments.length }', { tail: false })
  assert.equal((await hub.call(plain, [1], { meta: '{"arguments":3}' }).end()).json, 3)
})
