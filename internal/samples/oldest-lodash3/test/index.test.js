const assert = require('node:assert/strict')
const { test } = require('node:test')
const _ = require('lodash')
const oldest = require('..')

const people = [{ name: 'Ada', age: 36 }, { name: 'Grace', age: 85 }, { name: 'Alan', age: 41 }]

test('finds the oldest, with lodash 3', () => {
  assert.deepEqual(oldest(people), {
    lodash: '3.10.1',
    oldest: { name: 'Grace', age: 85 },
    names: ['Ada', 'Grace', 'Alan']
  })
})

test('the other major would not do: lodash 3 has no maxBy', () => {
  assert.equal(_.maxBy, undefined)
})
