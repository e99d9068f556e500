import { h, icon, icons, set, show, text } from '../dom.js'
import { ago, duration, json, parseArgs, settings } from '../format.js'
import { href } from '../route.js'
import { jsonField, progress } from './parts.js'

const mac = /Mac|iPhone|iPad/.test(navigator.platform)

/** The chosen function: what it is, and a place to call it. */
export function panel (store) {
  const title = h('h1')
  const version = h('span', { class: 'tag' })
  const state = h('span', { class: 'tag' })
  const about = h('p', { class: 'about' })
  const drafts = new Map() // function → what was typed
  let name

  const args = jsonField({
    testid: 'call-args',
    label: 'Arguments',
    placeholder: '[1, 2]',
    check: parseArgs,
    submit: () => call()
  })
  const call = () => {
    const ready = args.read()
    if (ready) store.call(name, ready.value)
  }
  const start = async () => {
    const ready = args.read()
    if (!ready) return
    const id = await store.start(name, ready.value)
    if (id && store.state.route.function === name) location.hash = href({ function: name, execution: id })
  }
  const submit = h('button', { class: 'button primary', type: 'submit', 'data-testid': 'call-submit' }, 'Call', h('kbd', {}, mac ? '⌘ ↵' : 'Ctrl ↵'))
  const durable = h('button', { class: 'button', type: 'button', onclick: start, 'data-testid': 'start-submit', title: 'On disk before it runs; survives crashes' }, 'Start durable')
  const outcome = result()

  const form = h('form', { class: 'card call', onsubmit: event => { event.preventDefault(); call() } },
    args.element,
    h('p', { class: 'note' }, 'A JSON array is the list of arguments; any other value is the one argument.'),
    h('div', { class: 'actions' }, submit, durable),
    outcome.element)
  const element = h('section', { class: 'panel' },
    h('a', { class: 'back narrow-only', href: href() }, icon(icons.back), 'Functions'),
    h('div', { class: 'heading' }, title, version, state),
    about,
    form)

  return {
    element,
    update (s) {
      if (!show(element, s.route.function)) return
      if (name !== s.route.function) {
        if (name) drafts.set(name, args.field.value)
        name = s.route.function
        args.fill(drafts.get(name) ?? '')
      }
      const fn = s.functions?.find(f => f.name === name)
      text(title, name)
      if (show(version, fn?.latest)) text(version, `v${fn.latest}`)
      if (show(state, fn?.state && fn.state !== 'ready')) text(state, fn.state)
      set(state, { 'data-state': fn?.state })
      text(about, !fn ? (s.functions ? 'There is no function of this name.' : '') : [...settings(fn), fn.updatedAt && `published ${ago(fn.updatedAt)}`].filter(Boolean).join(' · '))
      show(form, fn || !s.functions) // nothing can be called that is not there
      const offline = s.status !== 'open'
      set(submit, { disabled: offline })
      set(durable, { disabled: offline })
      outcome.update(s.calls.get(name), name)
    }
  }
}

const WORDS = { running: 'Running', paused: 'Paused: it goes on when it is resumed', succeeded: 'Succeeded', failed: 'Failed', started: 'Started' }

/** What came of the last call. */
function result () {
  const word = h('strong')
  const time = h('span', { class: 'muted' })
  const link = h('a', {}, 'Open execution')
  const stop = h('button', { class: 'button small', type: 'button' }, 'Cancel')
  const bar = progress()
  const value = h('pre', { class: 'json', tabindex: 0, 'aria-label': 'Result' })
  const message = h('p', { class: 'message' })
  const stack = h('pre', { class: 'stack', tabindex: 0, 'aria-label': 'Stack' })
  const element = h('div', { class: 'result', 'data-testid': 'call-result', 'aria-live': 'polite' },
    h('div', { class: 'result-head' }, word, time, h('span', { class: 'grow' }), link, stop),
    bar.element, message, value, stack)
  let shown // what the JSON was made of

  return {
    element,
    update (call, name) {
      if (!show(element, call)) return
      const { state, error } = call
      const under = state === 'running' || state === 'paused'
      set(element, { 'data-state': state })
      text(word, error ? error.code : WORDS[state])
      const ms = under ? Date.now() - call.startedAt : call.ms
      text(time, under && ms < 1000 ? '' : state === 'started' ? `in ${duration(ms)}` : duration(ms))
      if (show(link, call.execution)) set(link, { href: href({ function: name, execution: call.execution }) })
      show(stop, under && call.cancel)
      stop.onclick = call.cancel
      bar.update(under && call.progress)
      if (show(message, error)) text(message, (error.functionName ? `${error.functionName}: ${error.message}` : error.message).replace(/\s*\n\s*/g, '\n'))
      if (show(stack, error?.functionStack)) text(stack, trace(error))
      if (show(value, state === 'succeeded') && shown !== call) json(value, call.value)
      shown = state === 'succeeded' ? call : undefined
    }
  }
}

/** The stack without its first line, which says the message again. */
export function trace ({ functionStack, message }) {
  const [first, ...rest] = functionStack.split('\n')
  return first.includes(message.split('\n')[0]) && rest.length ? rest.map(line => line.trim()).join('\n') : functionStack
}
