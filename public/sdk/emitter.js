/** A few lines of on/off/emit. A listener that throws harms no other: its error is reported as uncaught. */
export class Emitter {
  #listeners = new Map()

  /** Gives a function that takes the listener off again. */
  on (type, fn) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set())
    this.#listeners.get(type).add(fn)
    return () => this.off(type, fn)
  }

  off (type, fn) {
    this.#listeners.get(type)?.delete(fn)
  }

  emit (type, ...values) {
    for (const fn of [...this.#listeners.get(type) ?? []]) {
      try {
        fn(...values)
      } catch (error) {
        queueMicrotask(() => { throw error })
      }
    }
  }

  /** How many listen to type. */
  listeners (type) {
    return this.#listeners.get(type)?.size ?? 0
  }
}
