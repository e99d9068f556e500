// What the dashboard knows, and the actions that change it. Everything kept is bounded: the page may
// stay open for weeks beside a busy hub.

import { connect } from '/sdk/livefn.js'
import { Detail } from './detail.js'
import { live, nextFrame } from './live.js'
import { Published } from './published.js'
import { route } from './route.js'
import { Watch } from './watch.js'

const KEY = 'livefn.key'
const EXECUTIONS = 300 // rows kept
const CALLS = 20 // functions whose last call is kept
const PROGRESS = 6 // running executions whose progress is watched
const BRIDGES = 2000 // ms between two looks at the bridges
const ENDED = new Set(['succeeded', 'failed', 'cancelled'])

export class Store {
  state = {
    status: 'signed-out', // connecting | open | reconnecting | closed
    error: undefined, // why signing in failed
    route: route(),
    functions: undefined, // sorted by name; undefined while loading
    functionsError: undefined,
    executions: new Map(), // id → what a row shows of it, and its progress
    executionsError: undefined,
    loaded: false, // the list of executions, once
    sampled: false, // the hub is too busy for all of them to be shown
    calls: new Map(), // function → its last call from here
    bridges: undefined, // {items, ended}: the tenant's Node processes
    settings: undefined, // {packages, origins}: the tenant's; busy, failure: of the last change
    published: undefined, // what stands under the chosen function's name
    detail: undefined, // the open execution
    watch: undefined // the stream or pattern that is watched
  }

  onchange = () => {}
  #key
  #client
  #session // aborted at sign-out: ends all that listens
  #dirty = false
  #publishing = false
  #looks = 0 // at the settings
  #calm // the timer after which a busy hub counts as calm
  #watched = new Map() // execution id → AbortController of its progress

