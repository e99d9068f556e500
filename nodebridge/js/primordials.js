// What the bridge relies on, taken before any function's code runs. Functions share the process, and
// some packages replace JSON.stringify, Promise or setImmediate; that must not reach the other calls.
import { types } from 'node:util'
import { Writable } from 'node:stream'

// uncurry makes a method a function whose first argument is `this`.
export const uncurry = Function.prototype.bind.bind(Function.prototype.call)

export const { parse, stringify } = JSON
export const { apply } = Reflect
export const { isArray } = Array
export const { now } = Date
export const { min, max } = Math
export const { freeze } = Object
export const { isPromise, isGeneratorObject, isUint8Array, isGeneratorFunction } = types
export const { setImmediate, setTimeout } = globalThis
export const { nextTick } = process
export const NativePromise = Promise
export const then = uncurry(Promise.prototype.then)
export const sourceOf = uncurry(Function.prototype.toString)
export const utf8Slice = uncurry(Buffer.prototype.utf8Slice)
export const utf8Write = uncurry(Buffer.prototype.utf8Write)
export const { byteLength, allocUnsafeSlow } = Buffer
export const subarray = uncurry(Buffer.prototype.subarray)
export const copyInto = uncurry(Uint8Array.prototype.set) // (target, source, at)
export const streamWrite = uncurry(Writable.prototype.write)
export const { asyncIterator, iterator } = Symbol

// SafeMap is a Map whose methods can't be replaced.
export class SafeMap extends Map {}
for (const name of ['get', 'set', 'has', 'delete', 'clear', 'forEach']) {
  Object.defineProperty(SafeMap.prototype, name, { value: Map.prototype[name] })
}
freeze(SafeMap.prototype)

// SafeWeakSet is a WeakSet whose methods can't be replaced.
export class SafeWeakSet extends WeakSet {}
for (const name of ['add', 'has']) {
  Object.defineProperty(SafeWeakSet.prototype, name, { value: WeakSet.prototype[name] })
}
freeze(SafeWeakSet.prototype)
