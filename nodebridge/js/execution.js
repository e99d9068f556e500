// An Execution is one call from its frame to its final frame. What the function does with it after
// that changes nothing, and what it logs is logged as nobody's.
import { freeze, isUint8Array, nextTick, parse, stringify } from './primordials.js'
import * as frames from './frames.js'
import { current, enter } from './context.js'
import { cut, describe } from './thrown.js'
import { Flow } from './flow.js'
import { Inbox, KEPT, KEPT_TEXT } from './inbox.js'
import { Requests } from './requests.js'
import { Bus, PAUSED, local, typeSize } from './tail.js'

export class Execution {
  id // of its frames
  module
  done = false
  name // the execution's id
  meta // JSON text, '' for none
  bus = null
  rare = null // what most executions never have

  constructor (id, module, name, meta) {
    this.id = id
    this.module = module
    this.name = name
    this.meta = meta
  }

  // more holds what most executions never need.
  get more () {
    return this.rare ??= { pause: null, cancel: null, refused: '', inbox: null, requests: null, flow: null, controller: null, info: null, bound: null, asking: null, output: null, quota: null }
  }

  get dirs () { return this.module.dirs }
  get secrets () { return this.module.secrets }
  get pausing () { return this.rare !== null && this.rare.pause !== null }
  get cancelled () { return this.rare !== null && this.rare.cancel !== null }

  // result ends the execution with what the function returned.
  result (value) {
    if (this.done) return
    const out = this.module.bridge.out
    let text
    if (typeof value === 'number') {
      text = value - value === 0 ? '' + value : 'null'
    } else if (value === undefined || typeof value === 'function') {
      text = undefined
    } else if (typeof value === 'symbol') {
      if (value === PAUSED) {
        this.fail('result_not_serializable', new TypeError('The function returned what hub.pause, hub.sleep or hub.waitFor gave it, but the execution is not paused: ' + (this.rare?.refused || 'nothing was paused') + '.'))
        return
      }
    } else {
      try {
        if (typeof value === 'object' && isUint8Array(value)) {
          this.#unwritten()
          this.#answer(out.sendBytes(frames.Result, this.id, frames.BYTES, value))
          return
        }
        text = stringify(value)
      } catch (thrown) {
        this.#noForm('The result', 'result_not_serializable', thrown)
        return
      }
      if (this.done) return // by a toJSON that threw its hub around
    }
    if (text === undefined) this.#answer(this.#final(frames.Result, frames.NOTHING, ''))
    else this.#answer(this.#final(frames.Result, frames.JSON, text))
  }

