// A Flow is what a generator has yielded and the hub has not handed on yet. Past a window of it the generator
// waits, so that a reader who is slow slows it, and fills nobody's memory.
import { NativePromise } from './primordials.js'

export const WINDOW = 256 << 10 // characters under way, 64 added for each event
const SPENT = 1024 // sizes that were handed on, from which on they are forgotten though more are under way

export class Flow {
  #sizes = [] // of what is under way, from #first on
  #first = 0
  #under = 0 // their sum
  #goOn = null // of a generator that waits
  #open = false

  get full () { return this.#under > WINDOW && !this.#open }

  add (characters) {
    this.#sizes[this.#sizes.length] = characters + 64
    this.#under += characters + 64
  }

  // taken is told that n more have been handed on, in order.
  taken (n) {
    for (; n > 0 && this.#first < this.#sizes.length; n--) this.#under -= this.#sizes[this.#first++]
    if (this.#first === this.#sizes.length || (this.#first > SPENT && this.#first * 2 > this.#sizes.length)) this.#forget()
    if (!this.full) this.#wake()
  }

  // open lets the generator go on, whatever is under way: it is to come to an end.
  open () {
    this.#open = true
    this.#wake()
  }

  // close has the window hold again: the end did not come about.
  close () { this.#open = false }

  // room is a promise for the time when it is no longer full. One waits at a time.
  room () { return new NativePromise(resolve => { this.#goOn = resolve }) }

  // #forget drops the sizes of what was handed on. A generator that is always at the window never has none under way.
  #forget () {
    const left = []
    for (let i = this.#first; i < this.#sizes.length; i++) left[left.length] = this.#sizes[i]
    this.#sizes = left
    this.#first = 0
  }

  #wake () {
    const goOn = this.#goOn
    this.#goOn = null
    goOn?.()
  }
}
