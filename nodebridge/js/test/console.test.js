import assert from 'node:assert/strict'
import { test } from 'node:test'
import { start } from './hub.js'

const logsOf = async (t, body) => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = async (hub) => { ${body} }`), [])
  const f = await call.end()
  assert.equal(f.kind, 'Result', f.text)
  return call.logs.map(l => [l.level, l.message])
}

test('console writes logs with its methods as levels, formatted as always', async t => {
  assert.deepEqual(await logsOf(t, `
    console.log('a %s %d %j %o', 'b', 1.5, { c: 1 }, [1]); console.info({ a: { b: 1 } }); console.debug('d'); console.warn('w', 1); console.error(new TypeError('t').message)
    console.log(); console.log('two\\nlines'); console.log('é🙂')
    console.group('g'); console.log('in'); console.groupEnd(); console.table([{ a: 1 }]); console.assert(false, 'no'); console.dir({ a: 1 }); console.count()
  `), [
    ['info', 'a b 1.5 {"c":1} [ 1, [length]: 1 ]'], ['info', '{ a: { b: 1 } }'], ['debug', 'd'], ['warn', 'w 1'], ['error', 't'],
    ['info', ''], ['info', 'two\nlines'], ['info', 'é🙂'], ['info', 'g'], ['info', '  in'],
    ['info', '┌─────────┬───┐\n│ (index) │ a │\n├─────────┼───┤\n│ 0       │ 1 │\n└─────────┴───┘'],
    ['warn', 'Assertion failed: no'], ['info', '{ a: 1 }'], ['info', 'default: 1']
  ])
})

test('console.trace is a debug log with the function on its stack alone', async t => {
  const [[level, message]] = await logsOf(t, 'console.trace("here")')
  assert.equal(level, 'debug')
  assert.match(message, /^Trace: here\n {4}at module\.exports \(index\.js:1:43\)$/)
})

test('what is written to stdout and stderr becomes lines', async t => {
  assert.deepEqual(await logsOf(t, `
    process.stdout.write('par'); process.stderr.write('err\\r\\n'); process.stdout.write('tial\\nnext\\nrest')
    const bytes = Buffer.from('é'); process.stderr.write(bytes.subarray(0, 1)); process.stderr.write(new Uint8Array(bytes.subarray(1))); process.stderr.write('0a', 'hex')
    await new Promise(resolve => process.stdout.write('!', resolve)); await new Promise(resolve => process.stdout.write('?', 'utf8', resolve))
    require('node:stream').Readable.from(['piped\\n']).pipe(process.stdout); await new Promise(r => setTimeout(r, 5))
    try { process.stdout.write(5) } catch (err) { process.stdout.write(err.code) }
  `), [['error', 'err'], ['info', 'partial'], ['info', 'next'], ['error', 'é'], ['info', 'rest!?piped'], ['info', 'ERR_INVALID_ARG_TYPE']])
})

test('concurrent executions each get what they wrote', async t => {
  const hub = await start(t)
  const module = await hub.load(t, `module.exports = async n => {
    for (let i = 0; i < 5; i++) {
      console.log('log', n, i)
      process.stdout.write('part ' + n)
      await new Promise(r => setTimeout(r, (n * 7 + i) % 5))
      process.stdout.write(' ' + i + '\\n')
    }
  }`)
  const calls = Array.from({ length: 100 }, (_, n) => hub.call(module, [n]))
  for (const [n, call] of calls.entries()) {
    await call.end()
    assert.deepEqual(call.logs.map(l => l.message), [0, 1, 2, 3, 4].flatMap(i => [`log ${n} ${i}`, `part ${n} ${i}`]))
  }
})

test('a line over 64 KiB is cut, and says so', async t => {
  const logs = await logsOf(t, `console.log('x'.repeat(70000)); console.log('x' + 'é'.repeat(40000)); console.log('x'.repeat(65536)); hub.log.info('y'.repeat(70000))`)
  assert.deepEqual(logs.map(([, m]) => [Buffer.byteLength(m.replace(/….*/, '')), m.replace(/^[xyé]*/, '')]),
    [[65536, '… [cut: 70000 bytes]'], [65535, '… [cut: 80001 bytes]'], [65536, ''], [65536, '… [cut: 70000 bytes]']])
})

test('what is logged after the end is a log of nobody that names the execution', async t => {
  const hub = await start(t)
  await hub.call(await hub.load(t, 'module.exports = hub => { setTimeout(() => { console.log("late"); process.stdout.write("part"); hub.log.warn("l", { a: 1 }) }, 5) }', { name: 'f', version: 2 }), [], { execution: 'x7' }).end()
  await hub.next(f => f.kind === 'Log' && f.json.message === 'l')
  const about = { execution: 'x7', function: 'f', version: 2 }
  assert.deepEqual(hub.frames.filter(f => f.kind === 'Log').map(f => [f.id, f.json]), [
    [0, { level: 'info', message: 'late', fields: about }], [0, { level: 'info', message: 'part', fields: about }], [0, { level: 'warn', message: 'l', fields: { ...about, fields: { a: 1 } } }]
  ])
})

test('writes to the descriptors themselves never touch the protocol', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `const fs = require('node:fs'); const { execFileSync } = require('node:child_process')
    module.exports = () => { fs.writeSync(1, 'to 1\\n'); fs.writeSync(2, 'to 2\\n'); execFileSync('sh', ['-c', 'echo child; echo 3 >&3 || echo closed; echo 4 >&4 || echo closed'], { stdio: 'inherit' }); return 1 }`), [])
  assert.equal((await call.end()).json, 1)
  await hub.close()
  assert.match(hub.stdout, /to 1\nchild\n/)
  assert.match(hub.stderr, /to 2\n/)
})
