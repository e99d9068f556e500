// The tail object, `hub` in functions. A call that doesn't look at it pays for one small object;
// everything that it shows is made when it is first read, and lives in the Execution.
import { EventEmitter } from 'node:events'
import { format, inspect } from 'node:util'
import { apply, byteLength, freeze, isArray, stringify, uncurry } from './primordials.js'
import { milliseconds } from './duration.js'

const { keys } = Object
const { isInteger } = Number

// PAUSED is what hub.pause, sleep and waitFor return; returning it is the idiom.
export const PAUSED = Symbol('livefn.paused')

export class Hub {
  #execution

  constructor (execution) { this.#execution = execution }

  get events () { return this.#execution.events }
  get emit () { return bound(this.#execution).emit }
  get pause () { return bound(this.#execution).pause }
  get log () { return bound(this.#execution).log }
  get sleep () { return asking(this.#execution).sleep }
  get waitFor () { return asking(this.#execution).waitFor }
  get checkpoint () { return asking(this.#execution).checkpoint }
  get invoke () { return asking(this.#execution).invoke }
  get start () { return asking(this.#execution).start }
  get with () { return asking(this.#execution).with }
  get publish () { return asking(this.#execution).publish }
  get pausing () { return this.#execution.pausing }
  get signal () { return this.#execution.signal }
  get execution () { return this.#execution.info }
  get env () { return this.#execution.module.env }
}
freeze(Hub.prototype)
freeze(Hub)

// bound are the functions that most functions use. They need no `this`, so `const { emit, log } = hub` works.
function bound (execution) {
  return execution.more.bound ??= {
    emit: (type, ...data) => execution.events.emit(type, ...data),
    pause: (...args) => {
      execution.events.emit('paused', ...args)
      return PAUSED
    },
    log: freeze({
      debug: (...args) => log(execution, 'debug', args),
      info: (...args) => log(execution, 'info', args),
      warn: (...args) => log(execution, 'warn', args),
      error: (...args) => log(execution, 'error', args)
    })
  }
}

// asking are those with which a function asks the hub for something.
function asking (execution) {
  return execution.more.asking ??= {
    sleep: (duration, ...args) => {
      execution.paused(args, `"sleep":${milliseconds(duration)}`)
      return PAUSED
    },
    waitFor: (type, options, ...args) => {
      execution.paused(args, waiting(type, options))
      return PAUSED
    },
    checkpoint: (...args) => execution.requests.checkpoint(args),
    invoke: (name, ...args) => execution.requests.invoke(name, args),
    start: (name, ...args) => execution.requests.start(name, args, ''),
    with: options => {
      const members = startOptions(options)
      return freeze({ start: (name, ...args) => execution.requests.start(name, args, members) })
    },
    publish: (stream, type, data) => execution.requests.publish(stream, type, data)
  }
}

// waiting gives the members of a meta that wait for an event.
function waiting (type, options) {
  typeSize(type)
  const { timeout } = optionsOf(options ?? {}, ['timeout'], 'hub.waitFor takes the type of an event, then options: { timeout }, then the arguments to resume with')
  return `"event":${stringify(type)}${timeout === undefined ? '' : `,"timeout":${milliseconds(timeout)}`}`
}

// startOptions gives the members of a start.
function startOptions (options) {
  const { key, delay, priority } = optionsOf(options, ['key', 'delay', 'priority'], 'hub.with takes { key, delay, priority }, for start')
  let text = ''
  if (key !== undefined) {
    if (typeof key !== 'string' || key === '') throw new TypeError('A key must be a string that is not empty.')
    text += `,"key":${stringify(key)}`
  }
  if (delay !== undefined) text += `,"delay":${milliseconds(delay)}`
  if (priority !== undefined) {
    if (!isInteger(priority)) throw new TypeError('A priority must be an integer.')
    text += `,"priority":${priority}`
  }
  return text
}

// optionsOf gives options, if they are an object that has no others.
function optionsOf (options, names, usage) {
  if (typeof options !== 'object' || options === null || isArray(options)) throw new TypeError(`${usage}.`)
  const own = keys(options)
  for (let i = 0; i < own.length; i++) {
    let found = false
    for (let j = 0; j < names.length; j++) found ||= own[i] === names[j]
    if (!found) throw new TypeError(`${usage}; it does not know ${own[i]}.`)
  }
  return options
}

// typeSize gives the bytes of an event's type, and throws if it is none.
export function typeSize (type) {
  if (typeof type !== 'string' || type === '') throw new TypeError('The type of an event must be a string that is not empty.')
  const n = byteLength(type)
  if (n > 255) throw new TypeError(`The type of an event has ${n} bytes; 255 is the limit.`)
  return n
}

// log takes a message and its fields, or what console.log takes.
function log (execution, level, args) {
  const [message, fields] = args
  const structured = args.length === 2 && typeof fields === 'object' && fields !== null && !(typeof message === 'string' && /%[sdifjoOc]/.test(message))
  if (structured) execution.log(level, typeof message === 'string' ? message : format(message), fieldsOf(fields))
  else execution.log(level, format(...args))
}

// fieldsOf is the JSON of fields. A log line must not fail for what it shows.
function fieldsOf (fields) {
  const seen = fields instanceof Error ? { error: fields } : fields
  try {
    return stringify(seen, (key, value) => {
      if (typeof value === 'bigint') return `${value}`
      return value instanceof Error ? { ...value, name: value.name, message: value.message, stack: value.stack } : value
    }) ?? ''
  } catch {
    return stringify({ text: inspect(fields, { depth: 4 }).slice(0, 8192) })
  }
}

// Bus is hub.events. It has two ends, as a wire has: what the function emits goes to the hub and does
// not come back to the function's own listeners; these hear what the hub and clients send. Only
// EventEmitter's own newListener and removeListener stay on this end. emit gives true if it was sent,
// false once the execution has ended. What came before a type's first listener was added is kept for it.
export class Bus extends EventEmitter {
  #execution

  constructor (execution) {
    super()
    this.#execution = execution
  }

  emit (type, ...data) {
    if (type === 'newListener' || type === 'removeListener') return apply(emit, this, [type, ...data])
    return this.#execution.emit(type, data)
  }

  // once goes through on, and prependOnceListener through prependListener.
  on (type, listener) {
    super.on(type, listener)
    this.#execution.listening(type, listener)
    return this
  }

  addListener (type, listener) { return this.on(type, listener) }

  prependListener (type, listener) {
    super.prependListener(type, listener)
    this.#execution.listening(type, listener)
    return this
  }
}
freeze(Bus.prototype)
freeze(Bus)

const { emit } = EventEmitter.prototype
const emitLocal = uncurry(emit)

// local calls the function's own listeners.
export function local (bus, type, data) {
  if (data === undefined) emitLocal(bus, type)
  else emitLocal(bus, type, data)
}
