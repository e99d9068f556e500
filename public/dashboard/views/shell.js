import { h, icon, icons, set, show, text } from '../dom.js'
import { href } from '../route.js'
import { brand } from './brand.js'
import { bridges } from './bridges.js'
import { detail } from './detail.js'
import { executions } from './executions.js'
import { functions } from './functions.js'
import { panel } from './panel.js'
import { settings } from './settings.js'
import { streams } from './streams.js'
import { versions } from './versions.js'

const STATUS = {
  connecting: 'Connecting',
  open: 'Live',
  reconnecting: 'Reconnecting',
  closed: 'Offline'
}

/** Everything once signed in: functions on the left, the chosen one in the middle, an execution on the right. */
export function shell (store) {
  const label = h('span')
  const status = h('span', { class: 'status', role: 'status', 'data-testid': 'status' }, h('span', { class: 'dot' }), label)
  const out = h('button', { class: 'button quiet', type: 'button', onclick: () => store.signOut() }, icon(icons.out), h('span', { class: 'wide-only' }, 'Sign out'))

  const side = functions(store)
  const call = panel(store)
  const list = executions(store)
  const under = versions(store)
  const processes = bridges()
  const tenant = settings(store)
  const open = detail(store)
  const watched = streams(store)
  const middle = h('main', { class: 'middle', id: 'main' }, call.element, list.element, under.element, processes.element, tenant.element, watched.element)
  const warning = h('p', { class: 'warning', role: 'alert', 'data-testid': 'no-walls' },
    h('strong', {}, 'Functions run without walls.'), ' They see and do what the user that runs the hub can: publish only code that you trust.')
  const body = h('div', { class: 'body' }, side.element, middle, open.element)

  const element = h('div', { class: 'shell' },
    h('a', { class: 'skip', href: '#main', onclick: event => { event.preventDefault(); middle.querySelector('textarea, a, button')?.focus() } }, 'Skip to content'),
    h('header', { class: 'top' }, h('a', { class: 'home', href: href(), 'aria-label': 'livefn, all executions' }, brand()), h('span', { class: 'grow' }), status, out),
    warning,
    body)

  addEventListener('keydown', event => {
    const { route } = store.state
    if (event.key === 'Escape' && route.execution && !element.hidden) location.hash = href({ function: route.function })
  })

  return {
    element,
    update (state) {
      if (!show(element, state.status !== 'signed-out' && (state.status !== 'connecting' || state.functions))) return
      text(label, STATUS[state.status])
      set(status, { 'data-status': state.status })
      show(warning, state.bridges?.items.some(bridge => bridge.walls === false))
      const ofStreams = state.route.stream !== undefined
      set(body, { 'data-open': state.route.execution ? 'execution' : state.route.function ? 'function' : ofStreams ? 'streams' : 'home' })
      const title = state.route.function ?? state.route.stream
      document.title = title ? `${title} · livefn` : 'livefn'
      for (const view of [side, open, watched]) view.update(state)
      for (const view of [call, list, under, processes, tenant]) {
        if (ofStreams) show(view.element, false)
        else view.update(state)
      }
    }
  }
}