  #final (kind, lead, text) {
    if (this.rare !== null) this.#unwritten()
    return this.module.bridge.out.send(kind, this.id, lead, text)
  }

  // #unwritten logs the lines that were begun and not ended, and how many were dropped.
  #unwritten () {
    this.rare?.output?.end()
    this.rare?.quota?.told()
  }

  #answer (sent) {
    if (sent) this.end()
    else this.fail('payload_too_large', new RangeError(`The result is too large; ${this.module.bridge.out.max} bytes is the limit of a message.`))
  }

  #noForm (what, code, thrown) {
    const { message } = describe(thrown, this)
    this.fail(code, new TypeError(`${what} has no JSON form: ${message}`))
  }

  // throw ends the execution with what the function threw.
  throw (thrown) { this.fail('function_error', thrown) }

  // fail ends the execution with an error.
  fail (code, thrown) {
    if (this.done) return
    const { name, message, stack } = describe(thrown, this)
    if (this.done) return
    const own = code !== 'function_error' // our words, so nothing to find on the stack
    if (this.#final(frames.Error, -1, stringify({ code, name, message, stack: own ? '' : stack }))) this.end()
  }

  // broken ends the execution because its module could not be loaded.
  broken ({ name, message, stack }) {
    if (this.done) return
    if (this.#final(frames.Error, -1, stringify({ code: 'version_broken', name, message, stack }))) this.end()
  }

  get flow () { return this.more.flow ??= new Flow() }

  // yielded sends what a generator yields.
  yielded (value) {
    try {
      const n = this.#event('yield', typeSize('yield'), [value])
      if (n >= 0) this.flow.add(n)
    } catch (thrown) {
      this.fail('result_not_serializable', thrown)
    }
  }

  end () {
    if (this.done) return
    this.done = true
    this.module.bridge.calls.remove(this.id)
    if (this.rare !== null) {
      this.rare.inbox?.clear()
      this.rare.requests?.abandon()
      this.rare.flow?.open()
    }
  }

  // emit sends an event of the function to the hub. It says whether anybody is there to get it.
  emit (type, args) {
    const n = typeSize(type)
    if (type === 'paused') return this.paused(args, '')
    return this.#event(type, n, args) >= 0
  }

  // #event gives the characters of the data that it sent, or -1.
  #event (type, n, args) {
    if (this.done) return -1
    let data
    try {
      data = args.length === 0 ? undefined : stringify(args.length === 1 ? args[0] : args)
    } catch (thrown) {
      throw new TypeError(`The data of the event ${type} has no JSON form: ${describe(thrown, this).message}`)
    }
    if (this.done) return -1
    const { out } = this.module.bridge
    if (!out.sendNow(frames.Event, this.id, n, data === undefined ? type : type + data)) {
      throw new TypeError(`The data of the event ${type} is too large; ${out.max} bytes is the limit of a message.`)
    }
    return data === undefined ? 0 : data.length
  }

  // paused ends the execution with the arguments to resume with. Without a JSON form it goes on. wake is
  // text: the members of the meta that say when it resumes by itself, '' if it doesn't.
  paused (args, wake) {
    if (this.done) return false
    const { out } = this.module.bridge
    let refused
    try {
      const text = stringify(args)
      if (this.done) return false
      this.#unwritten()
      if (out.sendHeaded(frames.Paused, this.id, frames.metaHead(this.account(wake), 0), text)) {
        this.end()
        return true
      }
      refused = `the resume arguments are too large; ${out.max} bytes is the limit of a message`
    } catch (thrown) {
      refused = `the resume arguments have no JSON form: ${describe(thrown, this).message}`
    }
    this.more.refused = refused
    if (!this.cancelled) this.rare.flow?.close()
    out.send(frames.Refused, this.id, -1, stringify({ message: cut(refused) }))
    return false
  }

  // account is the meta of a pause or checkpoint, with what the inbox says beside the members given.
  account (members) {
    const inbox = this.rare?.inbox?.account() ?? ''
    if (members === '' || inbox === '') members += inbox
    else members += `,${inbox}`
    return members === '' ? '' : `{${members}}`
  }

  // log adds a line to the execution's log. fields is JSON text, '' for none.
  log (level, message, fields = '') {
    const { module } = this
    const { bridge } = module
    if (this.done) {
      bridge.log(level, message, fields, { execution: this.name, function: module.function, version: module.version }, () => module.clean(message, fields))
      return
    }
    bridge.logs.log(this.id, this.more.quota ??= bridge.logs.quota(this.id), message, fields, () => {
      const shown = module.clean(message, fields)
      return line(level, shown.message, shown.fields)
    })
  }

  // The hub's frames.

  // pause may come again, after the resume arguments were refused, say.
  pause (info) {
    this.more.pause = info
    this.rare.flow?.open()
    this.#tell('pause', info)
  }

  cancel (info) {
    if (this.cancelled) return
    this.more.cancel = info
    const { controller, flow } = this.rare
    flow?.open()
    if (controller !== null) this.#within(() => controller.abort(abortion(info)))
    this.#tell('cancel', info)
  }

  #tell (type, info) {
    if (this.bus !== null && this.bus.listenerCount(type) > 0) this.#deliver(type, info)
  }

  // receive takes an event that a client sent; text is its JSON, or empty. It waits for its type's first
  // listener, and behind those that wait.
  receive (number, type, text) {
    const inbox = this.more.inbox ??= new Inbox()
    inbox.saw(number)
    let data
    if (text !== '') {
      try {
        data = parse(text)
      } catch (err) {
        this.log('warn', `An event of type ${type} was dropped: its data is not JSON: ${err.message}`)
        return
      }
    }
    if (this.bus !== null && this.bus.listenerCount(type) > 0 && !inbox.has(type)) {
      this.#deliver(type, data)
      return
    }
    const before = inbox.dropped
    inbox.keep({ type, data, size: text.length, number })
    if (inbox.dropped && !before) this.log('warn', `Events are dropped, the oldest first: ${KEPT} wait for a listener, or ${KEPT_TEXT} bytes.`)
  }

  // listening is told that the function listens to a type: it gets what came before.
  listening (type, listener) {
    const info = type === 'pause' ? this.rare?.pause : type === 'cancel' ? this.rare?.cancel : null
    if (info) this.#late(type, listener, info)
    else if (this.rare?.inbox?.has(type)) this.#release(type)
  }

  #late (type, listener, info) {
    nextTick(() => {
      if (this.done || !this.bus.rawListeners(type).includes(listener)) return
      try {
        listener.call(this.bus, info)
      } catch (thrown) {
        this.throw(thrown)
      }
    })
  }

  // #release delivers what was kept of a type, on the next turn, until nobody listens any more.
  #release (type) {
    const { inbox } = this.rare
    nextTick(() => {
      while (!this.done && this.bus.listenerCount(type) > 0) {
        const event = inbox.take(type)
        if (event === null) return
        this.#deliver(type, event.data)
      }
    })
  }

  #deliver (type, data) { this.#within(() => local(this.bus, type, data)) }

  // #within runs code of the function when the hub's frames bring it about.
  #within (code) {
    const before = current()
    enter(this)
    try {
      code()
    } catch (thrown) {
      this.throw(thrown)
    } finally {
      enter(before)
    }
  }

  // answer takes the payload of a Response.
  answer (b, start, end, owned) {
    enter(this) // for what nobody catches
    this.rare?.requests?.answer(b, start, end, owned)
  }

  // What the tail object shows.

  get events () { return this.bus ??= new Bus(this) }

  get requests () { return this.more.requests ??= new Requests(this) }

  get signal () {
    const more = this.more
    if (more.controller === null) {
      more.controller = new AbortController()
      if (more.cancel !== null) more.controller.abort(abortion(more.cancel))
    }
    return more.controller.signal
  }

  get info () {
    const more = this.more
    if (more.info === null) {
      const { attempt = 1, resumed = false, trigger, caller, parent, traceparent } = this.meta === '' ? {} : parse(this.meta)
      const { function: fn, version, tenant } = this.module
      more.info = freeze({ id: this.name, function: fn, version, tenant, attempt, resumed, trigger, caller, parent, traceparent })
    }
    return more.info
  }
}

function abortion (info) {
  return new DOMException(`The execution was cancelled${info.reason ? `: ${info.reason}` : ''}.`, 'AbortError')
}

// line is the payload of a Log.
export function line (level, message, fields) {
  const text = `{"level":"${level}","message":${stringify(cut(message))}`
  return fields === '' ? text + '}' : `${text},"fields":${fields}}`
}
