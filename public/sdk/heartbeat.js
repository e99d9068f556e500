/**
 * Finds out that the other end is gone although nobody said so. Silence of one beat is answered with
 * ask(), of two with dead(), so a dead peer is found within three beats. heard() says that there was
 * life.
 *
 * Timers of hidden tabs come up to a minute late, and those of a machine that slept much later: then
 * answers may lie unread behind the timer. So a beat that comes late only asks; it takes a punctual
 * one to bury anybody.
 */
export class Heartbeat {
  #every
  #ask
  #dead
  #clock
  #timer
  #due
  #heard = true
  #asked = false

  constructor ({ every, ask, dead, clock = Date.now }) {
    this.#every = every
    this.#ask = ask
    this.#dead = dead
    this.#clock = clock
  }

  start () {
    this.#heard = true
    this.#asked = false
    this.#wait(this.#every)
  }

  stop () {
    clearTimeout(this.#timer)
  }

  heard () {
    this.#heard = true
  }

  /** Something makes it doubtful: asks now, and gives the answer no longer than ms. */
  probe (ms) {
    this.#heard = false
    this.#asked = true
    this.#ask()
    this.#wait(Math.min(ms, this.#every))
  }

  #wait (ms) {
    clearTimeout(this.#timer)
    this.#due = this.#clock() + ms
    this.#timer = setTimeout(() => this.#beat(), ms)
  }

  #beat () {
    const late = this.#clock() - this.#due > this.#every / 2
    if (this.#heard) this.#asked = false
    else if (this.#asked && !late) return this.#dead()
    else {
      this.#asked = true
      this.#ask()
    }
    this.#heard = false
    this.#wait(this.#every)
  }
}
