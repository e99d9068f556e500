import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as frames from '../frames.js'
import { folder, frame, start } from './hub.js'

const value = async (hub, answer, args = []) => {
  assert.equal(answer.kind, 'Loaded', answer.text)
  return (await hub.call(answer.id, args).end()).json
}

test('modules of every kind load', async t => {
  const hub = await start(t)
  for (const [name, files] of Object.entries({
    'module.exports': { 'index.js': 'module.exports = () => 1' },
    'exports.default': { 'index.js': 'Object.defineProperty(exports, "__esModule", { value: true }); exports.default = () => 1' },
    'ES module by extension': { 'index.mjs': 'export default () => 1' },
    'ES module by type': { 'index.js': 'export default async () => 1', 'package.json': '{"type":"module"}' },
    'ES module by its text': { 'index.js': 'import { join } from "node:path"\nexport default () => join ? 1 : 0' },
    'ES module with await': { 'index.mjs': 'const one = await Promise.resolve(1)\nexport { f as default }\nfunction f () { return one }' },
    'ES module of CommonJS': { 'index.mjs': 'export { default } from "./x.cjs"', 'x.cjs': 'module.exports = () => 1' },
    main: { 'lib/a.js': 'module.exports = require("./b")', 'lib/b.js': 'module.exports = () => 1', 'package.json': '{"main":"lib/a"}' },
    'main as a folder': { 'lib/index.js': 'module.exports = () => 1', 'package.json': '{"main":"./lib"}' },
    'main that is missing': { 'index.js': 'module.exports = () => 1', 'package.json': '{"main":"gone.js"}' },
    exports: { 'a.js': 'module.exports = () => 1', 'package.json': '{"exports":"./a.js"}' },
    'exports with conditions': { 'a.mjs': 'export default () => 1', 'b.cjs': 'module.exports = () => 2', 'package.json': '{"exports":{".":{"import":{"types":"./a.d.ts","default":"./a.mjs"},"require":"./b.cjs"},"./x":"./x.js"}}' },
    'exports for require alone': { 'b.cjs': 'module.exports = () => 1', 'package.json': '{"exports":{"require":"./b.cjs"}}' },
    'text that looks like an ES module': { 'index.js': 'const s = `\nexport default 5\n`\nmodule.exports = () => s.length - 17' },
    'package.json with a byte order mark': { 'index.js': 'module.exports = () => 1', 'package.json': '\uFEFF{"type":"commonjs"}' },
    'a name that wants escaping': { 'a b#%25ü.mjs': 'export default () => 1', 'package.json': '{"main":"a b#%25ü.mjs"}' }
  })) assert.equal(await value(hub, await hub.loads(folder(t, files))), 1, name)
})

test('two versions of one package stand side by side', async t => {
  const hub = await start(t)
  const of = v => folder(t, {
    'index.js': 'const p = require("pkg"); module.exports = () => [p.version, p.next()]',
    'node_modules/pkg/index.js': `let n = 0; exports.version = ${v}; exports.next = () => ++n`,
    'node_modules/pkg/package.json': `{"name":"pkg","version":"${v}.0.0"}`
  })
  const [one, two] = [await hub.loads(of(1)), await hub.loads(of(2))]
  assert.deepEqual(await value(hub, one), [1, 1])
  assert.deepEqual(await value(hub, two), [2, 1])
  assert.deepEqual(await value(hub, one), [1, 2])
})

