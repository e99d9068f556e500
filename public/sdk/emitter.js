/** A few lines of on/off/emit. A listener that throws harms no other: its error is reported as uncaught. */
export class Emitter {
  #listeners = new Map()

  on (type, fn) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set())
    this.#listeners.get(type).add(fn)
    return () => this.off(type, fn)
  }

  off (type, fn) {
    this.#listeners.get(type)?.delete(fn)
  }

  emit (type, value) {
    for (const fn of [...this.#listeners.get(type) ?? []]) {
      try {
        fn(value)
      } catch (error) {
        queueMicrotask(() => { throw error })
      }
    }
  }
}
