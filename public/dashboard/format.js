// How things are written for people.

/** 0.42 ms, 18 ms, 3.2 s, 4 min 12 s, 2 h 5 min, 3 d 4 h */
export function duration (ms) {
  if (!Number.isFinite(ms) || ms < 0) return ''
  if (ms < 10) return `${ms.toFixed(ms < 1 ? 2 : 1)} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  const s = ms / 1000
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.floor(s)} s`
  const two = (big, unit, small, rest) => rest ? `${big} ${unit} ${rest} ${small}` : `${big} ${unit}`
  if (s < 3600) return two(Math.floor(s / 60), 'min', 's', Math.floor(s % 60))
  if (s < 86400) return two(Math.floor(s / 3600), 'h', 'min', Math.floor(s % 3600 / 60))
  return two(Math.floor(s / 86400), 'd', 'h', Math.floor(s % 86400 / 3600))
}

/** 14:03:07.120, in the reader's zone. */
export function clock (time) {
  const d = new Date(time)
  const two = n => String(n).padStart(2, '0')
  return Number.isNaN(+d) ? '' : `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, '0')}`
}

/** A duration between two times that are known to the millisecond. */
export function between (from, to) {
  const ms = Math.max(0, new Date(to) - new Date(from))
  return ms < 1 ? '< 1 ms' : ms < 1000 ? `${ms} ms` : duration(ms)
}

/** just now, 40 s ago, 3 min ago, then the date. */
export function ago (time, now = Date.now()) {
  const s = (now - new Date(time)) / 1000
  if (!Number.isFinite(s)) return ''
  if (s < 5) return 'just now'
  if (s < 60) return `${Math.floor(s)} s ago`
  if (s < 3600) return `${Math.floor(s / 60)} min ago`
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`
  return new Date(time).toLocaleDateString(undefined, { day: 'numeric', month: 'short' })
}

/** The end of an id: what differs between two of them. */
export function shortId (id) {
  return id.length > 10 ? id.slice(-8) : id
}

export function count (n, one, many = `${one}s`) {
  return `${n.toLocaleString()} ${n === 1 ? one : many}`
}

/** 640 KiB, 41 MiB, 1.2 GiB */
export function size (bytes) {
  if (!Number.isFinite(bytes)) return ''
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let at = 0
  while (bytes >= 1024 && at < units.length - 1) { bytes /= 1024; at++ }
  return `${bytes < 10 && at > 0 ? bytes.toFixed(1) : Math.round(bytes)} ${units[at]}`
}

const LIMIT = 20_000 // characters of JSON that are shown

/** Fills an element with a value as JSON, tokens marked up, too much of it cut. */
export function json (element, value, { indent = 2 } = {}) {
  const whole = value === undefined ? 'undefined' : JSON.stringify(value, null, indent)
  const shown = whole.length > LIMIT ? whole.slice(0, LIMIT) : whole
  element.replaceChildren()
  let last = 0
  for (const match of shown.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|-?\d[\d.eE+-]*|\btrue\b|\bfalse\b|\bnull\b/g)) {
    const [token, colon] = match
    element.append(shown.slice(last, match.index))
    const span = document.createElement('span')
    span.className = colon ? 'j-name' : token[0] === '"' ? 'j-text' : /[tfn]/.test(token[0]) ? 'j-word' : 'j-number'
    span.textContent = colon ? token.slice(0, -colon.length) : token
    element.append(span, colon ?? '')
    last = match.index + token.length
  }
  element.append(shown.slice(last))
  if (shown !== whole) element.append(`\n… ${(whole.length - shown.length).toLocaleString()} more characters`)
  return element
}

/** Reads JSON; what it throws says what is wrong without the engine's noise. */
export function parseJSON (text) {
  try {
    return JSON.parse(text)
  } catch (cause) {
    const where = cause.message.replace(/^JSON\.parse: /, '').replace(/, "[^]*" is not valid JSON$/, '').replace(/ in JSON/, '').replace(/\.$/, '')
    throw new Error(`Not JSON: ${where}.`, { cause })
  }
}

/** What stands in an arguments field: [] for nothing, an array as it is, anything else as the one argument. */
export function parseArgs (text) {
  if (text.trim() === '') return []
  const value = parseJSON(text)
  return Array.isArray(value) ? value : [value]
}

/** The settings of a function that differ from nothing, as short labels. */
export function settings (fn) {
  const s = fn.settings ?? {}
  const labels = []
  if (s.public) labels.push('public')
  if (s.idempotent) labels.push('idempotent')
  if (s.concurrency) labels.push(`${s.concurrency} at once`)
  if (s.timeout) labels.push(`timeout ${span(s.timeout)}`)
  if (s.retries?.attempts) labels.push(count(s.retries.attempts, 'attempt'))
  if (s.triggers?.length) labels.push(count(s.triggers.length, 'trigger'))
  const secrets = Object.keys(s.env ?? {}).length
  if (secrets) labels.push(count(secrets, 'variable'))
  return labels
}

function span (value) {
  return typeof value === 'number' ? duration(value) : value
}
