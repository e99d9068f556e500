import { h, set, show, text } from '../dom.js'
import { brand } from './brand.js'

/** The page for who has no key in this tab yet. */
export function signin (store) {
  const key = h('input', {
    id: 'key', type: 'password', autocomplete: 'off', spellcheck: 'false', placeholder: 'lf_…', required: true, 'data-testid': 'signin-key', 'aria-describedby': 'key-note'
  })
  const submit = h('button', { class: 'button primary wide', type: 'submit', 'data-testid': 'signin-submit' }, 'Sign in')
  const problem = h('p', { class: 'problem', role: 'alert' })
  const form = h('form', {
    class: 'signin-form',
    onsubmit: event => {
      event.preventDefault()
      if (key.value.trim()) store.signIn(key.value.trim())
    }
  },
  h('label', { for: 'key' }, 'Key'),
  key,
  problem,
  submit,
  h('p', { id: 'key-note', class: 'note' }, 'A key of your tenant, as printed by livefn. It stays in this tab and is forgotten with it.'))

  const element = h('main', { class: 'signin' },
    h('div', { class: 'signin-card' }, brand(), h('h1', {}, 'Sign in to your hub'), form))

  let shown = false
  return {
    element,
    update (state) {
      const waiting = state.status === 'connecting'
      const now = show(element, state.status === 'signed-out' || waiting)
      if (now && !shown) {
        key.value = ''
        key.focus()
      }
      shown = now
      set(submit, { disabled: waiting })
      text(submit, waiting ? 'Connecting…' : 'Sign in')
      if (show(problem, state.error)) text(problem, explain(state.error))
    }
  }
}

function explain (error) {
  if (error.code === 'unauthorized') return 'The hub does not know this key.'
  if (/Livefn-Tenant/.test(error.message)) return 'This is the key of the operator, who belongs to no tenant. Sign in with a key of a tenant: livefn keys create NAME makes one.'
  return error.message
}
