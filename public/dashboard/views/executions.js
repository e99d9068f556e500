import { h, keyed, set, show, text } from '../dom.js'
import { ago, between, shortId } from '../format.js'
import { href } from '../route.js'
import { newestFirst } from '../store.js'
import { chip, problem, progress } from './parts.js'

const ROWS = 100
const FEW = 20 // of a function, until more are asked for: its versions stand below
const FILTERS = { all: () => true, active: x => !['succeeded', 'failed', 'cancelled', 'paused'].includes(x.state), paused: x => x.state === 'paused', failed: x => x.state === 'failed' }

/** Executions, newest first, as they live. */
export function executions (store) {
  let chosen = 'all'
  let whole // the function all of whose are shown
  const heading = h('h2', {}, 'Executions')
  const sampled = h('span', { class: 'muted', title: 'More calls than can be shown: these are some of them' }, 'a sample')
  const tabs = Object.keys(FILTERS).map(name => h('button', {
    type: 'button', class: 'tab', onclick: () => { chosen = name; store.changed() }
  }, name[0].toUpperCase() + name.slice(1)))
  const loading = h('div', { class: 'skeletons rows', 'aria-label': 'Loading executions' }, h('i'), h('i'), h('i'))
  const failed = problem(() => store.loadExecutions())
  const emptyTitle = h('strong')
  const emptyText = h('p')
  const empty = h('div', { class: 'empty' }, emptyTitle, emptyText)
  const list = h('ul', { class: 'rows' })
  const more = h('button', { class: 'button quiet small more', type: 'button', onclick: () => { whole = store.state.route.function; store.changed() } }, 'Show more')
  const reconcile = keyed(row)
  const element = h('section', { class: 'executions' },
    h('div', { class: 'bar' }, heading, sampled, h('span', { class: 'grow' }), h('div', { class: 'tabs', role: 'group', 'aria-label': 'Which executions' }, tabs)),
    h('div', { class: 'card flush' }, loading, failed.element, empty, list, more))

  return {
    element,
    update (state) {
      const of = state.route.function
      const now = Date.now()
      const all = [...state.executions.values()].filter(x => !of || x.function === of)
      const known = !of || !state.functions || state.functions.some(fn => fn.name === of)
      if (!show(element, known || all.length)) return // a deleted function's are worth a look
      const matching = all.filter(FILTERS[chosen]).sort(newestFirst).slice(0, ROWS)
      const shown = of && whole !== of ? matching.slice(0, FEW) : matching
      show(more, shown.length < matching.length)
      show(sampled, state.sampled)
      text(heading, of ? 'Executions' : 'All executions')
      tabs.forEach((tab, i) => set(tab, { 'aria-pressed': String(Object.keys(FILTERS)[i] === chosen) }))
      show(loading, !state.loaded && !shown.length)
      failed.update(!shown.length && state.executionsError)
      if (show(empty, state.loaded && !shown.length && !state.executionsError)) {
        text(emptyTitle, all.length ? `None ${chosen}` : 'Nothing has run yet')
        text(emptyText, all.length ? 'Executions appear here as their state changes.' : of ? 'Call it, or start it durable: it appears here while it runs.' : state.functions?.length === 0 ? 'Once there is a function, call it: it appears here while it runs.' : 'Choose a function and call it: it appears here while it runs.')
      }
      show(list, shown.length)
      reconcile(list, shown.map(x => ({ x, now, of, current: state.route.execution === x.id })), ({ x }) => x.id)
    }
  }
}

function row ({ x }) {
  const state = chip(`state-${x.id}`)
  const name = h('span', { class: 'row-name' })
  const bar = progress()
  const took = h('span', { class: 'row-took' })
  const when = h('span', { class: 'row-when' })
  const link = h('a', { class: 'row', 'data-testid': `execution-${x.id}` },
    state.element,
    h('span', { class: 'row-what' }, name, h('code', { title: x.id }, shortId(x.id))),
    bar.element, took, when)
  return {
    element: h('li', {}, link),
    update ({ x, now, of, current }) {
      state.update(x.state)
      set(link, { href: href({ function: of, execution: x.id }), 'aria-current': current && 'true' })
      if (show(name, !of)) text(name, x.function)
      bar.update(['running', 'pausing', 'paused'].includes(x.state) && x.progress)
      const end = x.endedAt ?? (['running', 'pausing'].includes(x.state) ? now : undefined)
      text(took, end && x.startedAt ? between(x.startedAt, end) : '')
      text(when, ago(x.createdAt, now))
    }
  }
}
