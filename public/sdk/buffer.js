/** Events on their way to a slow reader, bounded in number and in size. One too large for any buffer fits an empty one. */
export class Buffer {
  #limit
  #bytes
  #entries = []
  #first = 0
  #size = 0

  constructor (limit, bytes) {
    this.#limit = Math.max(1, limit)
    this.#bytes = bytes
  }

  get length () {
    return this.#entries.length - this.#first
  }

  /** Whether size more characters fit. */
  fits (size) {
    return this.length === 0 || this.length < this.#limit && this.#size + size <= this.#bytes
  }

  /** At most half full: time to ask for more. */
  get low () {
    return this.length <= this.#limit / 2 && this.#size <= this.#bytes / 2
  }

  push (event, size) {
    this.#entries.push({ event, size })
    this.#size += size
  }

  shift () {
    const { event, size } = this.#entries[this.#first]
    this.#entries[this.#first++] = undefined
    this.#size -= size
    if (this.#first > 512 && this.#first * 2 > this.#entries.length) { // the front of an array is dear to remove
      this.#entries = this.#entries.slice(this.#first)
      this.#first = 0
    }
    return event
  }

  clear () {
    this.#entries = []
    this.#first = this.#size = 0
  }
}
