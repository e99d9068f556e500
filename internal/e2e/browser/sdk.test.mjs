// The SDK as the hub serves it, in a page.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { inPage, invoke, key, url } from './helpers.mjs'

test('a page invokes, starts, watches, sends, pauses, resumes and subscribes', () => inPage(async page => {
  // A page of the hub's origin that is not the dashboard.
  await page.route('**/favicon.ico', route => route.fulfill({ status: 204 }))
  await page.goto(`${url}/healthz`)
  const seen = await page.evaluate(async ({ key }) => {
    const { connect } = await import('/sdk/livefn.js')
    const hub = connect('/', { token: key })
    await hub.ready
    const seen = { sum: await hub.invoke('add', 1, 2), lifecycle: [], statuses: [hub.status] }

    const watched = hub.subscribe('function.report')
    await watched.ready
    const lives = (async () => {
      for await (const { type } of watched) {
        seen.lifecycle.push(type)
        if (type === 'execution.succeeded') break
      }
    })()

    const run = await hub.start('report', { rowsPerSecond: 5_000 })
    seen.types = []
    let asked = false
    for await (const { type, data } of run.events()) {
      seen.types.push(type)
      if (type === 'progress' && !asked) {
        asked = true
        await run.send('speed', { rowsPerSecond: 4_000 })
      }
      if (type === 'speed') {
        seen.speed = data
        await run.pause()
      }
      if (type === 'execution.paused') {
        const { state, pause } = await run.get()
        seen.paused = { state, done: pause.args[1].done }
        await run.resume({ args: [{ rowsPerSecond: 0 }, pause.args[1]] })
      }
    }
    seen.result = await run.result()
    await lives
    try {
      await hub.invoke('no-such-function')
    } catch ({ name, code }) {
      seen.error = { name, code }
    }
    hub.close()
    seen.statuses.push(hub.status)
    return seen
  }, { key })

  const result = await invoke('report')
  const lifecycle = ['queued', 'started', 'pausing', 'paused', 'resumed', 'started', 'succeeded'].map(type => `execution.${type}`)
  assert.deepEqual(seen.types.filter(type => type.startsWith('execution.')), lifecycle)
  assert.ok(seen.paused.done > 0 && seen.paused.done < 50_000)
  assert.deepEqual({ ...seen, types: undefined, paused: seen.paused.state }, {
    sum: 3,
    lifecycle,
    statuses: ['open', 'closed'],
    types: undefined,
    speed: { rowsPerSecond: 4_000 },
    paused: 'paused',
    result,
    error: { name: 'LivefnError', code: 'not_found' }
  })
}))

test('the example in the README works as it stands, in a page from elsewhere', () => inPage(async page => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8')
  const example = /```html\n(.*?)```/s.exec(readme)[1]
  const html = example.replaceAll('lf_dev_…', key).replaceAll('http://127.0.0.1:8080', url)
  const elsewhere = createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8')
    response.end(`<!doctype html><link rel="icon" href="data:,">${html}`)
  })
  elsewhere.listen(0, '127.0.0.1')
  await once(elsewhere, 'listening')
  try {
    await page.goto(`http://127.0.0.1:${elsewhere.address().port}`)
    await page.getByText('50000 of 50000').waitFor()
  } finally {
    elsewhere.closeAllConnections()
    elsewhere.close()
  }
}))
