// The loader turns the folder of a version into a function.
import { readFileSync, realpathSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { extname, join, resolve, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { types } from 'node:util'
import { freeze, isArray, isGeneratorFunction, parse } from './primordials.js'
import { declared, isClass } from './declared.js'
import { locate } from './locate.js'
import { hide, hideJSON, secretsOf } from './secrets.js'
import { forget } from './sourcemap.js'
import { describe, told } from './thrown.js'

const conditions = ['node', 'import', 'module-sync', 'default']
const { cache: required } = createRequire(import.meta.url)
const imported = new Map() // entry → how often it was imported

// Module is a version of a function in this process.
export class Module {
  handle
  bridge
  function
  version
  tenant
  dir
  tail
  env
  dirs // prefixes that messages and stacks leave out
  secrets // texts that nothing it logs or throws shows; null: none
  fn = null // once it is loaded
  declared = 0
  kind = 'function'
  failure = null // {name, message, stack} if it could not be loaded
  waiting = [] // calls that came before
  slow = false // its last call kept the process for a while
  more = { output: null }

  constructor (handle, spec, bridge) {
    this.handle = handle
    this.bridge = bridge
    this.function = spec.function
    this.version = spec.version
    this.tenant = spec.tenant
    this.dir = spec.dir
    this.tail = spec.tail !== false
    this.env = freeze({ ...spec.env })
    this.dirs = prefixes(spec.dir)
    this.secrets = secretsOf(this.env)
  }

  get loading () { return this.fn === null && this.failure === null }

  // log, throw and fail are for code that runs while the module is loaded, and what it leaves running.
  log (level, message, fields = '') {
    this.bridge.log(level, message, fields, { function: this.function, version: this.version }, () => this.clean(message, fields))
  }

  // clean gives what is logged as it may be shown.
  clean (message, fields) {
    return { message: hide(told(message, this.dirs), this.secrets), fields: hideJSON(fields, this.secrets) }
  }

  throw (thrown) {
    if (this.loading) this.bridge.loadFailed(this, thrown)
    else this.log('error', describeText(thrown, this))
  }

  get done () { return !this.loading }
}

export function describeText (thrown, owner) {
  const { name, message, stack } = describe(thrown, owner)
  return `Uncaught ${stack || `${name}: ${message}`}`
}

// load fills fn, declared and kind of a module.
export async function load (module) {
  const dir = realpathSync(module.dir)
  module.dirs = [...new Set([...prefixes(dir), ...module.dirs])]
  const entry = entryOf(dir)
  let exported
  try {
    exported = await evaluate(entry)
  } catch (thrown) {
    throw await located(thrown, entry)
  }
  const fn = functionIn(exported)
  module.declared = declared(fn)
  module.kind = isGeneratorFunction(fn) ? 'generator' : 'function'
  module.fn = fn
}

// unload lets go of what Node lets go of: the CommonJS modules of the folder.
export function unload (module) {
  const prefix = realpath(module.dir) + sep
  for (const file of Object.keys(required)) if (file.startsWith(prefix)) delete required[file]
  forget(prefix)
}

function realpath (dir) {
  try {
    return realpathSync(dir)
  } catch {
    return resolve(dir)
  }
}

function prefixes (dir) { return [pathToFileURL(dir + sep).href, resolve(dir) + sep] }

// entryOf finds the file to load.
function entryOf (dir) {
  const manifest = manifestOf(dir)
  const target = exportOf(manifest.exports)
  if (typeof target === 'string') return file(join(dir, target)) ?? missing(`package.json exports ${target}, which does not exist`)
  if (typeof manifest.main === 'string') {
    const main = join(dir, manifest.main)
    for (const path of [main, main + '.js', main + '.mjs', main + '.cjs', join(main, 'index.js')]) if (file(path)) return path
  }
  for (const name of ['index.js', 'index.mjs', 'index.cjs']) if (file(join(dir, name))) return join(dir, name)
  return missing(typeof manifest.main === 'string' ? `package.json names ${manifest.main} as main, which does not exist` : 'There is neither index.js nor index.mjs, and package.json names no main')
}

function missing (message) { throw Object.assign(new Error(`${message}.`), { stack: '' }) }

function manifestOf (dir) {
  const path = join(dir, 'package.json')
  if (!file(path)) return {}
  try {
    return parse(readFileSync(path, 'utf8').replace(/^\uFEFF/, '')) ?? {}
  } catch (err) {
    return missing(`package.json is not JSON: ${err.message}`)
  }
}

// exportOf gives what package.json exports as ".".
function exportOf (exports) {
  if (typeof exports === 'object' && exports !== null && !isArray(exports) && '.' in exports) exports = exports['.']
  return pick(exports, conditions) ?? pick(exports, [...conditions, 'require'])
}

function pick (target, allowed) {
  if (typeof target === 'string' || target === null || typeof target !== 'object') return target ?? undefined
  for (const key of Object.keys(target)) {
    if (!isArray(target) && !allowed.includes(key)) continue
    const found = pick(target[key], allowed)
    if (found !== undefined) return found
  }
  return undefined
}

function file (path) { return statSync(path, { throwIfNoEntry: false })?.isFile() ? path : undefined }

// evaluate gives what the entry exports. CommonJS is required, so that it can be unloaded; ES modules
// are imported. Where a .js says nothing of its kind, its text decides, and a wrong guess is put right.
async function evaluate (entry) {
  if (isESM(entry)) return importEntry(entry)
  try {
    return createRequire(entry)(entry)
  } catch (thrown) {
    if (!isESMError(thrown)) throw thrown
    return importEntry(entry)
  }
}

async function importEntry (entry) {
  const url = pathToFileURL(entry)
  const times = imported.get(entry) ?? 0 // Node keeps a module for ever, its failure too
  imported.set(entry, times + 1)
  if (times > 0) url.searchParams.set('load', times)
  return import(url)
}

function isESM (entry) {
  const ext = extname(entry)
  if (ext === '.mjs') return true
  if (ext !== '.js') return false
  const type = typeOf(entry)
  if (type !== undefined) return type === 'module'
  const text = readFileSync(entry, 'utf8')
  return /^\s*(?:import\s*[\w${*"']|export\s*(?:default\b|const\b|let\b|var\b|async\b|function\b|class\b|[{*]))/m.test(text) &&
    !/^\s*(?:module\.)?exports\b[^\n]*=/m.test(text)
}

// typeOf is the `type` of the package.json that is nearest.
function typeOf (entry) {
  for (let dir = resolve(entry, '..'); ; dir = resolve(dir, '..')) {
    if (file(join(dir, 'package.json'))) return manifestOf(dir).type
    if (dir === resolve(dir, '..')) return undefined
  }
}

function isESMError (thrown) {
  if (!types.isNativeError(thrown)) return false
  if (thrown.code === 'ERR_REQUIRE_ESM' || thrown.code === 'ERR_REQUIRE_ASYNC_MODULE') return true
  return isSyntaxError(thrown) && /import statement outside|Unexpected token 'export'|import\.meta|await is only valid/.test(thrown.message)
}

// functionIn finds the function in what a module exports.
function functionIn (exported) {
  let found = exported
  for (let i = 0; i < 3 && typeof found !== 'function' && typeof found === 'object' && found !== null && 'default' in found; i++) found = found.default
  if (typeof found === 'function') {
    if (isClass(found)) throw kindError('a class')
    return found
  }
  const names = typeof found === 'object' && found !== null ? Object.keys(found) : []
  if (typeof found === 'object' && found !== null && !isArray(found)) {
    throw names.length === 0 ? noExport() : kindError(`an object with ${names.slice(0, 5).join(', ')}`)
  }
  throw found === undefined ? noExport() : kindError(found === null ? 'null' : isArray(found) ? 'an array' : `a ${typeof found}`)
}

const how = 'Write module.exports = function … or export default function ….'
function noExport () { return Object.assign(new TypeError(`The module exports nothing. ${how}`), { stack: '' }) }
function kindError (what) { return Object.assign(new TypeError(`The module exports ${what}, not a function. ${how}`), { stack: '' }) }

// located puts file and line into the message of a syntax error.
async function located (thrown, entry) {
  if (!isSyntaxError(thrown)) return thrown
  const { message, stack } = thrown
  const where = /^(\S.*:\d+)$/m.exec(stack.split('\n    at ')[0])?.[1] ?? await locate(entry)
  if (where === undefined || message.includes(where)) return thrown
  return { name: 'SyntaxError', message: `${where}: ${message}`, stack: stack.includes(where) ? stack : `${where}\n${stack}` }
}

function isSyntaxError (thrown) {
  return types.isNativeError(thrown) && thrown.name === 'SyntaxError' && typeof thrown.message === 'string' && typeof thrown.stack === 'string'
}
