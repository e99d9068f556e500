// Guards keep one execution's harm to itself: what it throws where nobody catches, and its attempts to
// end the process.
import { current, enter } from './context.js'
import { describeText } from './loader.js'
import { apply, now } from './primordials.js'
import { known } from './thrown.js'

const FLOOD = 1000 // errors of nobody in a second after which the process itself is broken

// guard has errors that nobody caught end the execution that caused them, or given to nobody(text).
// die(message) ends a process in which Node itself fails on and on, because a function replaced, say,
// Array.prototype.pop; it never returns.
export function guard (nobody, die) {
  guardErrors(nobody, die)
  guardExits()
}

function guardErrors (nobody, die) {
  let second = 0
  let errors = 0
  const uncaught = thrown => {
    const owner = current()
    try {
      if (typeof thrown === 'object' && thrown !== null && known.has(thrown)) return
      if (owner === undefined) {
        const at = now() / 1000 | 0
        errors = at === second ? errors + 1 : 1
        second = at
        if (errors > FLOOD) die(`too many errors, the last: ${describeText(thrown)}`)
        nobody(describeText(thrown))
      } else if (owner.done) owner.log('error', describeText(thrown, owner))
      else owner.throw(thrown)
    } finally {
      enter(owner)
    }
  }
  const handlers = { __proto__: null, uncaughtException: uncaught, unhandledRejection: uncaught }
  const listen = () => {
    for (const type in handlers) if (!process.listeners(type).includes(handlers[type])) on.call(process, type, handlers[type])
  }
  const { on, emit, removeAllListeners, removeListener } = process

  // Listeners of functions would see the errors of others, and could end the process by throwing.
  process.emit = function (type, ...args) {
    if (type in handlers) {
      handlers[type](args[0])
      return true
    }
    if (type === 'uncaughtExceptionMonitor') return false
    return apply(emit, this, [type, ...args])
  }
  process.setUncaughtExceptionCaptureCallback = () => {
    throw new Error('A function cannot take the errors of others: process.setUncaughtExceptionCaptureCallback is not available.')
  }
  process.removeAllListeners = function (...args) {
    apply(removeAllListeners, this, args)
    listen()
    return this
  }
  process.removeListener = process.off = function (...args) {
    apply(removeListener, this, args)
    listen()
    return this
  }
  listen()

  // Node reports what a microtask throws when its context is gone.
  const { queueMicrotask } = globalThis
  globalThis.queueMicrotask = function (callback) {
    if (typeof callback !== 'function') return queueMicrotask(callback) // throws
    queueMicrotask(() => {
      try {
        callback()
      } catch (thrown) {
        uncaught(thrown)
      }
    })
  }
}

function guardExits () {
  process.exit = function exit (code = process.exitCode) { refuse(`process.exit(${code ?? ''})`) }
  process.reallyExit = function reallyExit (code) { refuse(`process.reallyExit(${code ?? ''})`) }
  process.abort = function abort () { refuse('process.abort()') }
  const { kill } = process
  process.kill = function (pid, signal) {
    // 0 and negative numbers are groups of processes, to which this one may belong; the parent is the hub.
    if ((pid == process.pid || pid == process.ppid || pid <= 0) && signal !== 0) refuse(`process.kill(${pid})`) // eslint-disable-line eqeqeq
    return apply(kill, this, [pid, signal])
  }
}

// refuse ends the execution that asks to end the process, and stops it by throwing.
function refuse (what) {
  const owner = current()
  const error = new Error(`The function called ${what}; it shares its process with others, so only this execution ends.`)
  error.name = 'ProcessExit'
  known.add(error)
  if (owner !== undefined && !owner.done) owner.throw(error)
  throw error
}
