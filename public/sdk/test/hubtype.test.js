// The type that editors show for a function's last argument, and the object that the bridge gives it.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Hub } from '../../../nodebridge/js/tail.js'

test('the type Hub has exactly the members that a function is given', () => {
  const types = readFileSync(new URL('../livefn.d.ts', import.meta.url), 'utf8')
  const [, body] = /export interface Hub \{\n(.*?)\n\}/s.exec(types)
  const typed = [...body.matchAll(/^ {2}readonly (\w+)/gm)].map(match => match[1])
  const given = Object.getOwnPropertyNames(Hub.prototype).filter(name => name !== 'constructor')
  assert.deepEqual(typed.sort(), given.sort())
})
