// Requests is what one execution asks of the hub and waits for. Each is a frame with a number, and a
// promise that the Response with that number settles.
import { byteLength, isUint8Array, NativePromise, parse, stringify, uncurry, utf8Slice } from './primordials.js'
import * as frames from './frames.js'
import { bytesOf } from './frames.js'
import { clean, describe, known } from './thrown.js'

const OPEN = 1000 // requests of one execution that wait for their answer
const slice = uncurry(String.prototype.slice)
const { Error, TypeError } = globalThis

export class Requests {
  #execution
  #open = { __proto__: null } // number → {resolve, reject, read, site}
  #count = 0
  #last = 0

  constructor (execution) { this.#execution = execution }

  // checkpoint gives a promise that is kept once the arguments are on disk.
  checkpoint (args) {
    return this.#ask(frames.CHECKPOINT, () => stringify(args), () => undefined)
  }

  invoke (name, args) {
    return this.#ask(frames.INVOKE, () => `{${target(name, args)}}`, value => value)
  }

  // start takes options as text: further members of its JSON.
  start (name, args, options) {
    return this.#ask(frames.START, () => `{${target(name, args)}${options}}`, value => value.execution)
  }

  publish (stream, type, data) {
    return this.#ask(frames.PUBLISH, () => {
      const text = stringify(data)
      return `{"stream":${word(stream, 'stream')},"type":${word(type, 'type')}${text === undefined ? '' : `,"data":${text}`}}`
    }, value => value)
  }

  // #ask sends what write gives, and has read make the promise's value of the answer.
  #ask (op, write, read) {
    const site = new Error() // where the function asked, for the stack of a fault
    return new NativePromise((resolve, reject) => {
      const execution = this.#execution
      if (this.#count >= OPEN) {
        reject(fault(site, 'overloaded', `${OPEN} requests of this execution wait for their answer; await some of them.`))
        return
      }
      let text
      try {
        text = write()
      } catch (thrown) {
        if (thrown instanceof Misuse) reject(fault(site, 'invalid_request', thrown.message, 'TypeError'))
        else reject(fault(site, 'result_not_serializable', `The arguments have no JSON form: ${describe(thrown, execution).message}`))
        return
      }
      if (execution.done) {
        reject(aborted('The execution has ended; the hub does nothing more for it.'))
        return
      }
      const number = this.#number()
      const head = op === frames.CHECKPOINT ? frames.metaHead(execution.account(''), 5) : frames.head(5)
      frames.putU32(head, 0, number)
      head[4] = op
      const { out } = execution.module.bridge
      if (!out.sendHeaded(frames.Request, execution.id, head, text)) {
        reject(fault(site, 'payload_too_large', `The arguments have ${byteLength(text)} bytes; ${out.max} bytes is the limit of a message.`))
        return
      }
      this.#open[number] = { resolve, reject, read, site }
      this.#count++
    })
  }

  #number () {
    do this.#last = (this.#last + 1) >>> 0; while (this.#last === 0 || this.#open[this.#last] !== undefined)
    return this.#last
  }

  // answer takes the payload b[start:end] of a Response.
  answer (b, start, end, owned) {
    const number = frames.u32(b, start)
    const request = this.#open[number]
    if (request === undefined) return
    delete this.#open[number]
    this.#count--
    const { resolve, reject, read, site } = request
    const encoding = b[start + 5]
    let value
    try {
      if (encoding === frames.BYTES) value = bytesOf(b, start + 6, end, owned)
      else if (encoding === frames.JSON) value = parse(utf8Slice(b, start + 6, end))
      if (b[start + 4] === 0) {
        resolve(read(value))
        return
      }
      const { code, message, name, stack } = value
      reject(fault(site, code, message, name, stack))
    } catch (thrown) {
      reject(fault(site, 'internal', `The answer of the hub makes no sense: ${describe(thrown).message}`))
    }
  }

  // abandon rejects what has no answer when the execution ends. That nobody catches it is no error: what
  // was asked for is done all the same.
  abandon () {
    if (this.#count === 0) return
    const open = this.#open
    this.#open = { __proto__: null }
    this.#count = 0
    const reason = aborted('The execution ended before the hub answered.')
    known.add(reason)
    for (const number in open) open[number].reject(reason)
  }
}

class Misuse extends TypeError {}

function word (value, what) {
  if (typeof value !== 'string' || value === '') throw new Misuse(`The ${what} must be a string that is not empty.`)
  return stringify(value)
}

// target gives the members function and args. What a JSON array can't say at its end is left out, so that
// defaults take effect.
function target (name, args) {
  const text = word(name, "function's name")
  let n = args.length
  while (n > 0 && args[n - 1] === undefined) n--
  args.length = n
  for (let i = 0; i < n; i++) if (isUint8Array(args[i])) throw new Misuse('Bytes cannot be arguments of another function; encode them, as base64 say.')
  return `"function":${text},"args":${stringify(args)}`
}

// fault is the error that a function gets: with the hub's code, and the stack of where it asked.
function fault (site, code, message, name, stack) {
  name ||= 'LivefnError'
  const error = new Error(message)
  error.name = name
  error.code = code
  if (stack) error.functionStack = stack // where the other function threw
  try {
    error.stack = `${name}: ${message}${slice(clean(site.stack), 5)}` // 5: "Error"
  } catch {} // some function has stacks look otherwise
  return error
}

function aborted (message) {
  const error = new Error(message)
  error.name = 'AbortError'
  error.code = 'ABORT_ERR'
  return error
}
