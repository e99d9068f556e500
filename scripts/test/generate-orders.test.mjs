import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { orders } from '../generate-orders.mjs'

test('generating the orders again gives the committed bytes', () => {
  const committed = readFileSync(new URL('../../internal/samples/report/orders.csv', import.meta.url), 'utf8')
  // Compared as a boolean: a difference would print megabytes.
  assert.ok(orders() === committed, 'orders.csv is not what scripts/generate-orders.mjs makes: run it again, or take its change back')
})

test('another seed gives other orders', () => {
  assert.ok(orders(1) !== orders(2))
})
