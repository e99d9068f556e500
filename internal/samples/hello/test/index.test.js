const assert = require('node:assert/strict')
const { test } = require('node:test')
const hello = require('..')

test('greets by name, and the world without one', () => {
  assert.equal(hello('Ada'), 'Hello, Ada!')
  assert.equal(hello(), 'Hello, world!')
})

test('logs who it greets', () => {
  const lines = []
  hello('Ada', { log: { info: (...line) => lines.push(line) } })
  assert.deepEqual(lines, [['somebody says hello', { name: 'Ada' }]])
})
