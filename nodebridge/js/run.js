// Runs calls: takes them out of their frames, places the arguments, and brings what the function does,
// whether it returns, promises, yields or throws, to one final frame.
import { apply, asyncIterator, isArray, isGeneratorObject, isPromise, max, NativePromise, now, parse, setImmediate, then, uncurry, utf8Slice } from './primordials.js'
import { BYTES, NOTHING, bytesOf, u32 } from './frames.js'
import { enter } from './context.js'
import { Execution } from './execution.js'
import { Hub } from './tail.js'

const includes = uncurry(String.prototype.includes)

const SLOW = 2 // ms of a call after which the answers before the next one of its kind don't wait for it
const SLICE = 5 // ms that a generator may run before others have their turn
const BACKLOG = 1 << 20 // bytes that may wait to be written before a generator waits

// Calls is the table of the calls in flight, by the index in their id.
export class Calls {
  #slots = []

  add (execution) {
    const index = execution.id & 0xfffff
    const slots = this.#slots
    while (slots.length <= index) slots[slots.length] = null
    slots[index] = execution
  }

  // get gives null for a call that has ended, or was never there.
  get (id) {
    const index = id & 0xfffff
    const execution = index < this.#slots.length ? this.#slots[index] : null
    return execution !== null && execution.id === id ? execution : null
  }

  remove (id) { this.#slots[id & 0xfffff] = null }
}

// call takes the payload b[start:end] of a Call. The caller resets the context at its turn's end.
export function call (bridge, id, b, start, end, owned) {
  const n = start + 6 + b[start + 5]
  const m = n + 2 + (b[n] | b[n + 1] << 8)
  const name = utf8Slice(b, start + 6, n)
  const meta = m === n + 2 ? '' : utf8Slice(b, n + 2, m)
  const module = bridge.moduleOf(u32(b, start))
  const execution = new Execution(id, module, name, meta)
  bridge.calls.add(execution)
  let args
  try {
    args = argumentsOf(b[start + 4], b, m, end, owned)
    if (meta !== '') pad(args, meta)
  } catch (thrown) {
    execution.fail('invalid_request', new SyntaxError(`The arguments are not JSON: ${thrown.message}`))
    return
  }
  if (module.fn !== null) run(execution, args)
  else if (module.failure !== null) refuse(execution)
  else module.waiting.push({ execution, args })
}

function argumentsOf (encoding, b, start, end, owned) {
  if (encoding === NOTHING) return []
  if (encoding === BYTES) return [bytesOf(b, start, end, owned)]
  const value = parse(utf8Slice(b, start, end))
  return isArray(value) ? value : [value]
}

// pad fills the arguments up with undefined, which JSON can't say, to as many as the meta wants.
function pad (args, meta) {
  if (!includes(meta, '"arguments"')) return
  const { arguments: wanted } = parse(meta)
  for (let i = args.length; i < wanted; i++) args[i] = undefined
}

// release runs the calls that waited for their module.
export function release (module) {
  const { waiting } = module
  module.waiting = []
  module.bridge.at = now()
  for (let i = 0; i < waiting.length; i++) {
    const { execution, args } = waiting[i]
    if (module.failure !== null) refuse(execution)
    else if (execution.cancelled) execution.fail('cancelled', new Error('The execution was cancelled before it began.'))
    else run(execution, args)
  }
  enter(undefined)
}

function refuse (execution) { execution.broken(execution.module.failure) }

function run (execution, args) {
  const { module } = execution
  const { bridge } = module
  if (module.slow) bridge.out.flush()
  enter(execution)
  let value
  try {
    if (module.tail) {
      const hub = new Hub(execution)
      const at = max(args.length, module.declared - 1)
      if (at === 2 && args.length === 2) {
        const { fn } = module
        value = fn(args[0], args[1], hub)
      } else {
        for (let i = args.length; i < at; i++) args[i] = undefined
        args[at] = hub
        value = apply(module.fn, undefined, args)
      }
    } else {
      value = apply(module.fn, undefined, args)
    }
  } catch (thrown) {
    bridge.at = now()
    execution.throw(thrown)
    return
  }
  const at = now()
  module.slow = at - bridge.at >= SLOW
  bridge.at = at
  if (typeof value === 'object' && value !== null) settle(execution, value)
  else execution.result(value)
}

// settle ends the execution with an object, or with what it stands for.
function settle (execution, value) {
  try {
    if (isPromise(value)) {
      wait(execution, value)
    } else if (typeof value.then === 'function') {
      wait(execution, new NativePromise(resolve => resolve(value)))
    } else if (isGeneratorObject(value) || isAsyncGenerator(value)) {
      drive(execution, value)
    } else {
      execution.result(value)
    }
  } catch (thrown) {
    execution.throw(thrown)
  }
}

function wait (execution, promise) {
  then(promise, value => {
    if (typeof value === 'object' && value !== null) yielding(execution, value)
    else execution.result(value)
  }, thrown => execution.throw(thrown))
}

// yielding is settle for what a promise brought, which is never a promise.
function yielding (execution, value) {
  try {
    if (isGeneratorObject(value) || isAsyncGenerator(value)) drive(execution, value)
    else execution.result(value)
  } catch (thrown) {
    execution.throw(thrown)
  }
}

// isAsyncGenerator knows those that compilers for older engines make.
function isAsyncGenerator (value) {
  return typeof value[asyncIterator] === 'function' && typeof value.next === 'function'
}

// drive takes what a generator yields, each as an event, and its return value as the result.
async function drive (execution, generator) {
  const { flow } = execution
  const { out } = execution.module.bridge
  if (execution.pausing || execution.cancelled) flow.open()
  let since = now()
  try {
    for (;;) {
      let step = generator.next()
      if (isPromise(step) || typeof step?.then === 'function') step = await step
      if (execution.done) break
      let { value } = step
      if (isPromise(value)) value = await value
      if (step.done) {
        execution.result(value)
        return
      }
      if (execution.done) break
      execution.yielded(value)
      if (execution.done) break
      if (flow.full) {
        out.flush()
        await flow.room()
        if (execution.done) break
        since = now()
      }
      if (now() - since >= SLICE || out.backlog > BACKLOG) {
        do await turn(); while (out.backlog > BACKLOG && !execution.done)
        since = now()
      }
    }
    await generator.return() // so that its finally blocks run
  } catch (thrown) {
    execution.throw(thrown)
  }
}

function turn () { return new NativePromise(resolve => setImmediate(resolve)) }
