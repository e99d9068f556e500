import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hide, hideJSON, merge, secretsOf } from '../secrets.js'
import { start } from './hub.js'

const env = { TOKEN: 'tok-"12345"-hush', PIN: '12345678', SHORT: 'short', PEM: '-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\n-----END KEY-----\n' }
const values = [...Object.values(env).filter(v => v.length >= 8), 'MIIEowIBAAKCAQEA', 'tok-\\"12345\\"-hush']

function clean (text) { for (const value of values) assert.ok(!text.includes(value), `${value} is in ${text}`) }

test('secrets are hidden in all that a function logs', async t => {
  const hub = await start(t)
  const module = await hub.load(t, `
    console.log('loading with', ${JSON.stringify(env.TOKEN)})
    module.exports = async hub => {
      const { TOKEN, PIN, PEM, SHORT } = hub.env
      console.log('plain', TOKEN, SHORT)
      console.error({ TOKEN, PEM })
      console.trace(TOKEN)
      process.stdout.write(PEM)
      process.stderr.write(TOKEN.slice(0, 5)); process.stderr.write(TOKEN.slice(5) + '\\n')
      process.stdout.write(Buffer.from('unfinished ' + TOKEN))
      hub.log.info('fields', { TOKEN, [TOKEN]: 1, pin: +PIN, list: [PEM, { b: TOKEN }], text: JSON.stringify({ TOKEN }), n: 1 })
      hub.log.warn(new Error(TOKEN))
      hub.log.error('with', new Error(TOKEN))
      setTimeout(() => console.log('after the end', TOKEN), 20)
      return 'done'
    }`, { env })
  const call = hub.call(module, [])
  assert.equal((await call.end()).json, 'done')
  await hub.next(f => f.kind === 'Log' && f.id === 0 && f.json.message.includes('after the end'))
  const logs = hub.frames.filter(f => f.kind === 'Log')
  assert.ok(logs.length >= 12, `${logs.length} logs`)
  for (const f of logs) clean(f.text)
  const messages = logs.map(f => f.json.message)
  assert.ok(messages.includes('plain *** short'), messages.join('\n'))
  assert.ok(messages.includes('unfinished ***'))
  const { fields } = logs.find(f => f.json.message === 'fields').json
  assert.deepEqual([fields.TOKEN, fields['***'], fields.pin, fields.list[0], fields.text, fields.n], ['***', 1, '***', '***', '{"TOKEN":"***"}', 1])
  clean(hub.stdout + hub.stderr)
})

test('secrets are hidden in what a function throws, wherever nobody catches it', async t => {
  const hub = await start(t)
  const module = await hub.load(t, `module.exports = (how, hub) => {
    const { TOKEN } = hub.env
    class Wrong extends Error { name = TOKEN }
    if (how === 'throw') throw new Wrong('no ' + TOKEN)
    if (how === 'string') throw TOKEN
    if (how === 'object') throw { TOKEN }
    if (how === 'later') return new Promise(() => { setTimeout(() => { throw new Error(TOKEN) }, 1) })
    if (how === 'result') return { toJSON () { throw new Error(TOKEN) } }
    if (how === 'long') throw new Error('x'.repeat(65536 - 5) + TOKEN)
    if (how === 'paused') { hub.events.emit('paused', { toJSON () { throw new Error(TOKEN) } }); return 1 }
  }`, { env })
  for (const how of ['throw', 'string', 'object', 'later', 'result', 'long', 'paused']) {
    const call = hub.call(module, [how])
    const final = await call.end()
    assert.equal(final.kind, how === 'paused' ? 'Result' : 'Error', how)
    for (const f of call.frames) {
      clean(f.text)
      assert.ok(!f.text.includes('tok-'), `${how}: a part is in ${f.text.slice(-100)}`)
    }
    if (how === 'throw') assert.deepEqual([final.json.name, final.json.message], ['***', 'no ***'])
  }
})

test('a module that throws its secret while it is loaded does not show it', async t => {
  const hub = await start(t)
  const { folder } = await import('./hub.js')
  const answer = await hub.loads(folder(t, `throw new Error(${JSON.stringify('bad ' + env.TOKEN)})`), { env })
  assert.equal(answer.kind, 'LoadFailed')
  clean(answer.text)
  assert.equal(answer.json.message, 'bad ***')
})

test('results, events and resume arguments are the function\'s own to choose', async t => {
  const hub = await start(t)
  const module = await hub.load(t, 'module.exports = hub => { hub.emit("told", hub.env.TOKEN); return hub.env.TOKEN }', { env })
  const call = hub.call(module, [])
  assert.equal((await call.end()).json, env.TOKEN)
  assert.deepEqual(call.events, [['told', env.TOKEN]])
})

test('of one secret within another nothing stays', () => {
  const secrets = secretsOf({ A: 'abcdefgh', B: 'abcdefgh-and-more' })
  assert.equal(hide('x abcdefgh-and-more y abcdefgh z', secrets), 'x *** y *** z')
  assert.equal(hide('a $& b'.repeat(3), secrets), 'a $& b'.repeat(3))
  assert.equal(secretsOf({ A: 'short', B: '' }), null)
  assert.deepEqual(merge([['12345678'], ['1234567890', '12345678']]), ['1234567890', '12345678'])
  assert.equal(merge([]), null)
})

test('JSON without secrets is not touched, and with them stays JSON', () => {
  const secrets = secretsOf({ A: '12345678', B: 'line one\nline two' })
  assert.equal(hideJSON('{"a" : 1}', secrets), '{"a" : 1}')
  assert.equal(hideJSON('{"a":12345678,"b":["12345678"],"c":"line one\\nline two","__proto__":"x12345678"}', secrets), '{"a":"***","b":["***"],"c":"***","__proto__":"x***"}')
  assert.equal(hideJSON('['.repeat(20000) + '12345678' + ']'.repeat(20000), secrets), '"***"')
})
