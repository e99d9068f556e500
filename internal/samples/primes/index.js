// Each yield is an event, and a piece of a streamed answer. Asked to pause, it goes on later from
// the number it had reached.
const { setTimeout: delay } = require('node:timers/promises')

module.exports = async function * primes (below = 100, milliseconds = 100, from = 2, hub) {
  for (let n = from; n < below; n++) {
    if (!isPrime(n)) continue
    if (hub?.pausing) return hub.pause(below, milliseconds, n)
    yield n
    await delay(milliseconds, null, { signal: hub?.signal })
  }
}

function isPrime (n) {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false
  return true
}
