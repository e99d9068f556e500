import { h, icon, icons, set, show, text } from '../dom.js'
import { href } from '../route.js'
import { events } from './events.js'

const WORDS = { asking: 'Asking', live: 'Live', paused: 'Paused', ended: 'Ended' }

/** A stream or pattern that somebody types, and its events as they come. */
export function streams (store) {
  const current = () => store.state.watch
  const halted = () => ['paused', 'ended'].includes(current().state)
  const pattern = h('input', { id: 'stream-pattern', placeholder: 'orders.>', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', required: true, 'aria-describedby': 'stream-note', 'data-testid': 'stream-pattern' })
  const form = h('form', {
    class: 'watch',
    onsubmit: event => {
      event.preventDefault()
      location.hash = href({ stream: pattern.value.trim() })
    }
  },
  h('label', { for: 'stream-pattern' }, 'Stream or pattern'),
  h('div', { class: 'watch-line' }, pattern, h('button', { class: 'button primary', type: 'submit', 'data-testid': 'stream-watch' }, 'Watch')),
  h('p', { class: 'note', id: 'stream-note' }, '* is any one token, > the rest: orders.*, orders.>'))

  const state = h('span', { class: 'tag' })
  const log = events({ named: true })
  const pause = h('button', { class: 'button small', type: 'button', 'data-testid': 'stream-pause', onclick: () => halted() ? current().resume() : current().pause() })
  const clear = h('button', { class: 'button small', type: 'button', 'data-testid': 'stream-clear', onclick: () => current().clear() }, 'Clear')
  const failure = h('p', { class: 'problem', role: 'alert' })
  const gap = h('p', { class: 'gap', role: 'status' }, 'Not recovered (recovered: false): the hub may not have all that came after the last event shown.')
  const body = h('div', { class: 'watched' },
    h('div', { class: 'bar' }, h('h2', {}, 'Events'), log.summary, h('span', { class: 'grow' }), state, pause, clear),
    failure, gap, log.element)
  const element = h('section', { class: 'streams', 'data-testid': 'stream' },
    h('a', { class: 'back narrow-only', href: href() }, icon(icons.back), 'Functions'),
    h('h1', {}, 'Streams'), form, body)
  let of

  return {
    element,
    update (s) {
      if (!show(element, s.route.stream !== undefined)) return
      if (of !== s.route.stream) pattern.value = of = s.route.stream
      const { watch } = s
      set(element, { 'data-state': watch?.state })
      if (!show(body, watch)) return
      text(state, WORDS[watch.state])
      text(pause, halted() ? 'Resume' : 'Pause')
      set(clear, { disabled: watch.events.length === 0 })
      if (show(failure, watch.error)) text(failure, watch.error.message)
      show(gap, watch.gap)
      log.update(watch)
    }
  }
}
