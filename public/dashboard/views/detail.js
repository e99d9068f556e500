import { h, icon, icons, set, show, text } from '../dom.js'
import { ago, between, json, parseJSON } from '../format.js'
import { href } from '../route.js'
import { events } from './events.js'
import { trace } from './panel.js'
import { chip, jsonField, progress } from './parts.js'

const ENDED = new Set(['succeeded', 'failed', 'cancelled'])
const REASONS = { request: 'on request', drain: 'the hub restarts', scale: 'its bridge was needed elsewhere', deploy: 'a new version came', function: 'by itself' }

/** One execution: its state, what can be done with it, and its events as they come. */
export function detail (store) {
  const current = () => store.state.detail
  const state = chip('detail-state')
  const name = h('a')
  const id = h('code', { class: 'id' })
  const facts = h('p', { class: 'about' })
  const bar = progress()
  const far = h('span')
  const meter = h('div', { class: 'meter' }, bar.element, far)
  const unknown = h('strong', {}, 'Execution') // until its function is known
  const loading = h('div', { class: 'skeletons', 'aria-label': 'Loading the execution' }, h('i'), h('i'))
  const missing = h('div', { class: 'empty' }, h('strong', {}, 'Not there'), h('p'))
  const note = h('p', { class: 'note' }, 'A call leaves no record once it has ended. What is shown was seen from here.')

  const pause = h('button', { class: 'button', type: 'button', 'data-testid': 'pause', onclick: () => current().pause() }, 'Pause')
  const cancel = h('button', { class: 'button danger', type: 'button', 'data-testid': 'cancel', onclick: () => current().cancel() }, 'Cancel')
  const actions = h('div', { class: 'detail-actions' }, pause, cancel)
  const failure = h('p', { class: 'problem', role: 'alert' })
  const resume = resumeForm(args => current().resume(args))
  const input = section('Arguments')
  const output = section('Result', 'detail-result')
  const send = sendForm((type, data) => current().send(type, data))
  const log = events()

  const close = h('a', { class: 'button quiet square', 'aria-label': 'Close' }, icon(icons.close))
  const body = h('div', { class: 'detail-body' },
    note,
    meter,
    failure,
    resume.element,
    input.element,
    output.element,
    h('div', { class: 'bar' }, h('h3', {}, 'Events'), log.summary),
    log.element,
    send.element)
  const element = h('aside', { class: 'detail', 'aria-label': 'Execution', 'data-testid': 'detail' },
    h('div', { class: 'detail-head' },
      h('div', { class: 'heading' }, unknown, state.element, name, h('span', { class: 'grow' }), actions, close),
      id, facts),
    loading, missing, body)

  return {
    element,
    update (s) {
      const d = s.detail
      if (!show(element, d)) return
      const x = d.view
      set(element, { 'data-execution': d.id })
      set(close, { href: href({ function: s.route.function }) })
      text(id, d.id)
      show(loading, !x && !d.error)
      if (show(missing, !x && d.error)) text(missing.lastChild, d.error.message)
      show(unknown, !x)
      for (const part of [state.element, name, facts, body]) show(part, x)
      show(pause, x && !ENDED.has(x.state) && x.state !== 'paused' && !d.gone)
      show(cancel, x && !ENDED.has(x.state) && !d.gone)
      show(actions, !cancel.hidden)
      if (!x) return

      state.update(x.state)
      text(name, x.version ? `${x.function}@${x.version}` : x.function)
      set(name, { href: href({ function: x.function, execution: d.id }) })
      set(pause, { disabled: x.state === 'pausing' || d.busy === 'pause' || s.status !== 'open' })
      text(pause, x.state === 'pausing' ? 'Pausing…' : 'Pause')
      set(cancel, { disabled: d.busy === 'cancel' || s.status !== 'open' })
      text(facts, about(x))
      show(note, d.gone)
      const at = !ENDED.has(x.state) && (d.progress ?? x.progress)
      bar.update(at)
      if (show(meter, at)) text(far, `${at.done.toLocaleString()} of ${at.of.toLocaleString()}`)
      if (show(failure, d.failure)) text(failure, d.failure.message)
      resume.update(x, d, s.status)
      input.update(x.args)
      output.update(x.error ?? x.result, x)
      send.update(!ENDED.has(x.state) && !d.gone, d)
      log.update(d)
    }
  }
}

