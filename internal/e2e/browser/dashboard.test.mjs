// The dashboard in a real browser on a real hub: sign in, call a function, start the report, watch it
// live, speak to it, pause it, resume it, see it end.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inPage, invoke, key, url } from './helpers.mjs'

test('somebody signs in, calls a function, and pauses and resumes a report that runs', () => inPage(async page => {
  const $ = id => page.getByTestId(id)
  const events = type => page.locator(`[data-testid=event-row][data-type="${type}"]`)
  const inState = (id, state) => page.locator(`[data-testid="${id}"][data-state=${state}]`).waitFor()

  await page.goto(url)
  await $('signin-key').fill('lf_e2e_nobody-has-this-key')
  await $('signin-submit').click()
  await page.getByText('does not know this key').waitFor()
  await $('signin-key').fill(key)
  await $('signin-submit').click()
  await page.locator('[data-testid=status][data-status=open]').waitFor()

  await $('function-add').click()
  await $('call-args').fill('[1, 2]')
  await $('call-submit').click()
  await inState('call-result', 'succeeded')
  assert.equal(await $('call-result').locator('pre.json').textContent(), '3')

  await $('call-args').fill('[1, ')
  await $('call-submit').click()
  assert.equal(await $('call-args').getAttribute('aria-invalid'), 'true')

  await $('function-report').click()
  await $('version-1').locator('summary').click()
  await $('version-1').getByText('latest').waitFor()
  await $('version-1').getByText('lodash 4.').waitFor()
  await $('version-log').getByText(/added \d+ packages/).waitFor()
  await $('call-args').fill('[{ "rowsPerSecond": 5000 }]')
  await $('start-submit').click()
  await $('detail').waitFor()
  const id = await $('detail').getAttribute('data-execution')
  await inState(`state-${id}`, 'running')
  await events('progress').nth(2).waitFor() // they come while one looks

  await $('send-type').fill('speed')
  await $('send-data').fill('{ "rowsPerSecond": 4000 }')
  await $('send-submit').click()
  await events('speed').waitFor()

  await $('pause').click()
  await inState('detail-state', 'paused')
  await inState(`state-${id}`, 'paused')
  await events('execution.paused').waitFor()
  const [options, state] = JSON.parse(await $('resume-args').inputValue())
  assert.deepEqual(options, { rowsPerSecond: 4000 })
  assert.ok(state.done > 0 && state.done < state.of, `it paused at ${state.done} of ${state.of}`)

  await $('resume-args').fill(JSON.stringify([{ rowsPerSecond: 0 }, state]))
  await $('resume').click()
  await inState('detail-state', 'succeeded')
  await inState(`state-${id}`, 'succeeded')
  await events('execution.succeeded').waitFor()
  const shown = JSON.parse(await $('detail-result').locator('pre.json').textContent())
  assert.deepEqual(shown, await invoke('report'))
}))

test('an execution that somebody else started appears, and its state follows', () => inPage(async page => {
  await page.goto(`${url}/#key=${key}`)
  await page.locator('[data-testid=status][data-status=open]').waitFor()
  assert.ok(!page.url().includes(key), 'the key stays in the address bar')
  await page.locator('[data-testid^=bridge-][data-state=running]').first().waitFor()
  assert.ok(await page.getByTestId('no-walls').isHidden(), 'it warns of missing walls that are there')
  const headers = { Authorization: `Bearer ${key}` }
  const started = await fetch(`${url}/v1/invoke/report?async=1`, { method: 'POST', headers, body: '[{ "rowsPerSecond": 1000 }]' })
  const { execution } = await started.json()
  await page.locator(`[data-testid="state-${execution}"][data-state=running]`).waitFor()
  await fetch(`${url}/v1/executions/${execution}/cancel`, { method: 'POST', headers })
  await page.locator(`[data-testid="state-${execution}"][data-state=cancelled]`).waitFor()
}))

test('the first page shows the tenant\'s settings, and changes how packages are installed', t => inPage(async page => {
  const api = async (method, path, body) => {
    const response = await fetch(`${url}/v1${path}`, { method, headers: { Authorization: `Bearer ${key}` }, body: body && JSON.stringify(body) })
    return response.status === 204 ? undefined : response.json()
  }
  t.after(() => Promise.all([api('PUT', '/packages', {}), api('DELETE', '/origins')]))
  await api('PUT', '/packages', { scopes: { '@acme': 'https://npm.test/private/' }, tokens: { 'https://npm.test/private/': 'npm_SECRET' } })
  await api('PUT', '/origins', { origins: ['https://app.example.com'] })
  const $ = id => page.getByTestId(id)
  const inState = state => page.locator(`[data-testid=packages][data-state=${state}]`).waitFor()

  await page.goto(`${url}/#key=${key}`)
  await $('packages-list').getByText('@acme').waitFor()
  await $('packages-list').getByText('token set, never shown').waitFor()
  await $('origins').getByText('https://app.example.com').waitFor()
  assert.ok(!(await page.content()).includes('npm_SECRET'))

  await $('packages-registry').fill('nowhere')
  await inState('changed')
  await $('packages-save').click()
  await $('packages-problem').getByText('is not an address').waitFor()
  assert.equal(await $('packages-registry').inputValue(), 'nowhere', 'what was typed is gone')
  await $('packages-registry').fill('https://npm.test')
  await $('packages-scripts').selectOption('all')
  await $('packages-save').click()
  await inState('saved')
  assert.ok(await $('packages-problem').isHidden(), 'a problem that is over is still shown')
  assert.equal(await $('packages-registry').inputValue(), 'https://npm.test/')
  const want = { scripts: 'all', registry: 'https://npm.test/', scopes: { '@acme': 'https://npm.test/private/' }, tokens: ['https://npm.test/private/'] }
  assert.deepEqual(await api('GET', '/packages'), want)

  await $('packages-registry').fill('')
  await $('packages-save').click()
  await inState('saved')
  delete want.registry
  assert.deepEqual(await api('GET', '/packages'), want)
}, { tolerate: /status of 400/ }))
