const assert = require('node:assert/strict')
const { test } = require('node:test')
const _ = require('lodash')
const oldest = require('..')

const people = [{ name: 'Ada', age: 36 }, { name: 'Grace', age: 85 }, { name: 'Alan', age: 41 }]

test('finds the oldest, with lodash 4', () => {
  assert.deepEqual(oldest(people), {
    lodash: '4.18.1',
    oldest: { name: 'Grace', age: 85 },
    names: ['Ada', 'Grace', 'Alan']
  })
})

test('the other major would not do: lodash 4 has no pluck', () => {
  assert.equal(_.pluck, undefined)
})
