// Bridge is this process as the hub sees it: it takes the hub's frames, and has what answers them.
import { now, parse, SafeMap, stringify, then, utf8Slice } from './primordials.js'
import * as frames from './frames.js'
import { Incoming } from './incoming.js'
import { enter } from './context.js'
import { Calls, call, release } from './run.js'
import { Module, load, unload } from './loader.js'
import { line } from './execution.js'
import { Logs } from './quota.js'
import { hide, merge } from './secrets.js'
import { describe, told } from './thrown.js'

export class Bridge {
  out
  calls = new Calls()
  logs = new Logs((id, payload) => id === 0 ? this.out.sendFree(frames.Log, 0, payload) : this.out.sendNow(frames.Log, id, -1, payload))
  at = 0 // when the last call of the chunk returned
  #modules = new SafeMap()
  #splitter = new frames.Splitter(frames.fromHub, (kind, id, b, start, end) => this.#take(kind, id, b, start, end, false))
  #incoming = new Incoming(frames.fromHub, frames.MAX_MESSAGE, (id, n) => this.out.sendU32(frames.Credit, id, n))
  #ready = false
  #secrets = null // of all modules

  constructor (out) { this.out = out }

  // receive takes a chunk of what the hub wrote. It throws a ProtocolError if that can't be trusted.
  receive (chunk, n) {
    this.out.corked = true
    this.at = now()
    this.#splitter.split(chunk, n)
    enter(undefined)
    this.out.corked = false
    this.out.flush()
  }

  // #take takes a frame or, owned, a message, whose memory is the taker's.
  #take (kind, id, b, start, end, owned) {
    if (kind === frames.Call) {
      if (!this.#ready) throw new frames.ProtocolError('kind', 'the first frame is not Init')
      call(this, id, b, start, end, owned)
      return
    }
    if (!this.#ready) {
      if (kind !== frames.Init) throw new frames.ProtocolError('kind', 'the first frame is not Init')
      this.#init(json(b, start, end))
      return
    }
    enter(undefined)
    switch (kind) {
      case frames.Load:
        this.#load(id, json(b, start, end))
        break
      case frames.Unload:
        this.#unload(id)
        break
      case frames.Pause:
        this.calls.get(id)?.pause(json(b, start, end))
        break
      case frames.Cancel:
        this.calls.get(id)?.cancel(json(b, start, end))
        break
      case frames.Send: {
        const n = start + 9 + b[start + 8]
        this.calls.get(id)?.receive(frames.u64(b, start), utf8Slice(b, start + 9, n), utf8Slice(b, n, end))
        break
      }
      case frames.Response:
        this.calls.get(id)?.answer(b, start, end, owned)
        break
      case frames.Taken:
        this.calls.get(id)?.rare?.flow?.taken(frames.u32(b, start))
        break
      case frames.Ping:
        this.out.sendFree(frames.Pong, id, '')
        this.out.flush() // before anything behind it in this chunk runs
        break
      case frames.Bounds:
        this.logs.bounds.set(json(b, start, end))
        break
      case frames.Begin:
        this.#incoming.begin(id, frames.u32(b, start))
        break
      case frames.Data: {
        const body = this.#incoming.data(id, b, start, end)
        if (body !== null) this.#take(body[0], frames.u32(body, 1), body, frames.BODY_HEAD, body.length, true)
        break
      }
      case frames.Credit:
        this.out.credit(id, frames.u32(b, start))
        break
      case frames.Init:
        throw new frames.ProtocolError('kind', 'a second Init')
    }
  }

  #init ({ protocol, maxMessage }) {
    if (protocol !== 1) throw new frames.ProtocolError('kind', `the hub speaks protocol ${protocol}, this is 1`)
    if (maxMessage > 0) this.out.max = this.#incoming.max = maxMessage
    this.#ready = true
    this.out.sendFree(frames.Ready, 0, stringify({ pid: process.pid, node: process.versions.node }))
  }

  #load (handle, spec) {
    const module = new Module(handle, spec, this)
    this.#modules.set(handle, module)
    this.#gatherSecrets()
    enter(module)
    then(load(module), () => this.#loaded(module), thrown => this.loadFailed(module, thrown))
  }

  #loaded (module) {
    if (module.failure !== null) return
    module.more.output?.end()
    this.out.sendFree(frames.Loaded, module.handle, stringify({ declared: module.declared, kind: module.kind }))
    release(module)
  }

  loadFailed (module, thrown) {
    if (!module.loading) return
    module.more.output?.end()
    module.failure = describe(thrown, module)
    this.out.sendFree(frames.LoadFailed, module.handle, stringify(module.failure))
    release(module)
  }

  #unload (handle) {
    const module = this.#modules.get(handle)
    if (module === undefined) return
    this.#modules.delete(handle)
    this.#gatherSecrets()
    unload(module)
  }

  // moduleOf gives a broken module for a handle that was never loaded.
  moduleOf (handle) {
    const module = this.#modules.get(handle)
    if (module !== undefined) return module
    const unknown = new Module(handle, { dir: '/', env: {} }, this)
    unknown.failure = { name: 'Error', message: 'The bridge was not told to load this version.', stack: '' }
    return unknown
  }

  #gatherSecrets () {
    const lists = []
    for (const { secrets } of this.#modules.values()) if (secrets !== null) lists.push(secrets)
    this.#secrets = merge(lists)
  }

  // logNobodys logs what nobody can be found for, so it may hold anybody's secrets.
  logNobodys (level, message) { this.log(level, message, '', undefined, () => ({ message: hide(told(message, []), this.#secrets), fields: '' })) }

  // log is for what belongs to no execution in flight; about says where it comes from.
  // clean gives message and fields as they may be shown.
  log (level, message, fields, about, clean) {
    this.logs.log(0, undefined, message, fields, () => {
      const shown = clean()
      fields = shown.fields
      if (about !== undefined) fields = fields === '' ? stringify(about) : `${stringify(about).slice(0, -1)},"fields":${fields}}`
      return line(level, shown.message, fields)
    })
  }
}

function json (b, start, end) {
  try {
    return parse(utf8Slice(b, start, end))
  } catch (err) {
    throw new frames.ProtocolError('payload', `a payload is not JSON: ${err.message}`)
  }
}
