import { h, keyed, set, show, text } from '../dom.js'
import { ago, clock, count, duration } from '../format.js'
import { href } from '../route.js'
import { problem } from './parts.js'

const ROWS = 50

/** What stands under the chosen function's name: triggers, and versions with their aliases and install logs. */
export function versions (store) {
  const failed = problem(() => store.state.published?.load())
  const triggerList = h('ul', { class: 'rows' })
  const triggers = h('div', { class: 'block' }, h('h2', { class: 'bar' }, 'Triggers'), h('div', { class: 'card flush' }, triggerList))
  const total = h('span', { class: 'muted' })
  const list = h('ul', { class: 'rows' })
  const reconcile = keyed(row)
  const reconcileTriggers = keyed(triggerRow)
  const element = h('section', { class: 'versions' },
    triggers,
    h('div', { class: 'bar' }, h('h2', {}, 'Versions'), total),
    h('div', { class: 'card flush' }, failed.element, list))

  return {
    element,
    update (state) {
      const { published } = state
      if (!show(element, published && (published.versions || published.error))) return
      const now = Date.now()
      const all = published.versions ?? []
      const latest = state.functions?.find(fn => fn.name === published.name)?.latest
      failed.update(!published.versions && published.error)
      text(total, all.length > ROWS ? `the newest ${ROWS} of ${all.length.toLocaleString()}` : '')
      reconcile(list, all.slice(0, ROWS).map(v => ({
        v, now, labels: published.labels(v.version, latest), detail: published.detail(v.version), open: () => published.open(v.version)
      })), ({ v }) => `${published.name}@${v.version}`)
      show(triggers, published.triggers.length)
      reconcileTriggers(triggerList, published.triggers.map(trigger => ({ trigger, now, of: published.name })), ({ trigger }) => trigger.name)
    }
  }
}

function row ({ v }) {
  const number = h('span', { class: 'version-number' }, `v${v.version}`)
  const state = h('span', { class: 'tag' })
  const labels = h('span', { class: 'labels' })
  const packages = h('span', { class: 'muted' })
  const when = h('span', { class: 'row-when' })
  const summary = h('summary', {}, number, labels, state, h('span', { class: 'grow' }), packages, when)
  const message = h('p', { class: 'message problem' })
  const installed = h('p', { class: 'note' })
  const log = h('pre', { class: 'stack', tabindex: 0, 'aria-label': 'Log of the install', 'data-testid': 'version-log' })
  let open
  const details = h('details', { class: 'version', 'data-testid': `version-${v.version}`, ontoggle: () => details.open && open() },
    summary, h('div', { class: 'version-body' }, message, installed, log))
  return {
    element: h('li', {}, details),
    update ({ v, now, labels: names, detail, open: load }) {
      open = load
      set(details, { 'data-state': v.state })
      if (labels.dataset.of !== names.join()) {
        labels.dataset.of = names.join()
        labels.replaceChildren(...names.map(name => h('span', { class: 'tag' }, name)))
      }
      if (show(state, v.state !== 'ready')) text(state, v.state)
      set(state, { 'data-state': v.state })
      const packed = Object.entries(v.installed) // [name, version]
      text(packages, [packed.length && count(packed.length, 'package'), `${duration(v.ms)}`].filter(Boolean).join(' · '))
      text(when, ago(v.createdAt, now))
      if (show(message, v.error)) text(message, v.error)
      if (show(installed, packed.length)) text(installed, packed.map(([name, version]) => `${name} ${version}`).join(', '))
      if (show(log, details.open)) text(log, detail?.error ? detail.error.message : detail?.log === undefined ? 'Loading …' : detail.log.trim() || 'The install printed nothing.')
    }
  }
}

function triggerRow () {
  const name = h('span', { class: 'row-name' })
  const on = h('code')
  const state = h('span', { class: 'tag' })
  const next = h('span', { class: 'muted' })
  const last = h('a', {}, 'last execution')
  const error = h('p', { class: 'problem' })
  return {
    element: h('li', { class: 'trigger' }, h('div', { class: 'trigger-line' }, name, on, state, h('span', { class: 'grow' }), last, next), error),
    update ({ trigger, of }) {
      text(name, trigger.name)
      text(on, trigger.schedule ? [trigger.schedule, trigger.timezone].filter(Boolean).join(' ') : trigger.pattern)
      if (show(state, trigger.paused)) text(state, 'paused')
      const due = trigger.next?.[0]
      if (show(next, due && !trigger.paused)) text(next, `next ${new Date(due).toLocaleDateString(undefined, { day: 'numeric', month: 'short' })} ${clock(due).slice(0, 8)}`)
      if (show(last, trigger.lastExecution)) set(last, { href: href({ function: of, execution: trigger.lastExecution }) })
      if (show(error, trigger.error)) text(error, trigger.error)
    }
  }
}
