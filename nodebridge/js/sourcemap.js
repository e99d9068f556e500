// Where a compiler left a source map (ECMA-426), what functions throw and log names the lines that a person
// wrote. Node can do so itself (process.setSourceMapsEnabled), but then reads the map of every module that is
// loaded, and makes each stack that is looked at dearer. Here a map is read when the first stack that
// names its file leaves the process: who has none, or throws nothing, pays nothing.
import { readFileSync, statSync } from 'node:fs'
import { SourceMap } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parse, SafeMap, uncurry } from './primordials.js'

const LARGEST = 16 << 20 // bytes of a map, or of a file that has one within it; larger ones are left alone
const MOST = 16 // maps in memory; then all are let go of

const maps = new SafeMap() // path → {map, base, root}, or null: it has none
let kept = 0 // of those that are not null

const includes = uncurry(String.prototype.includes)
const indexOf = uncurry(String.prototype.indexOf)
const lastIndexOf = uncurry(String.prototype.lastIndexOf)
const slice = uncurry(String.prototype.slice)
const split = uncurry(String.prototype.split)
const startsWith = uncurry(String.prototype.startsWith)
const endsWith = uncurry(String.prototype.endsWith)
const trim = uncurry(String.prototype.trim)
const findEntry = uncurry(SourceMap.prototype.findEntry)
const bytesOf = Buffer.from
const { isInteger } = Number

// original gives a text that may hold stacks, with the places in files below dirs as their maps have them.
export function original (text, dirs) {
  if (!includes(text, '\n    at ')) return text
  const lines = split(text, '\n')
  let result = lines[0]
  for (let i = 1; i < lines.length; i++) result += '\n' + frame(lines[i], dirs)
  return result
}

// frame gives a line; if it is one of a stack, like "    at name (/path/index.js:1:7)", with its place mapped.
function frame (line, dirs) {
  if (!includes(line, '    at ')) return line
  for (let i = 0; i < dirs.length; i++) {
    const at = indexOf(line, dirs[i])
    if (at < 0) continue
    const end = includes(line, ')') ? lastIndexOf(line, ')') : line.length
    const place = slice(line, at, end)
    const mapped = placed(place)
    return mapped === undefined ? line : slice(line, 0, at) + mapped + slice(line, end)
  }
  return line
}

// placed gives the place that "/path/index.js:1:7" was compiled of, or undefined.
function placed (place) {
  const c = lastIndexOf(place, ':')
  const l = lastIndexOf(place, ':', c - 1)
  const [row, column] = [+slice(place, l + 1, c), +slice(place, c + 1)]
  if (l < 0 || !isInteger(row) || !isInteger(column)) return undefined
  try {
    const found = mapOf(pathOf(slice(place, 0, l)))
    if (found === null) return undefined
    const { originalSource, originalLine, originalColumn } = findEntry(found.map, row - 1, column - 1)
    if (typeof originalSource !== 'string') return undefined
    return `${sourceOf(originalSource, found)}:${originalLine + 1}:${originalColumn + 1}`
  } catch {
    return undefined // what the map says makes no sense
  }
}

function pathOf (place) {
  if (!startsWith(place, 'file:')) return place
  const query = indexOf(place, '?')
  return fileURLToPath(query < 0 ? place : slice(place, 0, query))
}

// sourceOf gives the path of a source, which the map names relative to itself.
function sourceOf (source, { base, root }) {
  const url = new URL(root === '' || endsWith(root, '/') ? root + source : `${root}/${source}`, base)
  return url.protocol === 'file:' ? fileURLToPath(url) : source
}

function mapOf (path) {
  const known = maps.get(path)
  if (known !== undefined) return known
  let found = null
  try {
    found = read(path)
  } catch {} // it can't be read, or is no map
  if (found !== null && ++kept > MOST) {
    maps.clear()
    kept = 1
  }
  maps.set(path, found)
  return found
}

// read finds the map that the last line of a file names: within it, as a data URL, or in another file.
function read (path) {
  const text = content(path)
  const mark = lastIndexOf(text, '//# sourceMappingURL=')
  if (mark < 0) return null
  let end = indexOf(text, '\n', mark)
  if (end < 0) end = text.length
  const link = trim(slice(text, mark + 21, end))
  let base = pathToFileURL(path)
  let json
  if (startsWith(link, 'data:')) {
    const comma = indexOf(link, ',')
    const body = slice(link, comma + 1)
    json = includes(slice(link, 0, comma), ';base64') ? bytesOf(body, 'base64').toString() : decodeURIComponent(body)
  } else {
    base = new URL(link, base)
    if (base.protocol !== 'file:') return null
    json = content(fileURLToPath(base))
  }
  const payload = parse(json)
  return { map: new SourceMap(payload), base, root: typeof payload.sourceRoot === 'string' ? payload.sourceRoot : '' }
}

function content (path) {
  if (statSync(path).size > LARGEST) throw new RangeError('it is too large')
  return readFileSync(path, 'utf8')
}

// forget lets go of what is known of files below a path.
export function forget (prefix) {
  maps.forEach((found, path) => {
    if (!startsWith(path, prefix)) return
    maps.delete(path)
    if (found !== null) kept--
  })
}
