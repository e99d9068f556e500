// What functions throw, told as {name, message, stack}, whatever it is.
import { inspect } from 'node:util'
import { fileURLToPath } from 'node:url'
import { SafeWeakSet, uncurry, utf8Slice } from './primordials.js'
import { hide } from './secrets.js'
import { original } from './sourcemap.js'

export const LIMIT = 64 << 10 // bytes of a message, a stack or a log line

// known are errors that nobody needs to catch: their executions know of them.
export const known = new SafeWeakSet()

const here = new URL('.', import.meta.url)
const ours = [here.href, fileURLToPath(here)]
const split = uncurry(String.prototype.split)
const includes = uncurry(String.prototype.includes)
const startsWith = uncurry(String.prototype.startsWith)
const endsWith = uncurry(String.prototype.endsWith)
const trimStart = uncurry(String.prototype.trimStart)
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
    stack: stack === undefined ? '' : cut(hide(shorten(clean(original(stack, dirs)), dirs), secrets))
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

// clean leaves out the bridge's frames, and Node's own at a stack's end. There may be several stacks in a text,
// and more behind them: errors have causes and properties.
export function clean (text) {
  const lines = split(text, '\n')
  let result = lines[0]
  for (let i = 1; i < lines.length;) {
    let end = i // of the stack that begins here
    while (end < lines.length && isFrame(lines[end])) end++
    let last = end
    let theirs = 0
    for (let j = i; j < end; j++) if (!isOurs(lines[j]) && !isNodes(lines[j])) theirs++
    if (theirs > 0) while (isOurs(lines[last - 1]) || isNodes(lines[last - 1])) last--
    for (; i < last; i++) if (!isOurs(lines[i])) result += '\n' + lines[i]
    if (last < end && endsWith(lines[end - 1], ' {')) result += ' {' // the error's properties follow
    if (end < lines.length) result += '\n' + lines[end]
    i = end + 1
  }
  return result
}

function isNodes (line) { return includes(line, 'node:internal/') }
function isOurs (line) { return includes(line, ours[0]) || includes(line, ours[1]) || isSame(line) }
function isSame (line) { return includes(line, '    ... ') && includes(line, ' lines matching cause stack trace ...') } // of util.inspect
function isFrame (line) { return startsWith(line, '    ') && (startsWith(trimStart(line), 'at ') || isSame(line)) }

// told gives what a function logs: stacks in it are shown as those of what it throws.
export function told (text, dirs) {
  return includes(text, '\n    at ') ? shorten(clean(original(text, dirs)), dirs) : text
}

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
