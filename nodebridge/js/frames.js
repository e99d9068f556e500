// Frames: their kinds and limits, what may stand in them, and where they begin and end. ../doc.go is
// the protocol and has the tables; this file and ../frame.go say the same.
import { allocUnsafeSlow, byteLength, copyInto, min, subarray, utf8Write } from './primordials.js'

export const Init = 0x01
export const Load = 0x02
export const Unload = 0x03
export const Call = 0x04
export const Pause = 0x05
export const Cancel = 0x06
export const Send = 0x07
export const Ping = 0x08
export const Response = 0x09
export const Taken = 0x0a
export const Bounds = 0x0b
export const Begin = 0x10
export const Data = 0x11
export const Credit = 0x12
export const Ready = 0x81
export const Loaded = 0x82
export const LoadFailed = 0x83
export const Result = 0x84
export const Error = 0x85 // import as a namespace where the global Error is meant, too
export const Event = 0x86
export const Log = 0x87
export const Paused = 0x88
export const Refused = 0x89
export const Pong = 0x8a
export const Request = 0x8b

export const HEAD = 9 // bytes of a frame's length, kind and id
export const BODY_HEAD = 5 // of a frame's body: kind and id
export const MAX_PAYLOAD = 64 << 10 // of one frame; what is larger travels as a message
export const MAX_LENGTH = BODY_HEAD + MAX_PAYLOAD
export const WINDOW = 256 << 10 // bytes of a message that may be under way before the first Credit
export const MAX_MESSAGES = 16 // under way at a time, each way
export const MAX_MESSAGE = (64 << 20) + (64 << 10) // unless Init says otherwise

export const JSON = 0
export const BYTES = 1
export const NOTHING = 2

// What a Request asks for.
export const CHECKPOINT = 1
export const INVOKE = 2
export const START = 3
export const PUBLISH = 4

// ProtocolError says that the stream can't be trusted any more. reason is one of the golden frames':
// length, kind, payload, message.
export class ProtocolError extends globalThis.Error {
  constructor (reason, message) {
    super(message)
    this.reason = reason
  }
}

// For each half, the kinds that it sends: one more than the bytes a payload has at least.
export const fromHub = table([[Init, 0], [Load, 0], [Unload, 0], [Call, 8], [Pause, 0], [Cancel, 0], [Send, 9],
  [Ping, 0], [Response, 6], [Taken, 4], [Bounds, 0], [Begin, 4], [Data, 1], [Credit, 4]])
export const fromBridge = table([[Ready, 0], [Loaded, 0], [LoadFailed, 0], [Result, 1], [Error, 0], [Event, 1],
  [Log, 0], [Paused, 2], [Refused, 0], [Pong, 0], [Request, 5], [Begin, 4], [Data, 1], [Credit, 4]])

function table (rows) {
  const t = new Uint8Array(256)
  for (const [kind, least] of rows) t[kind] = 1 + least
  return t
}

export function u32 (b, at) {
  return (b[at] | b[at + 1] << 8 | b[at + 2] << 16 | b[at + 3] << 24) >>> 0
}

// u64 is exact up to 2^53.
export function u64 (b, at) { return u32(b, at) + u32(b, at + 4) * 0x100000000 }

export function putU32 (b, at, n) {
  b[at] = n
  b[at + 1] = n >>> 8
  b[at + 2] = n >>> 16
  b[at + 3] = n >>> 24
}

// head gives room for the n bytes that a payload begins with, and metaHead for n, a meta's length and it.
export function head (n) { return allocUnsafeSlow(n) }

export function metaHead (meta, n) {
  const m = byteLength(meta)
  const b = allocUnsafeSlow(n + 2 + m)
  b[n] = m
  b[n + 1] = m >>> 8
  if (m > 0) utf8Write(b, meta, n + 2)
  return b
}

