import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import * as frames from '../frames.js'
import { Incoming } from '../incoming.js'
import { Outgoing } from '../outgoing.js'
import { callPayload, eventPayload, frame, metaPayload, random, requestPayload, responsePayload, sendPayload } from './hub.js'

const cases = JSON.parse(readFileSync(new URL('../../testdata/frames/manifest.json', import.meta.url)))

function bytesOf (c) {
  if (c.bytes !== undefined) return Buffer.from(c.bytes, 'hex')
  return Buffer.concat(c.pieces.map(p => p.bytes !== undefined ? Buffer.from(p.bytes, 'hex') : Buffer.alloc(p.times, Buffer.from(p.repeat, 'hex'))))
}

// payloadOf makes the payload of a golden frame, by the README beside it.
function payloadOf (f) {
  const rest = f.hex !== undefined ? Buffer.from(f.hex, 'hex') : Buffer.from(f.text ?? '')
  const u32 = n => {
    const b = Buffer.alloc(4)
    b.writeUInt32LE(n)
    return b
  }
  switch (f.kind) {
    case 'Call': return callPayload(f.module, rest, f)
    case 'Send': return sendPayload(f.number, f.type, 'raw:' + f.text)
    case 'Event': return eventPayload(f.type, 'raw:' + f.text)
    case 'Response': return responsePayload(f.number, f.status, f.encoding, rest)
    case 'Paused': return metaPayload(f.meta, rest)
    case 'Request': return requestPayload(f.number, f.op, f.op === frames.CHECKPOINT ? metaPayload(f.meta, rest) : rest)
    case 'Result': return Buffer.concat([Buffer.from([f.encoding]), rest])
    case 'Begin': return u32(f.total)
    case 'Credit': return u32(f.bytes)
    case 'Taken': return u32(f.events)
    default: return rest
  }
}

const plain = (kind, id, payload) => ({ kind, id, payload: Buffer.from(payload).toString('hex') })

// decode gives the frames and messages in chunks, as a receiver sees them.
function decode (by, chunks, max = frames.MAX_MESSAGE) {
  const from = by === 'hub' ? frames.fromHub : frames.fromBridge
  const got = []
  const messages = []
  const incoming = new Incoming(from, max, () => {})
  const splitter = new frames.Splitter(from, (kind, id, b, start, end) => {
    got.push(plain(kind, id, b.subarray(start, end)))
    if (kind === frames.Begin) return incoming.begin(id, frames.u32(b, start))
    if (kind === frames.Data) {
      const body = incoming.data(id, b, start, end)
      if (body) messages.push(plain(body[0], frames.u32(body, 1), body.subarray(5)))
      return
    }
    messages.push(got.at(-1))
  })
  try {
    for (const chunk of chunks) splitter.split(chunk, chunk.length)
  } catch (err) {
    if (!(err instanceof frames.ProtocolError)) throw err
    return { error: err.reason }
  }
  return { frames: got, messages }
}

function expectation (c) {
  if (c.error) return { error: c.error }
  const of = list => list.map(f => plain(frames[f.kind], f.id, payloadOf(f)))
  return { frames: of(c.frames), messages: of(c.messages ?? c.frames) }
}

// splits gives ways to cut bytes: whole, byte by byte, and in two at every place.
function * splits (b) {
  yield [b]
  if (b.length > 2000) {
    for (const size of [1, 9, 4096, 65536]) {
      const chunks = []
      for (let at = 0; at < b.length; at += size) chunks.push(b.subarray(at, at + size))
      yield chunks
    }
    return
  }
  yield Array.from(b, (_, i) => b.subarray(i, i + 1))
  for (let i = 1; i < b.length; i++) yield [b.subarray(0, i), b.subarray(i)]
}

for (const c of cases) {
  test(`golden frames are read however they are cut: ${c.name}`, () => {
    const want = expectation(c)
    for (const chunks of splits(bytesOf(c))) assert.deepEqual(decode(c.by, chunks), want)
  })
  if (c.frames) {
    test(`golden frames are written byte for byte: ${c.name}`, () => {
      assert.equal(Buffer.concat(c.frames.map(f => frame(frames[f.kind], f.id, payloadOf(f)))).toString('hex'), bytesOf(c).toString('hex'))
    })
  }
}

test('the writer makes the golden frames of the bridge', async () => {
  for (const c of cases.filter(c => c.by === 'bridge' && c.frames && !c.messages)) {
    const { out, written } = collector()
    for (const f of c.frames) {
      if (f.kind === 'Result') {
        if (f.encoding === frames.BYTES) out.sendBytes(frames.Result, f.id, f.encoding, Buffer.from(f.hex, 'hex'))
        else out.send(frames.Result, f.id, f.encoding, f.text ?? '')
      } else if (f.kind === 'Event') {
        out.sendNow(frames.Event, f.id, Buffer.byteLength(f.type), f.type + f.text)
      } else if (f.kind === 'Credit') {
        out.sendU32(frames.Credit, f.id, f.bytes)
      } else if (f.kind === 'Paused' || f.kind === 'Request') {
        const payload = payloadOf(f)
        out.sendBytes(frames[f.kind], f.id, payload[0], payload.subarray(1))
      } else {
        out.send(frames[f.kind], f.id, -1, f.text ?? '')
      }
    }
    out.flush()
    assert.equal(written().toString('hex'), bytesOf(c).toString('hex'), c.name)
  }
})

