// A small hub for tests: it starts main.js as the hub does, with frames on descriptors 3 and 4, writes
// frames of its own making, and checks every frame that comes back.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Incoming } from '../incoming.js'
import * as frames from '../frames.js'

const main = fileURLToPath(new URL('../main.js', import.meta.url))
const names = Object.fromEntries(Object.entries(frames).filter(([name, kind]) => typeof kind === 'number' && /^[A-Z][a-zA-Z]+$/.test(name)).map(([name, kind]) => [kind, name]))

// frame gives the bytes of a frame.
export function frame (kind, id = 0, payload = '') {
  payload = Buffer.from(payload)
  const b = Buffer.alloc(9 + payload.length)
  b.writeUInt32LE(5 + payload.length)
  b[4] = kind
  b.writeUInt32LE(id, 5)
  payload.copy(b, 9)
  return b
}

export function callPayload (module, args, { encoding, execution = 'x1', meta = '' } = {}) {
  const bytes = args instanceof Uint8Array
  encoding ??= args === undefined ? frames.NOTHING : bytes ? frames.BYTES : frames.JSON
  const body = args === undefined ? '' : bytes || typeof args === 'string' ? args : JSON.stringify(args)
  const head = Buffer.alloc(6)
  head.writeUInt32LE(module)
  head[4] = encoding
  head[5] = Buffer.byteLength(execution)
  const m = Buffer.alloc(2)
  m.writeUInt16LE(Buffer.byteLength(meta))
  return Buffer.concat([head, Buffer.from(execution), m, Buffer.from(meta), Buffer.from(body)])
}

export function sendPayload (number, type, data) {
  const b = Buffer.alloc(8)
  b.writeBigUInt64LE(BigInt(number))
  return Buffer.concat([b, eventPayload(type, data)])
}

export function responsePayload (number, status, encoding, body) {
  const head = Buffer.alloc(6)
  head.writeUInt32LE(number)
  head[4] = status
  head[5] = encoding
  return Buffer.concat([head, Buffer.from(body)])
}

// metaPayload is what Paused and a checkpoint begin with.
export function metaPayload (meta, rest) {
  const m = Buffer.alloc(2)
  m.writeUInt16LE(Buffer.byteLength(meta))
  return Buffer.concat([m, Buffer.from(meta), rest])
}

export function requestPayload (number, op, rest) {
  const head = Buffer.alloc(5)
  head.writeUInt32LE(number)
  head[4] = op
  return Buffer.concat([head, rest])
}

export function eventPayload (type, data) {
  return Buffer.concat([Buffer.from([Buffer.byteLength(type)]), Buffer.from(type), Buffer.from(data === undefined ? '' : typeof data === 'string' && data.startsWith('raw:') ? data.slice(4) : JSON.stringify(data))])
}

// start gives a hub whose process ends with the test.
export async function start (t, { maxMessage = frames.MAX_MESSAGE, init = true } = {}) {
  const hub = new TestHub(maxMessage)
  t.after(() => hub.close())
  if (init) {
    hub.write(frame(frames.Init, 0, JSON.stringify({ protocol: 1, maxMessage })))
    const ready = await hub.next(f => f.kind === 'Ready')
    assert.deepEqual(ready.json, { pid: hub.child.pid, node: process.versions.node })
  }
  return hub
}

