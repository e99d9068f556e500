// Quotas of what is logged: so many lines and bytes a second of an execution, and SHARE times as much of the
// process. What is beyond is dropped, and one line a second says how much. The hub has quotas of its own
// (../quota.go): code that writes to the descriptors itself never comes by here.
import { byteLength, now, setTimeout, stringify } from './primordials.js'

const SECOND = 1000 // ms
export const SHARE = 10 // quotas of one execution that all of a process have together

// Bounds are what the hub allows.
export class Bounds {
  lines = Infinity
  bytes = Infinity

  set ({ logRate, logBytes }) {
    this.lines = logRate > 0 ? logRate : Infinity
    this.bytes = logBytes > 0 ? logBytes : Infinity
  }
}

// Quota is one second of one who logs, and the next. tell(payload) logs that something was dropped.
export class Quota {
  #bounds
  #times
  #tell
  #since = 0 // when the second began
  #lines = 0
  #bytes = 0
  #dropped = { lines: 0, bytes: 0 }
  #waits = false // for the end of the second, to tell

  constructor (bounds, times, tell) {
    this.#bounds = bounds
    this.#times = times
    this.#tell = tell
  }

  // open says whether a line may be logged. Then took has to be told its size; else drop.
  open () {
    const at = now()
    if (at - this.#since >= SECOND || at < this.#since) {
      this.told()
      this.#since = at
      this.#lines = this.#bytes = 0
    }
    return this.#lines < this.#bounds.lines * this.#times && this.#bytes < this.#bounds.bytes * this.#times
  }

  took (bytes) {
    this.#lines++
    this.#bytes += bytes
  }

  drop (bytes) {
    this.#dropped.lines++
    this.#dropped.bytes += bytes
    if (this.#waits) return
    this.#waits = true
    setTimeout(() => {
      this.#waits = false
      this.told()
    }, SECOND)
  }

  // told tells what was dropped and was not told yet.
  told () {
    const { lines, bytes } = this.#dropped
    if (lines === 0) return
    this.#dropped = { lines: 0, bytes: 0 }
    const message = `${lines} ${lines === 1 ? 'line was' : 'lines were'} dropped: more is logged than ${this.#limits()} allow.`
    this.#tell(`{"level":"warn","message":${stringify(message)},"dropped":{"lines":${lines},"bytes":${bytes}}}`)
  }

  #limits () {
    const { lines, bytes } = this.#bounds
    const limits = []
    if (lines < Infinity) limits[limits.length] = `${lines * this.#times} lines (logRate)`
    if (bytes < Infinity) limits[limits.length] = `${bytes * this.#times} bytes (logBytes)`
    return `${limits.join(' and ')} a second`
  }
}

// Logs are the quotas of a process. write(id, payload) sends a Log.
export class Logs {
  bounds = new Bounds()
  #all
  #nobodys
  #notices = { since: 0, n: 0 }
  #write

  constructor (write) {
    this.#write = write
    this.#all = new Quota(this.bounds, SHARE, payload => write(0, payload))
    this.#nobodys = new Quota(this.bounds, 1, payload => write(0, payload))
  }

  // quota makes that of an execution; id is of its frames.
  quota (id) { return new Quota(this.bounds, 1, payload => this.#notice(id, payload)) }

  // log sends a line of who has the quota, by default of nobody. build gives its payload, and is not called for one that is dropped.
  log (id, quota = this.#nobodys, message, fields, build) {
    if (!quota.open()) {
      quota.drop(message.length + fields.length)
    } else if (!this.#all.open()) {
      this.#all.drop(message.length + fields.length)
    } else {
      const payload = build()
      const bytes = byteLength(payload)
      quota.took(bytes)
      this.#all.took(bytes)
      this.#write(id, payload)
    }
  }

  // #notice keeps what is said of dropped lines within the process's quota of lines, too.
  #notice (id, payload) {
    const notices = this.#notices
    const at = now()
    if (at - notices.since >= SECOND || at < notices.since) {
      notices.since = at
      notices.n = 0
    }
    if (notices.n++ < this.bounds.lines * SHARE) this.#write(id, payload)
  }
}