function about (x) {
  const now = Date.now()
  const took = x.startedAt && between(x.startedAt, x.endedAt ?? now)
  return [
    `created ${ago(x.createdAt, now)}`,
    took && (x.endedAt ? `took ${took}` : x.state !== 'paused' && `running for ${took}`),
    x.attempt > 1 && `attempt ${x.attempt}`,
    x.pause && `paused ${REASONS[x.pause.reason] ?? x.pause.reason}, ${ago(x.pause.at, now)}`,
    x.trigger && `by ${typeof x.trigger === 'string' ? x.trigger : x.trigger.name}`
  ].filter(Boolean).join(' · ')
}

/** A value that opens and closes. */
function section (title, testid) {
  const head = h('span')
  const preview = h('span', { class: 'preview' })
  const summary = h('summary', {}, head, preview)
  const value = h('pre', { class: 'json', tabindex: 0 })
  const message = h('p', { class: 'message' })
  const element = h('details', { class: 'value', 'data-testid': testid }, summary, message, value)
  let shown
  return {
    element,
    update (of, x) {
      if (!show(element, of !== undefined)) shown = undefined
      if (of === undefined || shown === of) return
      shown = of // views are replaced, never changed
      const whole = JSON.stringify(of)
      const error = x?.error
      const cancelled = x?.state === 'cancelled'
      text(head, cancelled ? 'Cancelled' : error ? `Error: ${error.code}` : title)
      text(preview, error ? '' : whole.slice(0, 100))
      set(element, { 'data-state': error && !cancelled ? 'failed' : undefined })
      element.open = error ? true : whole.length < 4000 && title === 'Result'
      if (show(message, error)) text(message, error.name ? `${error.name}: ${error.message}` : error.message)
      if (!error) json(value, of)
      else if (show(value, error.stack)) text(value, trace({ functionStack: error.stack, message: error.message }))
      if (!error) show(value, true)
    }
  }
}

/** While it is paused: the arguments it goes on with, to be changed or left. */
function resumeForm (act) {
  const args = jsonField({
    testid: 'resume-args',
    label: 'Goes on with these arguments',
    rows: 2,
    check: text => {
      const value = parseJSON(text)
      if (!Array.isArray(value)) throw new Error('The arguments are a JSON array.')
      return value
    },
    submit: () => go()
  })
  let before // as they were filled in
  const go = () => {
    const ready = args.read()
    if (ready) act(args.field.value === before ? undefined : ready.value)
  }
  const button = h('button', { class: 'button primary', type: 'submit', 'data-testid': 'resume' }, 'Resume')
  const element = h('form', { class: 'resume', onsubmit: event => { event.preventDefault(); go() } }, args.element, h('div', { class: 'actions' }, button))
  let filled
  return {
    element,
    update (x, d, status) {
      const paused = show(element, x.state === 'paused')
      const key = paused ? `${x.id} ${x.pause?.at}` : undefined
      if (paused && filled !== key) {
        const value = x.pause?.args ?? x.args ?? []
        before = JSON.stringify(value)
        if (before.length > 80) before = JSON.stringify(value, null, 2)
        args.fill(before)
      }
      filled = key
      set(button, { disabled: d.busy === 'resume' || status !== 'open' })
    }
  }
}

/** An event to send into it. */
function sendForm (act) {
  const type = h('input', { id: 'send-type', placeholder: 'type', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', required: true, 'aria-label': 'Event type', 'data-testid': 'send-type' })
  const data = h('input', { id: 'send-data', placeholder: 'data (JSON)', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', 'aria-label': 'Event data, JSON', 'data-testid': 'send-data' })
  const fault = h('p', { class: 'problem', role: 'alert', hidden: true })
  const button = h('button', { class: 'button', type: 'submit', 'data-testid': 'send-submit' }, 'Send')
  const element = h('form', {
    class: 'send',
    onsubmit: async event => {
      event.preventDefault()
      let value
      try {
        value = data.value.trim() === '' ? undefined : parseJSON(data.value)
      } catch (error) {
        text(fault, error.message)
        return show(fault, true)
      }
      show(fault, false)
      if (await act(type.value.trim(), value)) data.value = ''
    }
  }, h('h3', {}, 'Send an event into it'), h('div', { class: 'send-line' }, type, data, button), fault)
  let of
  return {
    element,
    update (possible, d) {
      if (of !== d) {
        of = d
        element.reset()
        show(fault, false)
      }
      show(element, possible)
      set(button, { disabled: d.busy === 'send' })
    }
  }
}
