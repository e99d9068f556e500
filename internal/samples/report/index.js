// Adds up the orders in orders.csv: revenue by country, category and month, and the best customers.
//
// It works in slices. After each it says how far it is, and if it is asked to pause, it returns what
// it needs to go on: its options, and a state of plain JSON. Revenue is counted in cents, so that
// the result is the same to the last digit however often it was paused on the way.
const { createReadStream, readFileSync } = require('node:fs')
const { join } = require('node:path')
const { setImmediate: turn, setTimeout: delay } = require('node:timers/promises')
const { parse } = require('csv-parse')
const _ = require('lodash')

const file = join(__dirname, 'orders.csv')

/**
 * @param options {rowsPerSecond, top}: how fast at most, to watch it work (0: as fast as it can), and
 *   how many of the best customers to list
 * @param state where an earlier run stopped
 * @param hub the tail object; absent when it runs without livefn
 */
module.exports = async function report (options = {}, state, hub) {
  let { rowsPerSecond = 0, top = 10 } = options ?? {}
  state ??= { done: 0, of: count(file), byte: 0, header: null, cents: { country: {}, category: {}, month: {}, customer: {} } }

  let wake = new AbortController() // ends a wait early: somebody wants something
  const interrupt = () => { wake.abort(); wake = new AbortController() }
  hub?.events.on('speed', speed => {
    rowsPerSecond = Math.max(0, Number(speed?.rowsPerSecond ?? speed) || 0)
    hub.emit('speed', { rowsPerSecond })
    interrupt()
  })
  hub?.events.on('pause', interrupt)
  hub?.signal.addEventListener('abort', interrupt)

  const input = createReadStream(file, { start: state.byte })
  // Without a header of its own yet, the parser reads it, and tells it before the first row.
  const rows = input.pipe(parse({ columns: state.header ?? (names => (state.header = names)), info: true }))
  const from = state.byte
  let slice = 0
  let begun = Date.now()
  try {
    for await (const { record, info } of rows) {
      add(state.cents, record)
      state.done++
      state.byte = from + info.bytes
      if (++slice < sliceAt(rowsPerSecond)) continue

      hub?.emit('progress', { done: state.done, of: state.of })
      if (rowsPerSecond > 0) {
        const early = slice / rowsPerSecond * 1000 - (Date.now() - begun)
        if (early > 0) await delay(early, null, { signal: wake.signal }).catch(() => {})
      }
      await turn() // events come in between slices
      if (hub?.pausing) return hub.pause({ ...options, rowsPerSecond }, state)
      hub?.signal.throwIfAborted()
      slice = 0
      begun = Date.now()
    }
  } finally {
    input.destroy()
  }
  hub?.emit('progress', { done: state.done, of: state.of })
  return summary(state, top)
}

// Ten slices a second when it is slowed down, a thousand rows each when it is not.
function sliceAt (rowsPerSecond) {
  return rowsPerSecond > 0 ? _.clamp(Math.round(rowsPerSecond / 10), 1, 1000) : 1000
}

// One line an order, and one of names.
function count (file) {
  let lines = 0
  for (const byte of readFileSync(file)) if (byte === 10) lines++
  return lines - 1
}

function add (cents, order) {
  const amount = Math.round(Number(order.quantity) * Math.round(order.unit_price * 100) * (1 - Number(order.discount)))
  const bump = (group, key) => { group[key] = (group[key] ?? 0) + amount }
  bump(cents.country, order.country)
  bump(cents.category, order.category)
  bump(cents.month, order.date.slice(0, 7))
  bump(cents.customer, order.customer)
}

function summary ({ done, cents }, top) {
  const table = (group, name) => _.map(group, (amount, key) => ({ [name]: key, revenue: amount / 100 }))
  const best = (group, name) => _.orderBy(table(group, name), ['revenue', name], ['desc', 'asc'])
  return {
    orders: done,
    revenue: _.sum(_.values(cents.country)) / 100,
    countries: best(cents.country, 'country'),
    categories: best(cents.category, 'category'),
    months: _.sortBy(table(cents.month, 'month'), 'month'),
    customers: _.take(best(cents.customer, 'customer'), top)
  }
}