// folder makes a temporary folder with files in it, which goes with the test.
export function folder (t, files) {
  const dir = mkdtempSync(join(tmpdir(), 'livefn-js-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(typeof files === 'string' ? { 'index.js': files } : files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true })
    writeFileSync(join(dir, name), text)
  }
  return dir
}

class TestHub {
  stdout = ''
  stderr = ''
  frames = [] // all that came, in order
  #calls = new Map()
  #watchers = new Set()
  #handles = 0
  #ids = 0
  #transfers = 0
  #credit = new Map()

  constructor (maxMessage) {
    this.child = spawn(process.execPath, [main], { stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'], env: { PATH: process.env.PATH } })
    const [, stdout, stderr, down, up] = this.child.stdio
    stdout.on('data', b => { this.stdout += b })
    stderr.on('data', b => { this.stderr += b })
    this.down = down
    down.on('error', () => {}) // the process ended
    this.exited = once(this.child, 'exit').then(([code, signal]) => {
      this.gone = { code, signal }
      this.#wake()
      return this.gone
    })
    const splitter = new frames.Splitter(frames.fromBridge, (kind, id, b, start, end) => this.#take(kind, id, b, start, end))
    this.incoming = new Incoming(frames.fromBridge, maxMessage, (id, n) => {
      const b = Buffer.alloc(4)
      b.writeUInt32LE(n)
      this.write(frame(frames.Credit, id, b))
    })
    up.on('data', b => splitter.split(b, b.length))
  }

  write (bytes) { this.down.write(bytes) }

  #take (kind, id, b, start, end) {
    if (kind === frames.Begin) return this.incoming.begin(id, frames.u32(b, start))
    if (kind === frames.Credit) return this.#granted(id, frames.u32(b, start))
    if (kind === frames.Data) {
      const body = this.incoming.data(id, b, start, end)
      if (body !== null) this.#take(body[0], frames.u32(body, 1), body, 5, body.length)
      return
    }
    const f = new Frame(names[kind], id, Buffer.from(b.subarray(start, end)))
    this.frames.push(f)
    if (((kind >= frames.Result && kind <= frames.Refused) || kind === frames.Request) && id !== 0) {
      const call = this.#calls.get(id)
      assert.ok(call, `a ${f.kind} for a call that was never made`)
      assert.equal(call.final, undefined, `a ${f.kind} after the final frame`)
      call.frames.push(f)
      if (['Result', 'Error', 'Paused'].includes(f.kind)) call.final = f
    }
    this.#wake()
  }

  #wake () { for (const watcher of [...this.#watchers]) watcher() }

  // until resolves once f gives something.
  until (f, what = String(f)) {
    return new Promise((resolve, reject) => {
      const watcher = () => {
        let found
        try {
          found = f()
        } catch (err) {
          this.#watchers.delete(watcher)
          return reject(err)
        }
        if (found) {
          this.#watchers.delete(watcher)
          resolve(found)
        } else if (this.gone) {
          this.#watchers.delete(watcher)
          reject(new Error(`the process ended (${JSON.stringify(this.gone)}) before: ${what}\n${this.stderr}`))
        }
      }
      this.#watchers.add(watcher)
      watcher()
    })
  }

  next (match) { return this.until(() => this.frames.find(match)) }

  // message writes a body as a message, under the bridge's credit; gap is called between its frames.
  async message (kind, id, payload, gap = () => {}) {
    const body = frame(kind, id, payload).subarray(4)
    const transfer = ++this.#transfers
    const total = Buffer.alloc(4)
    total.writeUInt32LE(body.length)
    this.#credit.set(transfer, { left: frames.WINDOW, wake: () => {} })
    this.write(frame(frames.Begin, transfer, total))
    for (let at = 0; at < body.length;) {
      const credit = this.#credit.get(transfer)
      if (credit.left === 0) await new Promise(resolve => { credit.wake = resolve })
      const n = Math.min(frames.MAX_PAYLOAD, credit.left, body.length - at)
      this.write(frame(frames.Data, transfer, body.subarray(at, at + n)))
      credit.left -= n
      at += n
      await gap()
    }
    this.#credit.delete(transfer)
  }

  #granted (id, n) {
    const credit = this.#credit.get(id)
    if (!credit) return
    credit.left += n
    credit.wake()
  }

  // loads loads a folder and gives the frame that answers.
  async loads (dir, { tail = true, env = {}, name = 'fn', version = 1 } = {}) {
    const handle = ++this.#handles
    this.write(frame(frames.Load, handle, JSON.stringify({ function: name, version, tenant: 'acme', dir, tail, env })))
    return this.next(f => (f.kind === 'Loaded' || f.kind === 'LoadFailed') && f.id === handle)
  }

  // load loads source, or a folder, and gives its handle.
  async load (t, source, options) {
    const answer = await this.loads(folder(t, source), options)
    assert.equal(answer.kind, 'Loaded', answer.text)
    return answer.id
  }

  // call makes a call.
  call (module, args, options) {
    const call = new TestCall(this, ++this.#ids, callPayload(module, args, options))
    this.#calls.set(call.id, call)
    if (call.payload.length <= frames.MAX_PAYLOAD) this.write(frame(frames.Call, call.id, call.payload))
    else call.sent = this.message(frames.Call, call.id, call.payload, options?.gap)
    return call
  }

  // run makes a call of source and gives its final frame.
  async run (t, source, args = [], options) { return this.call(await this.load(t, source, options), args, options).end() }

  async close () {
    if (!this.gone) this.child.kill('SIGKILL')
    await this.exited
  }
}

export class TestCall {
  frames = []
  final = undefined

  constructor (hub, n, payload) {
    this.hub = hub
    this.id = (1 << 20 | n) >>> 0
    this.payload = payload
  }

  end () { return this.hub.until(() => this.final, 'a final frame') }
  event (type) { return this.hub.until(() => this.frames.find(f => f.kind === 'Event' && f.type === type), `an event ${type}`) }
  log (message) { return this.hub.until(() => this.frames.find(f => f.kind === 'Log' && f.json.message.includes(message)), `a log ${message}`) }
  // request waits for the n-th Request, respond answers one: with a value, bytes, or undefined, and fault with a fault.
  request (n) {
    return this.hub.until(() => {
      const found = this.frames.find(f => f.kind === 'Request' && f.number === n)
      if (!found && this.final) assert.fail(`no request ${n} before ${this.final.kind} ${this.final.text}`)
      return found
    }, `request ${n}`)
  }

  respond (number, value) {
    const bytes = value instanceof Uint8Array
    const encoding = value === undefined ? frames.NOTHING : bytes ? frames.BYTES : frames.JSON
    this.response(number, 0, encoding, value === undefined ? '' : bytes ? value : JSON.stringify(value))
  }

  fault (number, fault) { this.response(number, 1, frames.JSON, JSON.stringify(fault)) }
  response (number, status, encoding, body) {
    const payload = responsePayload(number, status, encoding, body)
    if (payload.length <= frames.MAX_PAYLOAD) this.hub.write(frame(frames.Response, this.id, payload))
    else this.hub.message(frames.Response, this.id, payload)
  }

  get events () { return this.frames.filter(f => f.kind === 'Event').map(f => [f.type, f.json]) }
  get logs () { return this.frames.filter(f => f.kind === 'Log').map(f => f.json) }
  get kinds () { return this.frames.map(f => f.kind) }

  pause (info = { reason: 'request', deadline: 1767225600000 }) { this.hub.write(frame(frames.Pause, this.id, JSON.stringify(info))) }
  taken (n) {
    const b = Buffer.alloc(4)
    b.writeUInt32LE(n)
    this.hub.write(frame(frames.Taken, this.id, b))
  }

  cancel (info = { reason: 'request' }) { this.hub.write(frame(frames.Cancel, this.id, JSON.stringify(info))) }
  send (type, data, number = 0) { this.hub.write(frame(frames.Send, this.id, sendPayload(number, type, data))) }
}

class Frame {
  constructor (kind, id, payload) {
    this.kind = kind
    this.id = id
    this.payload = payload
  }

  get #start () {
    switch (this.kind) {
      case 'Result': return 1
      case 'Event': return 1 + this.payload[0]
      case 'Paused': return 2 + this.payload.readUInt16LE(0)
      case 'Request': return this.op === frames.CHECKPOINT ? 7 + this.payload.readUInt16LE(5) : 5
      default: return 0
    }
  }

  // of a Request and, meta, of a Paused
  get number () { return this.payload.readUInt32LE(0) }
  get op () { return this.payload[4] }
  get meta () {
    const text = this.payload.toString('utf8', this.kind === 'Request' ? 7 : 2, this.#start)
    return text === '' ? undefined : JSON.parse(text)
  }

  get type () { return this.payload.toString('utf8', 1, this.#start) }
  get encoding () { return this.payload[0] }
  get bytes () { return this.payload.subarray(this.#start) }
  get text () { return this.bytes.toString() }
  get json () { return this.text === '' ? undefined : JSON.parse(this.text) }
}

// random gives a generator of numbers below n, the same for the same seed (mulberry32).
export function random (seed) {
  return n => {
    seed = seed + 0x6d2b79f5 | 0
    let t = Math.imul(seed ^ seed >>> 15, 1 | seed)
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t
    return ((t ^ t >>> 14) >>> 0) % n
  }
}
