import { h, keyed, set, show, text } from '../dom.js'

/** The tenant's settings: how packages are installed, and whose pages may act as it. Tokens are never shown. */
export function settings (store) {
  const packages = packagesForm(store)
  const origins = h('ul', { class: 'rows' })
  const reconcile = keyed(originRow)
  const all = h('p', { class: 'setting muted' })
  const element = h('section', { class: 'settings' },
    h('div', { class: 'bar' }, h('h2', {}, 'Packages'), h('span', { class: 'muted' }, 'how those of functions are installed')),
    h('div', { class: 'block' }, packages.element),
    h('div', { class: 'bar' }, h('h2', {}, 'Origins'), h('span', { class: 'muted' }, 'whose pages may act as the tenant')),
    h('div', { class: 'block' }, h('div', { class: 'card flush', 'data-testid': 'origins' }, all, origins)))

  return {
    element,
    update (state) {
      const of = state.settings
      if (!of) packages.forget() // what was typed is the tenant's that was signed in
      if (!show(element, of?.packages && !state.route.function)) return
      packages.update(of, state.status)
      const list = of.origins ?? []
      if (show(all, list.length === 0)) text(all, of.origins ? 'The list is empty: no page of elsewhere may.' : 'There is no list: pages of any origin may, if they have a key or token.')
      reconcile(origins, list, origin => origin)
    }
  }
}

/** Scripts and registry to be changed; scopes and tokens to be seen. */
function packagesForm (store) {
  const scripts = h('select', { id: 'packages-scripts', 'data-testid': 'packages-scripts', onchange: () => mark() },
    h('option', { value: 'none' }, 'do not run'), h('option', { value: 'all' }, 'run'))
  const registry = h('input', {
    id: 'packages-registry', type: 'url', placeholder: 'the hub\u2019s', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', 'data-testid': 'packages-registry', oninput: () => mark()
  })
  const failure = h('p', { class: 'problem', role: 'alert', 'data-testid': 'packages-problem' })
  const save = h('button', { class: 'button primary', type: 'submit', 'data-testid': 'packages-save' }, 'Save')
  const list = h('ul', { class: 'rows', 'data-testid': 'packages-list' })
  const reconcile = keyed(packageRow)
  const element = h('form', { class: 'card flush', novalidate: true, 'data-testid': 'packages', onsubmit: event => { event.preventDefault(); go() } },
    h('div', { class: 'setting-fields' },
      h('div', { class: 'field' }, h('label', { for: scripts.id }, 'Lifecycle scripts'), scripts),
      h('div', { class: 'field' }, h('label', { for: registry.id }, 'Registry'), registry),
      save, failure),
    list)

  let filled // what the fields were filled with
  let busy = false
  const changes = () => {
    const patch = {}
    if (scripts.value !== filled.scripts) patch.scripts = scripts.value
    if (registry.value.trim() !== filled.registry) patch.registry = registry.value.trim() || null
    return patch
  }
  const changed = () => filled && Object.keys(changes()).length > 0
  const mark = () => set(element, { 'data-state': busy ? 'saving' : changed() ? 'changed' : 'saved' })
  const fill = packages => {
    filled = { scripts: packages.scripts, registry: packages.registry ?? '' }
    scripts.value = filled.scripts
    registry.value = filled.registry
  }
  const go = async () => {
    if (!changed() || busy) return
    if (await store.changePackages(changes()) && store.state.settings) fill(store.state.settings.packages)
    store.changed()
  }

  return {
    element,
    forget () { filled = undefined },
    update ({ packages, busy: now, failure: why }, status) {
      busy = Boolean(now)
      if (!busy && !changed()) fill(packages) // what somebody types is left to them
      mark()
      set(save, { disabled: busy || status !== 'open' })
      set(scripts, { disabled: busy })
      set(registry, { disabled: busy })
      if (show(failure, why)) text(failure, why.message)
      reconcile(list, [
        ...Object.entries(packages.scopes).map(([scope, at]) => ({ name: scope, what: at })),
        ...packages.tokens.map(at => ({ name: at, what: 'token set, never shown' }))
      ], ({ name }) => name)
    }
  }
}

function packageRow ({ name }) {
  const what = h('span', { class: 'why' })
  return {
    element: h('li', { class: 'setting' }, h('span', { class: 'row-name' }, name), what),
    update (row) { text(what, row.what) }
  }
}

function originRow (origin) {
  return { element: h('li', { class: 'setting' }, origin), update () {} }
}
