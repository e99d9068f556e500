// The package as those get it who install it: its types, its exports, what is in it.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const here = name => fileURLToPath(new URL(name, import.meta.url))
const run = promisify(execFile)

/** Runs a tool from npm, and fails with what it says. */
async function tool (name, ...args) {
  try {
    return (await run(here(`../../../node_modules/.bin/${name}`), args, { cwd: here('..') })).stdout
  } catch ({ stdout, stderr }) {
    assert.fail(`${name} ${args.join(' ')}\n${stdout}${stderr}`)
  }
}

test('tsc --strict takes what is right and refuses what is wrong', () => tool('tsc', '--project', here('types')))

test('publint finds nothing', () => tool('publint', '--strict', '.'))

// Only import: there is no CommonJS build, which Node 20.19 and later don't need.
test('the types are found however one resolves them', () => tool('attw', '--pack', '.', '--profile', 'esm-only', '--no-emoji'))

test('what is published is the modules, the types and the README', async () => {
  const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: here('..') })
  const [{ files }] = JSON.parse(stdout)
  const wanted = /^((livefn|webhook)\.d\.ts|README\.md|LICENSE|package\.json|[a-z]+\.js)$/
  assert.deepEqual(files.map(file => file.path).filter(path => !wanted.test(path)), [])
})
