// The context says for which execution, or which load, code runs, across every await and callback.
import { AsyncLocalStorage } from 'node:async_hooks'
import { uncurry } from './primordials.js'

const storage = new AsyncLocalStorage()
const enterWith = uncurry(AsyncLocalStorage.prototype.enterWith)
const getStore = uncurry(AsyncLocalStorage.prototype.getStore)

// enter makes what follows in this turn belong to owner, an Execution or a Module; undefined: to nobody.
// (Cheaper than AsyncLocalStorage.run by a closure a call; who enters leaves with the owner before.)
export function enter (owner) { enterWith(storage, owner) }

export function current () { return getStore(storage) }