// bytesOf gives b[start:end] to a function: as it is if it is owned, else a copy in memory of its own, as a
// pool's would show what is beside it.
export function bytesOf (b, start, end, owned) {
  if (owned) return subarray(b, start, end)
  const bytes = allocUnsafeSlow(end - start)
  copyInto(bytes, subarray(b, start, end), 0)
  return bytes
}

// check throws unless a half whose table is `from` may send this kind with the payload b[start:end].
export function check (from, kind, b, start, end) {
  const least = from[kind]
  if (least === 0) throw new ProtocolError('kind', `a frame has the kind 0x${kind.toString(16)}`)
  let ok = end - start >= least - 1
  if (ok) {
    if (kind === Call) {
      const n = start + 6 + b[start + 5] // where the meta's length stands
      ok = b[start + 4] <= NOTHING && n + 2 <= end && n + 2 + (b[n] | b[n + 1] << 8) <= end
    } else if (kind === Result) {
      ok = b[start] <= NOTHING
    } else if (kind === Event) {
      ok = end - start > b[start]
    } else if (kind === Send) {
      ok = end - start - 8 > b[start + 8]
    } else if (kind === Response) {
      ok = b[start + 4] <= 1 && b[start + 5] <= NOTHING
    } else if (kind === Paused) {
      ok = metaFits(b, start, end)
    } else if (kind === Request) {
      const op = b[start + 4]
      ok = op === CHECKPOINT ? metaFits(b, start + 5, end) : op >= INVOKE && op <= PUBLISH
    }
  }
  if (!ok) throw new ProtocolError('payload', `a frame of kind 0x${kind.toString(16)} has a bad payload of ${end - start} bytes`)
}

function metaFits (b, start, end) { return start + 2 <= end && start + 2 + (b[start] | b[start + 1] << 8) <= end }

// checkMessage is check for a body that came in a message.
export function checkMessage (from, kind, b, start, end) {
  switch (kind) {
    case Init: case Ready: case Begin: case Data: case Credit:
      throw new ProtocolError('kind', `a message has the kind 0x${kind.toString(16)}`)
  }
  check(from, kind, b, start, end)
}

// Splitter finds the frames in chunks that are cut anywhere. It calls each(kind, id, b, start, end)
// for every frame that a chunk completes; b[start:end] is the payload, valid only during the call.
export class Splitter {
  #from
  #each
  #rest = null // the part of a frame that the chunks so far ended with, and room for the whole
  #kept = 0 // bytes of it

  constructor (from, each) {
    this.#from = from
    this.#each = each
  }

  // split takes chunk[0:n]. If it throws, nothing more may be split.
  split (chunk, n) {
    let at = 0
    while (this.#kept > 0 && at < n) at = this.#complete(chunk, at, n)
    while (n - at >= 4) {
      const end = at + 4 + length(chunk, at)
      if (end > n) break
      this.#hand(chunk, at + 4, end)
      at = end
    }
    if (at < n) this.#keep(chunk, at, n)
  }

  // #complete takes what the kept frame still needs, and gives where it stopped.
  #complete (chunk, at, n) {
    const want = this.#kept < 4 ? 4 : 4 + u32(this.#rest, 0)
    const to = min(n, at + want - this.#kept)
    this.#keep(chunk, at, to)
    if (this.#kept === 4) {
      length(this.#rest, 0)
    } else if (this.#kept === want) {
      this.#kept = 0
      this.#hand(this.#rest, 4, want)
    }
    return to
  }

  #keep (chunk, at, to) {
    this.#rest ??= allocUnsafeSlow(4 + MAX_LENGTH)
    copyInto(this.#rest, subarray(chunk, at, to), this.#kept)
    this.#kept += to - at
  }

  #hand (b, at, end) {
    const kind = b[at]
    check(this.#from, kind, b, at + BODY_HEAD, end)
    this.#each(kind, u32(b, at + 1), b, at + BODY_HEAD, end)
  }
}

function length (b, at) {
  const n = u32(b, at)
  if (n < BODY_HEAD || n > MAX_LENGTH) throw new ProtocolError('length', `a frame's length is ${n}`)
  return n
}