  constructor ({ key }) {
    this.#key = key ?? sessionStorage.getItem(KEY) ?? undefined
    addEventListener('hashchange', () => this.#routed())
    addEventListener('focus', () => {
      if (!this.#client) return
      this.loadFunctions()
      this.loadSettings()
    })
  }

  begin () {
    if (this.#key) this.signIn(this.#key)
  }

  /** Something changed: the views are told once, with the next frame. */
  changed () {
    if (this.#dirty) return
    this.#dirty = true
    nextFrame().then(() => {
      this.#dirty = false
      this.onchange()
    })
  }

  async signIn (key) {
    this.signOut()
    const session = this.#session = new AbortController()
    Object.assign(this.state, { status: 'connecting', error: undefined })
    this.changed()
    try {
      const client = connect('/', { token: key, timeout: Infinity, signal: session.signal })
      await client.ready
      this.#client = client
      this.#key = key
      await this.#api('/functions') // a key may sign in and yet belong to no tenant
      sessionStorage.setItem(KEY, key)
    } catch (error) {
      if (session.signal.aborted) return
      this.signOut()
      this.state.error = error
      this.changed()
      return
    }
    if (session.signal.aborted) return
    this.#client.on('status', status => this.#statusChanged(status))
    this.state.status = this.#client.status
    this.loadFunctions()
    this.loadExecutions()
    this.loadBridges()
    this.loadSettings()
    const looking = setInterval(() => { // they have no stream, and are looked at on the first page alone
      if (!document.hidden && this.state.status === 'open' && !this.state.route.function) this.loadBridges()
    }, BRIDGES)
    session.signal.addEventListener('abort', () => clearInterval(looking))
    this.#watchLifecycle(session.signal)
    this.#routed()
  }

  signOut () {
    this.#session?.abort()
    this.#client?.close()
    this.#client = this.#key = undefined
    this.#watched.clear()
    this.#looks++
    sessionStorage.removeItem(KEY)
    Object.assign(this.state, {
      status: 'signed-out', error: undefined, functions: undefined, functionsError: undefined, executions: new Map(), executionsError: undefined, loaded: false, sampled: false, calls: new Map(), bridges: undefined, settings: undefined, published: undefined, detail: undefined, watch: undefined
    })
    this.changed()
  }

  async loadFunctions () {
    try {
      const page = await this.#api('/functions')
      const functions = Array.isArray(page) ? page : page.items
      this.state.functions = functions.sort((a, b) => a.name < b.name ? -1 : 1)
      this.state.functionsError = undefined
      this.state.published?.load()
    } catch (error) {
      this.state.functionsError = error
    }
    this.changed()
  }

  async loadBridges () {
    try {
      this.state.bridges = await this.#api('/bridges')
    } catch { // not allowed, or lost on the way: what was known stays
    }
    this.changed()
  }

  async loadSettings () {
    const look = ++this.#looks
    try {
      const [packages, { origins }] = await Promise.all([this.#api('/packages'), this.#api('/origins')])
      if (look !== this.#looks) return // there is a newer one, or a change
      this.state.settings = { ...this.state.settings, packages, origins }
    } catch { // not allowed, or lost on the way: what was known stays
    }
    this.changed()
  }

  /** Changes what patch names of how packages are installed; true if the hub agreed. */
  async changePackages (patch) {
    const { settings } = this.state
    Object.assign(settings, { busy: true, failure: undefined })
    this.changed()
    try {
      const packages = await this.#api('/packages', { method: 'PATCH', body: JSON.stringify(patch) })
      this.#looks++
      if (this.state.settings) Object.assign(this.state.settings, { packages })
      return true
    } catch (failure) {
      if (this.state.settings) Object.assign(this.state.settings, { failure })
      return false
    } finally {
      if (this.state.settings) this.state.settings.busy = false
      this.changed()
    }
  }

  async loadExecutions () {
    const name = this.state.route.function
    try {
      const filters = name ? [{}, { function: name }] : [{}]
      const pages = await Promise.all(filters.map(filter => this.#client.list({ limit: 100, ...filter })))
      filters.forEach((filter, i) => this.#listed(pages[i], filter.function))
      this.state.executionsError = undefined
    } catch (error) {
      this.state.executionsError = error
    }
    this.state.loaded = true
    this.#watchProgress()
    this.changed()
  }

  /** Takes over a page of the newest, and forgets the calls that it should have: they ended while nobody looked. */
  #listed ({ items, next }, name) {
    const listed = new Set(items.map(x => x.id))
    const reaches = next ? items.at(-1).id : ''
    for (const x of this.state.executions.values()) {
      if (!ENDED.has(x.state) && x.id > reaches && !listed.has(x.id) && (!name || x.function === name)) this.state.executions.delete(x.id)
    }
    for (const x of items) if (!this.#fleeting(x)) this.#put(x)
  }

  /** Calls a function and keeps what comes of it under its name. */
  async call (name, args) {
    const abort = new AbortController()
    const call = { state: 'running', startedAt: Date.now(), cancel: () => abort.abort() }
    this.#keepCall(name, call)
    const started = performance.now()
    const onEvent = event => {
      call.execution = event.stream.slice('execution.'.length)
      if (event.type === 'execution.paused') call.state = 'paused'
      if (event.type === 'execution.resumed') call.state = 'running'
      this.#progress(call, event)
      this.changed()
    }
    try {
      call.value = await this.#client.with({ signal: abort.signal, onEvent }).invoke(name, ...args)
      call.state = 'succeeded'
    } catch (error) {
      call.error = abort.signal.aborted ? { code: 'cancelled', message: 'Cancelled here.' } : error
      call.state = 'failed'
    }
    call.ms = performance.now() - started
    this.changed()
  }

  /** Starts a durable execution; gives its id, or undefined when that failed. */
  async start (name, args) {
    const call = { state: 'running', startedAt: Date.now() }
    this.#keepCall(name, call)
    try {
      const run = await this.#client.start(name, ...args)
      Object.assign(call, { state: 'started', execution: run.id })
    } catch (error) {
      Object.assign(call, { state: 'failed', error })
    }
    call.ms = Date.now() - call.startedAt
    this.changed()
    return call.execution
  }

  #keepCall (name, call) {
    this.state.calls.delete(name)
    this.state.calls.set(name, call)
    if (this.state.calls.size > CALLS) this.state.calls.delete(this.state.calls.keys().next().value)
    this.changed()
  }

  #statusChanged (status) {
    this.state.status = status
    if (status === 'open') { // whatever happened meanwhile
      this.loadFunctions()
      this.loadSettings()
      this.loadExecutions()
    }
    if (status === 'closed' && !this.#session.signal.aborted) { // the key was taken back
      const error = { code: 'unauthorized', message: 'The hub ended the session. Sign in again.' }
      this.signOut()
      this.state.error = error
    }
    this.changed()
  }

  #routed () {
    const was = this.state.route
    const now = this.state.route = route()
    if (this.#client) {
      if (was.function !== now.function) {
        this.loadExecutions()
        if (!this.state.functions?.some(fn => fn.name === now.function)) this.loadFunctions() // it may be new
      }
      if (this.state.published?.name !== now.function) {
        this.state.published = now.function && new Published(now.function, path => this.#api(path), () => this.changed())
      }
      if (this.state.watch?.pattern !== (now.stream || undefined)) {
        this.state.watch?.close()
        this.state.watch = now.stream ? new Watch(this.#client, now.stream, () => this.changed()) : undefined
      }
      if (this.state.detail?.id !== now.execution) {
        this.state.detail?.close()
        this.state.detail = now.execution && new Detail(this.#client, now.execution, {
          changed: () => this.changed(),
          seen: x => this.#put(x),
          known: () => this.state.executions.get(now.execution)
        })
      }
    }
    this.changed()
  }

  async #watchLifecycle (signal) {
    await live(this.#client, 'function.>', {
      signal,
      event: event => this.#lifecycle(event),
      missed: () => this.loadExecutions(),
      busy: busy => this.#busy(busy)
    })
  }

  /** A hub that is too busy to be shown whole is said to be so until it was not for a while. */
  #busy (busy) {
    if (busy) {
      this.state.sampled = true
      for (const x of this.state.executions.values()) if (this.#fleeting(x)) this.state.executions.delete(x.id)
      this.loadExecutions()
    }
    clearTimeout(this.#calm)
    this.#calm = setTimeout(() => {
      this.state.sampled = false
      this.changed()
    }, 5000)
    this.changed()
  }

  /** In a sample nobody tells when a call ends: one that just began is best not shown at all. */
  #fleeting (x) {
    return this.state.sampled && (x.state === 'running' || x.state === 'queued') && Date.now() - new Date(x.createdAt) < 1000
  }

  #lifecycle ({ type, time, data }) {
    if (!data?.execution) return
    const known = this.state.executions.get(data.execution)
    const x = { ...known, id: data.execution, function: data.function, version: data.version, state: data.state }
    x.createdAt ??= time
    if (type === 'execution.started') x.startedAt ??= time
    if (ENDED.has(x.state)) x.endedAt ??= time
    this.#put(x)
    if (type === 'execution.started' || ENDED.has(x.state)) this.#watchProgress()
    const fn = this.state.functions?.find(f => f.name === x.function)
    if (this.state.functions && (!fn || fn.latest < x.version)) this.#publishedSoon()
    this.changed()
  }

  /** A version that is not in the list ran: it was just published. Many may, so not at once. */
  #publishedSoon () {
    if (this.#publishing) return
    this.#publishing = true
    setTimeout(() => {
      this.#publishing = false
      if (this.#client) this.loadFunctions()
    }, 500)
  }

  /** Keeps what a row shows, not arguments and results, which may be large. */
  #put ({ id, function: name, version, state, createdAt, startedAt, endedAt, progress }) {
    const { executions } = this.state
    const known = executions.get(id)
    if (!known && executions.size >= EXECUTIONS) executions.delete(oldest(executions))
    executions.set(id, { id, function: name, version, state, createdAt, startedAt, endedAt, progress: progress ?? known?.progress })
  }

  /** Follows the progress of the newest that run, and lets go of the rest. */
  #watchProgress () {
    const ids = new Set([...this.state.executions.values()]
      .filter(x => x.state === 'running' || x.state === 'pausing')
      .sort(newestFirst).slice(0, PROGRESS).map(x => x.id))
    for (const [id, abort] of this.#watched) {
      if (ids.has(id)) continue
      abort.abort()
      this.#watched.delete(id)
    }
    for (const id of ids) {
      if (this.#watched.has(id)) continue
      const abort = new AbortController()
      this.#watched.set(id, abort)
      live(this.#client, `execution.${id}`, {
        signal: AbortSignal.any([abort.signal, this.#session.signal]),
        event: event => {
          const x = this.state.executions.get(id)
          if (x && this.#progress(x, event)) this.changed()
        }
      })
    }
  }

  #progress (target, { type, data }) {
    if (type !== 'progress' || !Number.isFinite(data?.done) || !Number.isFinite(data?.of)) return false
    target.progress = { done: data.done, of: data.of }
    return true
  }

  async #api (path, request) {
    const response = await fetch(`/v1${path}`, {
      ...request,
      headers: { authorization: `Bearer ${this.#key}`, accept: 'application/json' }, signal: this.#session.signal
    })
    const body = await response.json().catch(() => ({}))
    if (response.ok) return body
    throw Object.assign(new Error(body.detail ?? `The hub answered ${response.status}.`), { code: body.code ?? 'internal' })
  }
}

export function newestFirst (a, b) {
  return a.id < b.id ? 1 : -1 // ids are ULIDs: they sort by time
}

/** What to forget first: the oldest that ended, else the oldest. */
function oldest (executions) {
  let ended, any
  for (const { id, state } of executions.values()) {
    if (ENDED.has(state) && !(ended < id)) ended = id
    if (!(any < id)) any = id
  }
  return ended ?? any
}
