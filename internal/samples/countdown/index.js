// Each yield is an event, and a piece of a streamed answer. Asked to pause, it goes on later from
// the number it had reached.
const { setTimeout: delay } = require('node:timers/promises')

module.exports = async function * countdown (from = 10, milliseconds = 1000, hub) {
  for (let n = from; n > 0; n--) {
    if (hub?.pausing) return hub.pause(n, milliseconds)
    yield n
    await delay(milliseconds, null, { signal: hub?.signal })
  }
  return 'lift-off'
}