test('what cannot be loaded is told with file and line, relative to the folder', async t => {
  const hub = await start(t)
  const failure = async files => {
    const answer = await hub.loads(folder(t, files))
    assert.equal(answer.kind, 'LoadFailed')
    assert.doesNotMatch(answer.text, /livefn-js-|nodebridge/)
    return answer.json
  }
  const told = async files => {
    const { name, message } = await failure(files)
    return `${name}: ${message}`
  }
  const how = 'Write module.exports = function … or export default function ….'
  assert.equal(await told({ 'index.js': '' }), `TypeError: The module exports nothing. ${how}`)
  assert.equal(await told({ 'index.mjs': 'const a = 1' }), `TypeError: The module exports nothing. ${how}`)
  assert.equal(await told({ 'index.js': 'module.exports = 5' }), `TypeError: The module exports a number, not a function. ${how}`)
  assert.equal(await told({ 'index.js': 'module.exports = null' }), `TypeError: The module exports null, not a function. ${how}`)
  assert.equal(await told({ 'index.js': 'module.exports = [() => 1]' }), `TypeError: The module exports an array, not a function. ${how}`)
  assert.equal(await told({ 'index.js': 'exports.handler = () => 1' }), `TypeError: The module exports an object with handler, not a function. ${how}`)
  assert.equal(await told({ 'index.mjs': 'export const handler = () => 1' }), `TypeError: The module exports an object with handler, not a function. ${how}`)
  assert.equal(await told({ 'index.js': 'module.exports = class A {}' }), `TypeError: The module exports a class, not a function. ${how}`)
  assert.equal(await told({ 'a.txt': '' }), 'Error: There is neither index.js nor index.mjs, and package.json names no main.')
  assert.equal(await told({ 'package.json': '{"main":"gone"}' }), 'Error: package.json names gone as main, which does not exist.')
  assert.equal(await told({ 'package.json': '{"exports":"./gone.js"}' }), 'Error: package.json exports ./gone.js, which does not exist.')
  assert.match(await told({ 'package.json': '{', 'index.js': '' }), /^Error: package\.json is not JSON: /)
  assert.match(await told({ 'index.js': 'const a = 1\nconst b = }\n' }), /^SyntaxError: index\.js:2: Unexpected token '}'/)
  assert.match(await told({ 'index.js': 'require("./lib/x")', 'lib/x.js': '\n\nlet let = 1' }), /^SyntaxError: lib\/x\.js:3: /)
  assert.match(await told({ 'index.mjs': 'const a = 1\nconst b = }\n' }), /^SyntaxError: index\.mjs:2: Unexpected token '}'/)
  assert.match(await told({ 'index.mjs': 'import "./x.mjs"', 'x.mjs': '\nlet let = 1' }), /^SyntaxError: x\.mjs:2: /)
  assert.match(await told({ 'index.mjs': '\nimport { gone } from "./x.mjs"', 'x.mjs': '' }), /^SyntaxError: index\.mjs:2: .*does not provide an export named 'gone'/)
  assert.match(await told({ 'index.js': 'require("left-pad")' }), /^Error: Cannot find module 'left-pad'/)
  assert.match(await told({ 'index.mjs': 'import "left-pad"' }), /^Error: Cannot find package 'left-pad' imported from index\.mjs/)
  assert.equal(await told({ 'index.js': 'throw "text"' }), 'Error: text')
  assert.equal(await told({ 'index.js': 'throw new Proxy({}, { get () { throw 1 }, getPrototypeOf () { throw 2 } })' }).then(s => s.startsWith('Error: ')), true)
  const { stack } = await failure({ 'index.js': '\nfunction f () { throw new RangeError("at load") }\nf()' })
  assert.match(stack, /^RangeError: at load\n {4}at f \(index\.js:2:23\)\n {4}at Object\.<anonymous> \(index\.js:3:1\)/)
})

test('a folder that failed loads once it is right, and a changed one anew after Unload', async t => {
  const hub = await start(t)
  for (const [file, wrong, right] of [['index.js', 'module.exports = }', 'module.exports = () => 1'], ['index.mjs', 'throw new Error("first")', 'export default () => 1']]) {
    const dir = folder(t, { [file]: wrong })
    assert.equal((await hub.loads(dir)).kind, 'LoadFailed')
    writeFileSync(join(dir, file), right)
    assert.equal(await value(hub, await hub.loads(dir)), 1)
  }
  const dir = folder(t, { 'index.js': 'module.exports = require("./lib")', 'lib.js': 'module.exports = () => 1' })
  const first = await hub.loads(dir)
  assert.equal(await value(hub, first), 1)
  hub.write(frame(frames.Unload, first.id))
  writeFileSync(join(dir, 'lib.js'), 'module.exports = () => 2')
  assert.equal(await value(hub, await hub.loads(dir)), 2)
  assert.equal((await hub.call(first.id, []).end()).json.code, 'version_broken')
})

test('what a module prints, throws later or exits with while it loads is not of an execution', async t => {
  const hub = await start(t)
  const printed = await hub.loads(folder(t, 'console.log("loading %d", 1); process.stdout.write("part"); module.exports = () => 1'), { name: 'printer', version: 4 })
  assert.equal(printed.kind, 'Loaded')
  assert.deepEqual(hub.frames.filter(f => f.kind === 'Log').map(f => [f.id, f.json]), [
    [0, { level: 'info', message: 'loading 1', fields: { function: 'printer', version: 4 } }],
    [0, { level: 'info', message: 'part', fields: { function: 'printer', version: 4 } }]
  ])
  const exits = await hub.loads(folder(t, 'try { process.exit(3) } catch {} module.exports = () => 1'))
  assert.equal(exits.json.name, 'ProcessExit')
  const later = await hub.loads(folder(t, 'setTimeout(() => { throw new Error("later") }, 5); module.exports = () => 1'), { name: 'later' })
  assert.equal(later.kind, 'Loaded')
  const log = await hub.next(f => f.kind === 'Log' && f.json.level === 'error')
  assert.match(log.json.message, /^Uncaught Error: later\n {4}at Timeout\._onTimeout \(index\.js:1:26\)/)
  const waiting = await hub.loads(folder(t, { 'index.mjs': 'setTimeout(() => { throw new Error("while") }, 5); await new Promise(() => {})' }))
  assert.equal(waiting.json.message, 'while')
})
