import { h, keyed, set, show, text } from '../dom.js'
import { ago, count, duration, size } from '../format.js'

const ENDS = 5 // of those that ended, the newest

/** The tenant's Node processes, and why the last ones ended. */
export function bridges () {
  const list = h('ul', { class: 'rows' })
  const live = keyed(row)
  const endedList = h('ul', { class: 'rows' })
  const past = keyed(endedRow)
  const endedBlock = h('div', { class: 'block' }, h('h2', { class: 'bar' }, 'Ended'), h('div', { class: 'card flush' }, endedList))
  const none = h('div', { class: 'empty' }, h('p', {}, 'None runs. The first call starts one.'))
  const element = h('section', { class: 'bridges' },
    h('div', { class: 'bar' }, h('h2', {}, 'Bridges'), h('span', { class: 'muted' }, 'Node processes that run the functions')),
    h('div', { class: 'block' }, h('div', { class: 'card flush' }, none, list)), endedBlock)

  return {
    element,
    update (state) {
      if (!show(element, state.bridges && !state.route.function)) return
      const { items, ended } = state.bridges
      const now = Date.now()
      show(none, items.length === 0)
      live(list, items.map(bridge => ({ bridge, now })), ({ bridge }) => `${bridge.pid} ${bridge.startedAt}`)
      show(endedBlock, ended.length)
      past(endedList, ended.toSorted((a, b) => a.endedAt < b.endedAt ? 1 : -1).slice(0, ENDS).map(bridge => ({ bridge, now })), ({ bridge }) => `${bridge.pid} ${bridge.startedAt}`)
    }
  }
}

function row ({ bridge }) {
  const state = h('span', { class: 'tag' })
  const figures = h('span', { class: 'figures' })
  const since = h('span', { class: 'row-when' })
  const element = h('li', { class: 'bridge', 'data-testid': `bridge-${bridge.pid}` },
    h('span', { class: 'row-name' }, `Node ${bridge.node}`), h('code', { title: 'process' }, bridge.pid), state, h('span', { class: 'grow' }), figures, since)
  return {
    element,
    update ({ bridge: b, now }) {
      set(element, { 'data-state': b.state })
      if (show(state, b.state !== 'running')) text(state, b.state)
      text(figures, [
        count(b.calls, 'call'), `${b.inFlight.toLocaleString()} in flight`, size(b.memory), `${Math.round(b.cpu * 100)} % CPU`, b.loopDelay > 0 && `loop ${duration(b.loopDelay)}`, b.restarts > 0 && count(b.restarts, 'restart')
      ].filter(Boolean).join(' · '))
      text(since, ago(b.startedAt, now))
    }
  }
}

function endedRow () {
  const code = h('span', { class: 'tag' })
  const why = h('span', { class: 'why' })
  const when = h('span', { class: 'row-when' })
  return {
    element: h('li', { class: 'bridge' }, code, why, h('span', { class: 'grow' }), when),
    update ({ bridge, now }) {
      text(code, bridge.code)
      text(why, bridge.reason)
      text(when, ago(bridge.endedAt, now))
    }
  }
}
