import { h, show, text } from '../dom.js'
import { clock, json } from '../format.js'

/** Events, newest at the bottom, followed until the reader scrolls up. named: with the names of their streams. */
export function events ({ named = false } = {}) {
  const list = h('div', { class: 'events', tabindex: 0, role: 'log', 'aria-label': 'Events', onscroll: () => scrolled() })
  const latest = h('button', { class: 'button small latest', type: 'button', onclick: () => { following = true; follow() } }, 'Latest ↓')
  const empty = h('p', { class: 'note' })
  const element = h('div', { class: 'events-box' }, list, empty, latest)
  const summary = h('span', { class: 'muted' })
  let following = true
  let of // the Detail or Watch whose events are shown
  let first = 0 // index of the first row among all events that came
  let next = 0

  const atEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 24
  const follow = () => { list.scrollTop = list.scrollHeight }
  let at = 0
  const scrolled = () => { // upwards is the reader's doing; downwards is ours, too
    if (atEnd()) following = true
    else if (list.scrollTop < at) following = false
    at = list.scrollTop
  }
  new ResizeObserver(() => following && follow()).observe(list)

  return {
    element,
    summary,
    update (d) {
      if (of !== d) {
        of = d
        first = next = 0
        following = true
        at = 0
        list.replaceChildren()
      }
      const total = d.dropped + d.events.length
      for (; first < Math.min(d.dropped, next); first++) list.firstChild.remove()
      first = Math.max(first, d.dropped)
      next = Math.max(next, first)
      const rows = document.createDocumentFragment()
      for (; next < total; next++) rows.append(row(d.events[next - d.dropped], named))
      if (rows.firstChild) {
        list.append(rows)
        if (following) follow()
      }
      show(latest, !following)
      show(list, d.events.length)
      if (show(empty, !d.events.length)) text(empty, d.lagging ? 'Waiting for events…' : total ? 'Cleared.' : 'No events.')
      text(summary, d.dropped ? `newest ${d.events.length} of ${total.toLocaleString()}` : total || '')
    }
  }
}

const SAID = new Set(['execution', 'function', 'version', 'state']) // by the type and the page around it

function row (event, named) {
  const log = event.type === 'log' && event.data?.message !== undefined
  const level = log ? event.data.level ?? 'info' : undefined
  const brief = h('span', { class: 'event-data' })
  if (log) text(brief, typeof event.data.message === 'string' ? event.data.message : JSON.stringify(event.data.message))
  else if (event.data !== null && event.data !== undefined) text(brief, short(lifecycle(event)))
  const whole = h('pre', { class: 'json' })
  const details = h('details', {
    class: 'event',
    'data-testid': 'event-row',
    'data-type': event.type,
    'data-offset': event.offset,
    'data-stream': event.stream,
    'data-level': level,
    'data-kind': log ? 'log' : event.type.startsWith('execution.') ? 'state' : 'own',
    ontoggle: toggled => {
      if (toggled.target.open && !whole.firstChild) json(whole, event.data)
    }
  },
  h('summary', {},
    h('time', { datetime: event.time, title: event.time }, clock(event.time)),
    h('span', { class: 'event-type' }, named && h('span', { class: 'event-stream' }, event.stream, ' '), log ? level : event.type.replace(/^execution\./, '')),
    brief),
  whole)
  if (event.recovered !== false) return details
  return h('div', {}, h('p', { class: 'gap', 'data-testid': 'stream-gap' }, 'Not recovered (recovered: false): events may be missing here.'), details)
}

/** Of a change of state, what its type does not say already. */
function lifecycle ({ type, data }) {
  if (!type.startsWith('execution.') || typeof data !== 'object') return data
  const rest = Object.entries(data ?? {}).filter(([name, value]) => !SAID.has(name) && !(name === 'attempt' && value < 2))
  return rest.length ? Object.fromEntries(rest) : undefined
}

function short (value) {
  const whole = value === undefined ? '' : JSON.stringify(value)
  return whole.length > 300 ? `${whole.slice(0, 300)}…` : whole
}
