// Small pieces that several views show.

import { h, icon, icons, set, show, text } from '../dom.js'

/** A state as a coloured chip. */
export function chip (testid) {
  const element = h('span', { class: 'chip', 'data-testid': testid })
  return {
    element,
    update (state) {
      set(element, { 'data-state': state })
      text(element, state)
    }
  }
}

/** Something could not be loaded; a button tries again. */
export function problem (retry) {
  const message = h('p')
  const element = h('div', { class: 'failed', role: 'alert' }, message,
    h('button', { class: 'button small', type: 'button', onclick: retry }, icon(icons.retry), 'Try again'))
  return {
    element,
    update (error) {
      if (show(element, error)) text(message, error.message)
    }
  }
}

/** How far something is, if it says so. */
export function progress () {
  const bar = h('i')
  const element = h('span', { class: 'progress', role: 'progressbar', 'aria-label': 'Progress', 'aria-valuemin': 0 }, bar)
  return {
    element,
    update (at) {
      if (!show(element, at && at.of > 0)) return
      bar.style.width = `${Math.min(100, 100 * at.done / at.of)}%`
      set(element, { 'aria-valuemax': at.of, 'aria-valuenow': at.done, title: `${at.done.toLocaleString()} of ${at.of.toLocaleString()}` })
    }
  }
}

/** A text field for JSON that grows with its text, says at once what is wrong with it, and acts on Ctrl+Enter. */
export function jsonField ({ testid, label, placeholder, rows = 3, check, submit }) {
  const id = `f-${testid}`
  const fault = h('p', { class: 'problem', id: `${id}-problem`, role: 'alert', hidden: true })
  const field = h('textarea', {
    id,
    rows,
    placeholder,
    spellcheck: 'false',
    autocapitalize: 'off',
    'aria-describedby': fault.id,
    'data-testid': testid,
    oninput: () => {
      grow()
      if (!fault.hidden) read() // corrections show at once, mistakes only when asked or left
    },
    onblur: () => read(),
    onkeydown: event => {
      if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return
      event.preventDefault()
      submit()
    }
  })
  const grow = () => {
    field.style.height = 'auto'
    field.style.height = `${Math.min(field.scrollHeight + 2, 320)}px`
  }

  /** What is in it; undefined (and the problem shown) if that is not JSON. */
  function read () {
    try {
      const value = check(field.value)
      show(fault, false)
      set(field, { 'aria-invalid': false })
      return { value }
    } catch (error) {
      text(fault, error.message)
      show(fault, true)
      set(field, { 'aria-invalid': 'true' })
    }
  }

  return {
    element: h('div', { class: 'field' }, h('label', { for: id }, label), field, fault),
    field,
    read,
    fill (value) {
      field.value = value
      show(fault, false)
      set(field, { 'aria-invalid': false })
      grow()
    }
  }
}
