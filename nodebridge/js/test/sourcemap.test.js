import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import * as frames from '../frames.js'
import { folder, frame, start } from './hub.js'

const tsc = fileURLToPath(new URL('../../../node_modules/.bin/tsc', import.meta.url))

// Types, comments and blank lines that the compiler takes away, so that its lines differ from these.
const files = {
  'src/index.ts': `import { fail } from './lib/fail.js'

interface Row { id: number }

/** Fails in another file, after an await. */
export default async function find (id: number): Promise<Row> {
  type Unused = string
  console.error(new Error('printed'))
  await null
  return fail(id)
}
`,
  'src/lib/fail.ts': `type Failure = Error

export function fail (id: number): never {
  const failure: Failure = new TypeError(\`no row \${id}\`, { cause: new Error('why') })
  throw failure
}
`
}

// compiled gives the files of a project that tsc has compiled into dist.
function compiled (t, module, ...options) {
  const manifest = JSON.stringify({ type: module === 'commonjs' ? 'commonjs' : 'module', main: 'dist/index.js' })
  const dir = folder(t, { ...files, 'package.json': manifest })
  execFileSync(tsc, ['--outDir', 'dist', '--target', 'es2022', '--module', module, '--types', '', '--ignoreConfig', ...options, 'src/index.ts'], { cwd: dir })
  const found = { 'package.json': manifest }
  for (const name of readdirSync(join(dir, 'dist'), { recursive: true })) {
    if (/\.(js|map)$/.test(name)) found[`dist/${name}`] = readFileSync(join(dir, 'dist', name), 'utf8')
  }
  return found
}

for (const [name, module, ...options] of [
  ['CommonJS with a map beside it', 'commonjs', '--sourceMap'],
  ['CommonJS with a map within it', 'commonjs', '--inlineSourceMap'],
  ['an ES module with a map beside it', 'node20', '--sourceMap'],
  ['an ES module with a map within it', 'node20', '--inlineSourceMap']
]) {
  test(`what TypeScript throws and logs names its own lines: ${name}`, async t => {
    const hub = await start(t)
    const project = compiled(t, module, ...options)
    const call = hub.call(await hub.load(t, project), [7])
    const { json } = await call.end()
    assert.deepEqual({ ...json, stack: json.stack.split('\n') }, {
      code: 'function_error',
      name: 'TypeError',
      message: 'no row 7',
      stack: ['TypeError: no row 7', '    at fail (src/lib/fail.ts:4:28)', `    at find (src/index.ts:10:${module === 'commonjs' ? 14 : 10})`]
    })
    assert.deepEqual(call.logs.map(l => [l.level, l.message]), [['error', 'Error: printed\n    at find (src/index.ts:8:17)']])
  })
}

test('a map that is missing, torn, empty or from elsewhere changes nothing', async t => {
  const hub = await start(t)
  for (const link of ['gone.map', 'torn.map', 'data:application/json,{"version":3}', 'data:application/json;base64,e30', 'https://example.org/x.map', 'index.js', '']) {
    const call = hub.call(await hub.load(t, { 'index.js': `module.exports = () => { throw new Error('here') }\n//# sourceMappingURL=${link}\n`, 'torn.map': '{"version":3,"sources":["a.ts"],"mappings":"AAAA' }), [])
    assert.equal((await call.end()).json.stack, 'Error: here\n    at module.exports (index.js:1:32)', link)
  }
})

test('a logged error keeps its cause and its properties', async t => {
  const hub = await start(t)
  const call = hub.call(await hub.load(t, `module.exports = () => {
    console.error('before', Object.assign(new Error('outer', { cause: new TypeError('inner') }), { code: 'E1' }), 'after')
    console.log('    at nothing\\n    at all')
  }`), [])
  await call.end()
  assert.deepEqual(call.logs.map(l => l.message), [
    "before Error: outer\n    at module.exports (index.js:2:43) {\n  code: 'E1',\n  [cause]: TypeError: inner\n      at module.exports (index.js:2:71)\n} after",
    '    at nothing\n    at all'
  ])
})

test('what is unloaded and loaded anew has its new map', async t => {
  const hub = await start(t)
  const dir = folder(t, {})
  const mapped = async (sourceRoot, source, mappings) => {
    writeFileSync(join(dir, 'index.js'), 'module.exports = () => { throw new Error("here") }\n//# sourceMappingURL=index.js.map')
    writeFileSync(join(dir, 'index.js.map'), JSON.stringify({ version: 3, sourceRoot, sources: [source], names: [], mappings }))
    const loaded = await hub.loads(dir)
    const { stack } = (await hub.call(loaded.id, []).end()).json
    hub.write(frame(frames.Unload, loaded.id))
    return stack.split('\n')[1]
  }
  assert.equal(await mapped('', 'a.ts', 'AAAA'), '    at module.exports (a.ts:1:1)')
  assert.equal(await mapped('./src', 'b.ts', 'AACA'), '    at module.exports (src/b.ts:2:1)')
})
