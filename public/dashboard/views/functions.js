import { h, keyed, set, show, text } from '../dom.js'
import { settings } from '../format.js'
import { href } from '../route.js'
import { problem } from './parts.js'

const MANY = 8 // from so many on, a filter helps

/** The tenant's functions. */
export function functions (store) {
  const total = h('span', { class: 'count' })
  const filter = h('input', { type: 'search', class: 'filter', placeholder: 'Filter', 'aria-label': 'Filter functions', oninput: () => store.changed() })
  const all = h('a', { class: 'item all', href: href() }, h('span', { class: 'item-name' }, 'All executions'), h('span', { class: 'badge' }))
  const streams = h('a', { class: 'item', href: href({ stream: '' }), 'data-testid': 'streams' }, h('span', { class: 'item-name' }, 'Streams'))
  const list = h('ul', { class: 'items' })
  const loading = h('div', { class: 'skeletons', 'aria-label': 'Loading functions' }, h('i'), h('i'), h('i'))
  const failed = problem(() => store.loadFunctions())
  const empty = h('div', { class: 'empty small' }, h('strong', {}, 'No functions yet'), h('p', {}, 'Publish one and it shows up here:'), h('pre', {}, 'livefn publish ./my-function'))
  const reconcile = keyed(row)

  const element = h('nav', { class: 'side', 'aria-label': 'Functions' },
    all, streams, h('h2', {}, 'Functions', total), filter, loading, failed.element, empty, list)

  return {
    element,
    update (state) {
      const known = state.functions ?? []
      const active = new Map()
      for (const { function: name, state: s } of state.executions.values()) {
        if (s === 'running' || s === 'pausing' || s === 'queued') active.set(name, (active.get(name) ?? 0) + 1)
      }
      text(total, known.length || '')
      show(filter, known.length >= MANY)
      const wanted = filter.hidden ? '' : filter.value.trim().toLowerCase()
      set(all, { 'aria-current': !state.route.function && state.route.stream === undefined && 'page' })
      set(streams, { 'aria-current': state.route.stream !== undefined && 'page' })
      const sum = [...active.values()].reduce((a, b) => a + b, 0)
      if (show(all.lastChild, sum > 0)) text(all.lastChild, sum)
      show(loading, !state.functions && !state.functionsError)
      failed.update(!state.functions && state.functionsError)
      show(empty, state.functions?.length === 0)
      reconcile(list, known.filter(fn => fn.name.toLowerCase().includes(wanted)).map(fn => ({
        fn, active: active.get(fn.name), current: state.route.function === fn.name
      })), ({ fn }) => fn.name)
    }
  }
}

function row ({ fn }) {
  const about = h('span', { class: 'item-about' })
  const badge = h('span', { class: 'badge', title: 'running now' })
  const link = h('a', { class: 'item', href: href({ function: fn.name }), 'data-testid': `function-${fn.name}` },
    h('span', { class: 'item-name' }, fn.name), badge, about)
  return {
    element: h('li', {}, link),
    update ({ fn, active, current }) {
      set(link, { 'aria-current': current && 'page', 'data-state': fn.state })
      if (show(badge, active)) text(badge, active)
      text(about, [fn.latest > 0 && `v${fn.latest}`, fn.state, ...settings(fn)].filter(Boolean).join(' · '))
    }
  }
}
