/**
 * How long to wait before attempt n (from 0), in ms: "full jitter", evenly from 0 to
 * min(cap, base · 2ⁿ), which spreads clients that were dropped together best.
 * Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export function backoff (n, { base = 250, cap = 15_000, random = Math.random } = {}) {
  return random() * Math.min(cap, base * 2 ** n)
}
