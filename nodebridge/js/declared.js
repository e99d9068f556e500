// declared counts the parameters that a function's source declares: those with defaults and patterns
// too, a rest parameter not. fn.length stops at the first default, so the source is read.
import { sourceOf } from './primordials.js'

const word = /[\p{ID_Continue}$\u200c\u200d\\]/u
const native = /\{\s*\[native code\]\s*\}\s*$/
const classes = /^class(?![\p{ID_Continue}$\u200c\u200d\\(])/u
// After these words a slash begins a regular expression.
const prefixes = new Set(['return', 'typeof', 'instanceof', 'in', 'of', 'new', 'delete', 'void', 'throw', 'case', 'do', 'else', 'yield', 'await'])
const heads = new Set(['if', 'while', 'for', 'with'])

// A method may be named class; it has no prototype.
export function isClass (fn) { return classes.test(sourceOf(fn)) && Object.hasOwn(fn, 'prototype') }

export function declared (fn) {
  const source = sourceOf(fn)
  if (native.test(source)) return fn.length // built in, bound, or a Proxy
  const tokens = new Tokens(source)
  for (let t = tokens.next(); t !== null; t = tokens.next()) {
    if (t === '(') return parameters(tokens)
    if (t === '=>') return 1 // its one parameter has no parentheses
    if (t === '[') tokens.skip() // the computed name of a method
  }
  return fn.length
}

// parameters counts up to the parenthesis that closes the list.
function parameters (tokens) {
  let count = 0
  let first = true // the next token begins a parameter
  for (let t = tokens.next(); t !== null && t !== ')'; t = tokens.next()) {
    if (t === ',') {
      first = true
      continue
    }
    if (first && t !== '...') count++
    first = false
    if (t === '(' || t === '[' || t === '{') tokens.skip()
  }
  return count
}

// Tokens reads JavaScript as coarsely as is enough to find what brackets hold: words, punctuation one
// character at a time (but => and ...), and strings, templates and regular expressions as one token each.
class Tokens {
  #text
  #at = 0
  #last = '' // the token before
  #open = [] // for each open bracket: what followed by a slash makes its end
  #regexAfter = false // after the bracket that was closed last

  constructor (text) { this.#text = text }

  // skip reads to the end of the bracket that was just opened.
  skip () {
    const depth = this.#open.length
    while (this.#open.length >= depth && this.next() !== null);
  }

  // next gives the next token, null at the end.
  next () {
    this.#space()
    if (this.#at >= this.#text.length) return null
    const before = this.#last
    const t = this.#read()
    if (t === '(') this.#open.push(heads.has(before))
    else if (t === '[') this.#open.push(false)
    else if (t === '{') this.#open.push(this.#isBlock(before))
    else if (t === ')' || t === ']' || t === '}') this.#regexAfter = this.#open.pop() ?? false
    this.#last = t
    return t
  }

  // #isBlock tells a block's brace from an object's, by what stands before it.
  #isBlock (before) {
    return before === ')' || before === ';' || before === '{' || before === '}' || before === '=>' ||
      before === 'else' || before === 'do' || before === 'try' || before === 'finally'
  }

  #read () {
    const text = this.#text
    const start = this.#at
    const c = text[start]
    if (c === '"' || c === "'") return this.#string(c)
    if (c === '`') return this.#template()
    if (c === '/' && this.#regexFits()) return this.#regex()
    if (text.startsWith('=>', start) || text.startsWith('...', start)) {
      this.#at += c === '=' ? 2 : 3
      return c === '=' ? '=>' : '...'
    }
    const wide = String.fromCodePoint(text.codePointAt(start))
    if (!word.test(wide)) {
      this.#at += wide.length
      return wide
    }
    while (this.#at < text.length) {
      const ch = String.fromCodePoint(text.codePointAt(this.#at))
      if (!word.test(ch)) break
      this.#at += ch.length
    }
    return text.slice(start, this.#at)
  }

  #regexFits () {
    const t = this.#last
    if (t === ')' || t === ']' || t === '}') return this.#regexAfter
    if (t === 'string') return false
    if (t === '' || prefixes.has(t)) return true
    return !word.test(t[0])
  }

  #space () {
    for (;;) {
      const text = this.#text
      while (this.#at < text.length && /\s/.test(text[this.#at])) this.#at++
      if (text.startsWith('//', this.#at)) {
        while (this.#at < text.length && !/[\n\r\u2028\u2029]/.test(text[this.#at])) this.#at++
      } else if (text.startsWith('/*', this.#at)) {
        const end = text.indexOf('*/', this.#at + 2)
        this.#at = end < 0 ? text.length : end + 2
      } else {
        return
      }
    }
  }

  #string (quote) {
    for (this.#at++; this.#at < this.#text.length && this.#text[this.#at] !== quote; this.#at++) {
      if (this.#text[this.#at] === '\\') this.#at++
    }
    this.#at++
    return 'string'
  }

  #template () {
    for (this.#at++; this.#at < this.#text.length && this.#text[this.#at] !== '`'; this.#at++) {
      if (this.#text[this.#at] === '\\') this.#at++
      else if (this.#text.startsWith('${', this.#at)) {
        this.#at += 2
        this.#open.push(false)
        this.#last = '${' // a regular expression or an object may follow
        this.skip()
        this.#at-- // for the loop's step
      }
    }
    this.#at++
    return 'string'
  }

  #regex () {
    let inClass = false
    for (this.#at++; this.#at < this.#text.length; this.#at++) {
      const c = this.#text[this.#at]
      if (c === '\\') this.#at++
      else if (c === '[') inClass = true
      else if (c === ']') inClass = false
      else if (c === '/' && !inClass) break
    }
    this.#at++
    return 'string' // its flags are read as a word
  }
}
