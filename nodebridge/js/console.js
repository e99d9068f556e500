// Output: console.* and process.stdout and stderr, as logs of the execution that wrote. Code that writes
// to the descriptors itself is not seen here; the hub reads them as stray output.
import { StringDecoder } from 'node:string_decoder'
import { nextTick } from './primordials.js'
import { current } from './context.js'

const MOST = 64 << 10 // characters of a line that has no end yet

let level = '' // of the console method that is writing; '' outside of them

// capture has what functions print given to the execution that prints, or to nobody(level, message).
export function capture (nobody) {
  for (const [name, as] of [['log', 'info'], ['info', 'info'], ['debug', 'debug'], ['warn', 'warn'], ['error', 'error'], ['trace', 'debug']]) {
    const write = console[name]
    console[name] = {
      [name] (...args) {
        const before = level
        level ||= as // of the outermost: console.trace writes with console.error
        try {
          write.apply(this, args)
        } finally {
          level = before
        }
      }
    }[name]
  }
  redirect(process.stdout, 'info', nobody)
  redirect(process.stderr, 'error', nobody)
}

function redirect (stream, own, nobody) {
  const lines = new Lines(own, nobody)
  stream.write = function (chunk, encoding, callback) {
    if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding]
    const owner = current()
    if (level !== '' && typeof chunk === 'string') {
      const message = chunk.endsWith('\n') ? chunk.slice(0, -1) : chunk
      if (owner === undefined) nobody(level, message)
      else owner.log(level, message)
    } else {
      linesOf(owner, own, lines).write(chunk, encoding)
    }
    if (typeof callback === 'function') nextTick(callback)
    return true
  }
}

// linesOf gives where an owner's writes to a stream are put together.
function linesOf (owner, own, nobodys) {
  if (owner === undefined) return nobodys
  if (owner.done) return new Lines(own, (level, message) => owner.log(level, message), true)
  const output = owner.more.output ??= new Output()
  return output[own] ??= new Lines(own, (level, message) => owner.log(level, message))
}

// Output is the unfinished lines of an execution.
class Output {
  info = null
  error = null

  end () {
    this.info?.end()
    this.error?.end()
  }
}

// Lines makes log lines of what is written to a stream, which need not be whole lines.
class Lines {
  #level
  #log
  #whole // every write is a line: nobody will end the last one
  #text = ''
  #decoder = null

  constructor (level, log, whole = false) {
    this.#level = level
    this.#log = log
    this.#whole = whole
  }

  write (chunk, encoding) {
    if (typeof chunk === 'string') {
      const odd = encoding !== undefined && encoding !== null && !/^utf-?8$/i.test(encoding)
      chunk = odd ? Buffer.from(chunk, encoding).toString() : chunk
    } else if (ArrayBuffer.isView(chunk)) {
      this.#decoder ??= new StringDecoder('utf8')
      chunk = this.#decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
    } else {
      throw Object.assign(new TypeError('The "chunk" argument must be of type string or an instance of Buffer or Uint8Array.'), { code: 'ERR_INVALID_ARG_TYPE' })
    }
    const lines = (this.#text + chunk).split('\n')
    this.#text = lines.pop()
    for (const line of lines) this.#log(this.#level, line.endsWith('\r') ? line.slice(0, -1) : line)
    if (this.#whole || this.#text.length > MOST) this.end()
  }

  end () {
    const text = this.#text + (this.#decoder?.end() ?? '')
    this.#text = ''
    if (text !== '') this.#log(this.#level, text)
  }
}
