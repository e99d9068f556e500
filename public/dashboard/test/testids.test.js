import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'

const read = path => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')

// Browser tests are written against the list in main.js, so it must be the truth.
test('main.js lists exactly the test ids that views set', () => {
  const listed = read('main.js').split('data-testid:')[1].split('import')[0]
    .split('\n').map(line => line.slice(5, 36)) // the column of names
    .join(' ').match(/[a-z]+(-[a-z]+)*(-<[a-z]+>)?/g)
  const set = new Set()
  for (const file of readdirSync(new URL('../views/', import.meta.url))) {
    const source = read(`views/${file}`)
    for (const match of source.matchAll(/(?:'data-testid'|testid): ['`]([^'`]+)['`]|chip\(['`]([^'`]+)['`]\)|section\('[^']+', '([^']+)'\)/g)) {
      set.add((match[1] ?? match[2] ?? match[3]).replace(/\$\{(?:fn|x|v|bridge)\.(\w+)\}/, '<$1>'))
    }
  }
  assert.deepEqual([...set].sort(), [...new Set(listed)].sort())
})
