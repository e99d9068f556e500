// Durations as everywhere in livefn (../../internal/units): a number of milliseconds, or "500ms", "90s",
// "1h30m", "3d".
import { uncurry } from './primordials.js'

const units = { __proto__: null, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const MOST = 9_223_372_036_854 // ms; the hub counts in nanoseconds, in 63 bits
const charCodeAt = uncurry(String.prototype.charCodeAt)
const slice = uncurry(String.prototype.slice)
const { ceil } = Math

// milliseconds gives a duration in whole milliseconds, rounded up. It throws a TypeError for what is none.
export function milliseconds (duration) {
  const ms = typeof duration === 'number' ? ceil(duration) : typeof duration === 'string' ? read(duration) : NaN
  if (ms >= 0 && ms <= MOST) return ms
  const shown = typeof duration === 'string' ? `"${duration}"` : typeof duration === 'number' ? `${duration}` : `A value of type ${typeof duration}`
  throw new TypeError(`${shown} is not a duration: milliseconds, or "500ms", "90s", "2h", "3d".`)
}

// read gives NaN for what is none. Of several units each is smaller than the one before.
function read (text) {
  if (text === '') return NaN
  let sum = 0
  let above = Infinity
  for (let at = 0; at < text.length;) {
    const digits = at
    let n = 0
    for (; at < text.length && within(text, at, 48, 57); at++) n = n * 10 + charCodeAt(text, at) - 48
    const letters = at
    while (at < text.length && within(text, at, 97, 122)) at++
    if (letters === digits) return NaN
    if (digits === 0 && at === letters && at === text.length) return n
    const unit = units[slice(text, letters, at)]
    if (!(unit < above)) return NaN
    above = unit
    sum += n * unit
  }
  return sum
}

function within (text, at, first, last) {
  const c = charCodeAt(text, at)
  return c >= first && c <= last
}
