const assert = require('node:assert/strict')
const { test } = require('node:test')
const add = require('..')

test('adds', () => {
  assert.equal(add(1, 2), 3)
})
