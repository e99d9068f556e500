// Secrets: what a function logs or throws leaves without the values of its env. A function with none pays
// nothing; others one search for each value in what they log.
import { isArray, parse, stringify, uncurry } from './primordials.js'

const SHORTEST = 8 // characters; shorter values stand in too much that is none
const HIDDEN = '***'

const { keys } = Object
const includes = uncurry(String.prototype.includes)
const replaceAll = uncurry(String.prototype.replaceAll)
const split = uncurry(String.prototype.split)
const trim = uncurry(String.prototype.trim)
const slice = uncurry(String.prototype.slice)

// secretsOf gives what is to be hidden of an env: its values, their lines, since output is cut into
// lines, and both as JSON has them. The longest come first, so that of one within another no rest stays.
// null: nothing.
export function secretsOf (env) {
  const found = []
  for (const name of keys(env)) {
    add(found, env[name])
    const lines = split(env[name], '\n')
    for (let i = 0; lines.length > 1 && i < lines.length; i++) add(found, trim(lines[i]))
  }
  return found.length === 0 ? null : found
}

// merge gives all of several lists, or null.
export function merge (lists) {
  const found = []
  for (let i = 0; i < lists.length; i++) {
    for (let j = 0; j < lists[i].length; j++) insert(found, lists[i][j])
  }
  return found.length === 0 ? null : found
}

function add (found, text) {
  if (text.length < SHORTEST) return
  insert(found, text)
  insert(found, slice(stringify(text), 1, -1))
}

function insert (found, text) {
  let at = found.length
  for (let i = 0; i < found.length; i++) {
    if (found[i] === text) return
    if (at === found.length && found[i].length < text.length) at = i
  }
  for (let i = found.length; i > at; i--) found[i] = found[i - 1]
  found[at] = text
}

// hide gives text without secrets.
export function hide (text, secrets) {
  if (secrets === null) return text
  for (let i = 0; i < secrets.length; i++) {
    if (includes(text, secrets[i])) text = replaceAll(text, secrets[i], HIDDEN)
  }
  return text
}

// hideJSON does so to JSON text, which stays JSON.
export function hideJSON (text, secrets) {
  if (secrets === null || text === '') return text
  let found = false
  for (let i = 0; i < secrets.length && !found; i++) found = includes(text, secrets[i])
  if (!found) return text
  try {
    return stringify(hideIn(parse(text), secrets))
  } catch { // nested too deeply
    return stringify(HIDDEN)
  }
}

function hideIn (value, secrets) {
  if (typeof value === 'string') return hide(value, secrets)
  if (typeof value === 'number') {
    const text = `${value}`
    return hide(text, secrets) === text ? value : HIDDEN
  }
  if (typeof value !== 'object' || value === null) return value
  if (isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = hideIn(value[i], secrets)
    return value
  }
  const clean = { __proto__: null } // so that a key __proto__ is one like any other
  for (const key of keys(value)) clean[hide(key, secrets)] = hideIn(value[key], secrets)
  return clean
}
