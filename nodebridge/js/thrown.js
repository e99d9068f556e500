// What functions throw, told as {name, message, stack}, whatever it is.
import { inspect } from 'node:util'
import { fileURLToPath } from 'node:url'
import { utf8Slice } from './primordials.js'

export const LIMIT = 64 << 10 // bytes of a message, a stack or a log line

const here = new URL('.', import.meta.url)
const ours = new RegExp(`(?:${escape(here.href)}|${escape(fileURLToPath(here))})[\\w-]+\\.js:`)
const frame = /^ {4}at /
const hosts = /\(?node:internal\//

// describe tells what was thrown. dirs are the prefixes of paths to leave out.
export function describe (thrown, dirs = []) {
  try {
    return tell(thrown, dirs)
  } catch { // some function replaced what strings can do
    return { name: 'Error', message: 'an error that cannot be shown', stack: '' }
  }
}

function tell (thrown, dirs) {
  const name = read(thrown, 'name')
  const message = read(thrown, 'message')
  const stack = read(thrown, 'stack')
  return {
    name: name || 'Error',
    message: cut(shorten(message ?? show(thrown), dirs)),
    stack: stack === undefined ? '' : cut(shorten(clean(stack), dirs))
  }
}

// read gives a property if it is a string and can be read.
function read (thrown, key) {
  if (thrown === null || (typeof thrown !== 'object' && typeof thrown !== 'function')) return undefined
  try {
    const value = thrown[key]
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}

function show (thrown) {
  if (typeof thrown === 'string') return thrown
  try {
    return inspect(thrown, { depth: 2, breakLength: Infinity })
  } catch {
    return 'a value that cannot be shown'
  }
}

// clean leaves out the bridge's frames, and Node's own that only stand there because of the bridge.
export function clean (stack) {
  const lines = stack.split('\n')
  const kept = lines.filter(line => !(frame.test(line) && ours.test(line)))
  if (kept.length < lines.length) {
    while (kept.length > 1 && frame.test(kept.at(-1)) && hosts.test(kept.at(-1))) kept.pop()
  }
  return kept.join('\n')
}

export function shorten (text, dirs) {
  for (const dir of dirs) if (text.includes(dir)) text = text.replaceAll(dir, '')
  return text
}

// cut shortens text to LIMIT bytes, and says that it did.
export function cut (text) {
  if (text.length * 3 <= LIMIT) return text
  const bytes = Buffer.from(text)
  if (bytes.length <= LIMIT) return text
  let n = LIMIT
  while ((bytes[n] & 0xc0) === 0x80) n--
  return `${utf8Slice(bytes, 0, n)}… [cut: ${bytes.length} bytes]`
}

function escape (text) { return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&') }
