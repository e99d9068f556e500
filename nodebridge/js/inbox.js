// An Inbox is the events that clients sent to one execution: those that no listener has heard yet, and
// the account by which the hub knows which ones the next attempt must get.
import { remove } from './incoming.js'
import { uncurry } from './primordials.js'

const slice = uncurry(String.prototype.slice)

export const KEPT = 1000 // events that wait for a listener
export const KEPT_TEXT = 4 << 20 // characters of their data

export class Inbox {
  dropped = false // some had to go, the oldest
  #seen = 0 // the highest number that came
  #waiting = []
  #text = 0 // characters of the data of those
  #lost = [] // numbers of the newest that were dropped: the hub may have them still

  // saw is told of the number of each event that comes; 0: the hub keeps none.
  saw (number) { if (number > this.#seen) this.#seen = number }

  has (type) { return this.#find(type) >= 0 }

  // keep takes an event for which there is no listener.
  keep (event) {
    const waiting = this.#waiting
    waiting[waiting.length] = event
    this.#text += event.size
    while (waiting.length > KEPT || this.#text > KEPT_TEXT) this.#drop()
  }

  #drop () {
    const { number } = this.#waiting[0]
    this.dropped = true
    this.#remove(0)
    if (number === 0) return
    if (this.#lost.length === KEPT) remove(this.#lost, 0)
    this.#lost[this.#lost.length] = number
  }

  // take gives the oldest event of a type and counts it as heard, null if there is none.
  take (type) {
    const i = this.#find(type)
    return i < 0 ? null : this.#remove(i)
  }

  #find (type) {
    const waiting = this.#waiting
    for (let i = 0; i < waiting.length; i++) if (waiting[i].type === type) return i
    return -1
  }

  #remove (i) {
    const event = this.#waiting[i]
    remove(this.#waiting, i)
    this.#text -= event.size
    return event
  }

  clear () {
    this.#waiting = []
    this.#lost = []
    this.#text = 0
  }

  // account gives the members seen and kept of a meta, '' if the hub numbered nothing.
  account () {
    if (this.#seen === 0) return ''
    let kept = ''
    for (let i = 0; i < this.#lost.length; i++) kept += `,${this.#lost[i]}`
    for (let i = 0; i < this.#waiting.length; i++) if (this.#waiting[i].number > 0) kept += `,${this.#waiting[i].number}`
    return kept === '' ? `"seen":${this.#seen}` : `"seen":${this.#seen},"kept":[${slice(kept, 1)}]`
  }
}
