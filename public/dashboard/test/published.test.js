import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Published } from '../published.js'

/** A hub of the given answers, and what is asked of it; an answer that is a promise is waited for. */
function hub (answers) {
  const asked = []
  return { asked, api: async path => { asked.push(path); const a = await answers[path]; if (a instanceof Error) throw a; return a } }
}

const answers = {
  '/functions/f/versions': { items: [{ version: 1 }, { version: 2 }, { version: 3 }] },
  '/functions/f/aliases': { items: [{ name: 'canary', weights: { 2: 2, 3: 1 } }, { name: 'prod', version: 2 }] },
  '/functions/f/versions/2': { log: 'added 1 package' },
  '/triggers': { items: [{ name: 'a', function: 'f' }, { name: 'b', function: 'g' }, { name: 'c', function: 'f@prod' }] }
}
const copy = () => structuredClone(answers)

test('versions come newest first, with the aliases that mean them, beside the function\'s triggers', async () => {
  const changes = []
  const p = new Published('f', hub(copy()).api, () => changes.push(p.versions))
  await p.load()
  assert.deepEqual(p.versions.map(v => [v.version, p.labels(v.version, 3)]), [[3, ['latest', 'canary 33.3 %']], [2, ['canary 66.7 %', 'prod']], [1, []]])
  assert.deepEqual(p.triggers.map(trigger => trigger.name), ['a', 'c'])
  assert.equal(changes.at(-1), p.versions)
})

test('an answer that comes late does not replace a newer one', async () => {
  let late
  const first = { ...copy(), '/functions/f/versions': new Promise(resolve => { late = resolve }) }
  const p = new Published('f', path => hub(first).api(path), () => {})
  const waiting = first['/functions/f/versions']
  first['/functions/f/versions'] = { items: [{ version: 7 }] }
  await p.load()
  late({ items: [{ version: 1 }] })
  await waiting
  await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual(p.versions, [{ version: 7 }])
})

test('a log is loaded once, and again only if that failed', async () => {
  const h = hub({ ...copy(), '/functions/f/versions/1': new Error('gone') })
  const p = new Published('f', h.api, () => {})
  await p.load()
  h.asked.length = 0
  for (const version of [2, 2, 1, 1]) await p.open(version)
  assert.deepEqual(h.asked, ['/functions/f/versions/2', '/functions/f/versions/1', '/functions/f/versions/1'])
  assert.deepEqual([p.detail(2), p.detail(1).error.message, p.detail(3)], [{ log: 'added 1 package' }, 'gone', undefined])
})