// collector gives an Outgoing and what it wrote; while stalled, its stream takes nothing.
function collector (max = frames.MAX_MESSAGE) {
  const chunks = []
  const stream = new Writable({ write (chunk, encoding, done) {
    chunks.push(Buffer.from(chunk))
    if (stream.stalled) stream.go = done
    else done()
  } })
  return { out: new Outgoing(stream, max), stream, written: () => Buffer.concat(chunks) }
}

test('random garbage ends the connection or is read, and never throws anything else', () => {
  const seed = 20250705
  console.log(`seed ${seed}`)
  const below = random(seed)
  for (let i = 0; i < 3000; i++) {
    const good = bytesOf(cases[below(20)])
    const b = Buffer.from(good.length < 2000 ? good : good.subarray(0, 2000))
    for (let n = below(4); n >= 0; n--) b[below(b.length)] = below(256)
    const tail = Buffer.from(Array.from({ length: below(64) }, () => below(256)))
    const all = Buffer.concat([b, tail])
    for (const by of ['hub', 'bridge']) {
      const whole = decode(by, [all])
      const cut = below(all.length)
      assert.deepEqual(decode(by, [all.subarray(0, cut), all.subarray(cut)]), whole)
    }
  }
})

test('a message of any size arrives whole, and never more than its credit is under way', async () => {
  for (const size of [0, 1, 21835, 21836, 65530, 65531, 65535, 65536, 65537, frames.WINDOW - 6, frames.WINDOW, frames.WINDOW + 1, 3 << 20]) {
    const { out, written } = collector()
    const bytes = Buffer.alloc(size, 'é')
    assert.equal(out.sendBytes(frames.Result, 1 << 20, frames.BYTES, bytes), true)
    let granted = frames.WINDOW
    let read = 0
    const messages = []
    const incoming = new Incoming(frames.fromBridge, frames.MAX_MESSAGE, (id, n) => {
      granted += n
      out.credit(id, n)
    })
    let data = 0
    const splitter = new frames.Splitter(frames.fromBridge, (kind, id, b, start, end) => {
      if (kind === frames.Begin) return incoming.begin(id, frames.u32(b, start))
      const body = kind === frames.Data ? incoming.data(id, b, start, end) : Buffer.concat([Buffer.alloc(5), b.subarray(start, end)])
      if (kind === frames.Data) data += end - start
      assert.ok(data <= granted)
      if (body) messages.push(Buffer.from(body.subarray(6)))
    })
    for (let i = 0; messages.length === 0 && i < 1000; i++) {
      out.flush()
      const all = written()
      splitter.split(all.subarray(read), all.length - read)
      read = all.length
    }
    assert.equal(messages.length, 1, `${size} bytes`)
    assert.ok(messages[0].equals(bytes), `${size} bytes`)
  }
})

test('frames of one call keep their order behind a message, those of others pass', () => {
  const { out, written } = collector()
  const big = 'x'.repeat(frames.WINDOW + 70000)
  out.send(frames.Event, 1, 1, 'a' + JSON.stringify(big))
  out.send(frames.Event, 1, 1, 'b1')
  out.send(frames.Result, 1, frames.JSON, '1')
  out.send(frames.Result, 2, frames.JSON, '2')
  out.flush()
  out.flush()
  const kinds = () => decode('bridge', [written()]).frames.map(f => [f.kind, f.id])
  assert.deepEqual(kinds().filter(([kind]) => kind < 0x10 || kind > 0x12), [[frames.Result, 2]])
  out.credit(1, 1 << 20)
  out.flush()
  assert.deepEqual(kinds().slice(-2), [[frames.Event, 1], [frames.Result, 1]])
  assert.deepEqual(decode('bridge', [written()]).messages.map(f => [f.kind, f.id]), [[frames.Result, 2], [frames.Event, 1], [frames.Event, 1], [frames.Result, 1]])
})

test('at most 16 messages are under way, the seventeenth waits for a place', () => {
  const { out, written } = collector()
  for (let id = 1; id <= 18; id++) out.sendBytes(frames.Result, id, frames.BYTES, Buffer.alloc(frames.WINDOW + 10))
  for (let i = 0; i < 40; i++) out.flush()
  const begun = () => decode('bridge', [written()]).frames.filter(f => f.kind === frames.Begin).length
  assert.equal(begun(), 16)
  out.credit(1, 1000)
  out.credit(2, 1000)
  for (let i = 0; i < 10; i++) out.flush()
  assert.equal(begun(), 18)
})

test('a frame that is larger than a message may be is not sent', () => {
  const { out, written } = collector(100000)
  assert.equal(out.send(frames.Result, 1, frames.JSON, 'x'.repeat(100000)), false)
  assert.equal(out.sendBytes(frames.Result, 1, frames.BYTES, Buffer.alloc(100000)), false)
  assert.equal(out.sendBytes(frames.Result, 1, frames.BYTES, Buffer.alloc(100000 - 6)), true)
  out.flush()
  assert.equal(decode('bridge', [written()]).messages.length, 1)
})

test('a buffer that the stream still reads is not written to', () => {
  const { out, stream, written } = collector()
  stream.stalled = true
  for (let i = 0; i < 5000; i++) {
    out.send(frames.Result, i, frames.JSON, JSON.stringify('n'.repeat(i % 500)))
    if (i % 97 === 0) out.flush()
    if (i % 1000 === 999) {
      const { go } = stream
      stream.go = undefined
      go?.()
    }
  }
  out.flush()
  stream.stalled = false
  stream.go()
  const got = decode('bridge', [written()]).frames
  assert.equal(got.length, 5000)
  got.forEach((f, i) => assert.deepEqual(f, plain(frames.Result, i, '\0' + JSON.stringify('n'.repeat(i % 500)))))
})
