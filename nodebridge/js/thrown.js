// What functions throw, told as {name, message, stack}, whatever it is.
import { inspect } from 'node:util'
import { fileURLToPath } from 'node:url'
import { SafeWeakSet, uncurry, utf8Slice } from './primordials.js'
import { hide } from './secrets.js'

export const LIMIT = 64 << 10 // bytes of a message, a stack or a log line

// known are errors that nobody needs to catch: their executions know of them.
export const known = new SafeWeakSet()

const here = new URL('.', import.meta.url)
const ours = [here.href, fileURLToPath(here)]
const split = uncurry(String.prototype.split)
const includes = uncurry(String.prototype.includes)
const startsWith = uncurry(String.prototype.startsWith)
const bytesOf = Buffer.from

const nobody = { dirs: [], secrets: null }

// describe tells what was thrown. owner has the prefixes of paths to leave out, and the secrets to hide.
export function describe (thrown, owner = nobody) {
  try {
    return tell(thrown, owner)
  } catch { // some function replaced what strings can do
    return { name: 'Error', message: 'an error that cannot be shown', stack: '' }
  }
}

function tell (thrown, { dirs, secrets }) {
  const name = read(thrown, 'name')
  const message = read(thrown, 'message')
  const stack = read(thrown, 'stack')
  return {
    name: name ? hide(name, secrets) : 'Error',
    message: cut(hide(shorten(message ?? show(thrown), dirs), secrets)),
    stack: stack === undefined ? '' : cut(hide(shorten(clean(stack), dirs), secrets))
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
  const lines = split(stack, '\n')
  let n = 0
  for (let i = 0; i < lines.length; i++) if (!(isFrame(lines[i]) && isOurs(lines[i]))) lines[n++] = lines[i]
  if (n < lines.length) while (n > 1 && isFrame(lines[n - 1]) && includes(lines[n - 1], 'node:internal/')) n--
  let text = lines[0]
  for (let i = 1; i < n; i++) text += '\n' + lines[i]
  return text
}

function isOurs (line) { return includes(line, ours[0]) || includes(line, ours[1]) }
function isFrame (line) { return startsWith(line, '    at ') }

export function shorten (text, dirs) {
  for (let i = 0; i < dirs.length; i++) {
    const parts = split(text, dirs[i])
    text = parts[0]
    for (let j = 1; j < parts.length; j++) text += parts[j]
  }
  return text
}

// cut shortens text to LIMIT bytes, and says that it did.
export function cut (text) {
  if (text.length * 3 <= LIMIT) return text
  const bytes = bytesOf(text)
  if (bytes.length <= LIMIT) return text
  let n = LIMIT
  while ((bytes[n] & 0xc0) === 0x80) n--
  return `${utf8Slice(bytes, 0, n)}… [cut: ${bytes.length} bytes]`
}
