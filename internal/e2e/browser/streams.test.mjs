// The dashboard's view of streams: history, what comes, a pause that loses nothing, a gap that is said.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inPage, key, url } from './helpers.mjs'

const headers = { Authorization: `Bearer ${key}` }

async function publish (stream, ...data) {
  const response = await fetch(`${url}/v1/streams/${stream}/events`, {
    method: 'POST', headers, body: JSON.stringify(data.map(n => ({ type: 'n', data: n })))
  })
  assert.equal(response.status, 200)
}

test('somebody watches streams by a pattern, pauses, resumes and misses nothing', () => inPage(async page => {
  const $ = id => page.getByTestId(id)
  const inState = state => page.locator(`[data-testid=stream][data-state=${state}]`).waitFor()
  const rows = $('event-row')
  const shown = () => rows.evaluateAll(all => all.map(row => `${row.dataset.stream} ${row.querySelector('.event-data').textContent}`))
  const name = `watched-${process.pid}`
  await publish(`${name}.eu`, 1, 2)
  await publish(`${name}.us`, 3)

  await page.goto(`${url}/#key=${key}`)
  await page.locator('[data-testid=status][data-status=open]').waitFor()
  await $('streams').click()
  await $('stream-pattern').fill(`${name}.*`)
  await $('stream-watch').click()
  await inState('live')
  await rows.nth(2).waitFor()
  await publish(`${name}.eu`, 4)
  await rows.nth(3).waitFor()

  await $('stream-pause').click()
  await inState('paused')
  await publish(`${name}.us`, 5)
  await publish(`${name}.eu`, 6)
  assert.equal(await rows.count(), 4)
  await $('stream-pause').click()
  await inState('live')
  await rows.nth(5).waitFor()
  assert.deepEqual(await shown(), [`${name}.eu 1`, `${name}.eu 2`, `${name}.us 3`, `${name}.eu 4`, `${name}.us 5`, `${name}.eu 6`])
  assert.equal(await $('stream-gap').count(), 0)
  const picture = process.env.LIVEFN_PICTURE
  if (picture) await page.screenshot({ path: picture })

  await $('stream-clear').click()
  await page.getByText('Cleared.').waitFor()
  assert.equal(await rows.count(), 0)
  await publish(`${name}.eu`, ...Array.from({ length: 700 }, (_, i) => i))
  await page.locator('[data-testid=event-row][data-offset="704"]').waitFor()
  const kept = await rows.count()
  assert.ok(kept <= 500 && kept >= 400, `${kept} are shown`)

  await page.goto(`${url}/#/streams/${name}.us`) // a link to one stream
  await page.locator(`[data-testid=event-row][data-stream="${name}.us"]`).nth(1).waitFor() // those of before are of the other one
  assert.deepEqual(await shown(), [`${name}.us 3`, `${name}.us 5`])
  await $('stream-pause').click()
  await inState('paused')
  assert.equal((await fetch(`${url}/v1/streams/${name}.us`, { method: 'DELETE', headers })).status, 204)
  await publish(`${name}.us`, 7)
  await $('stream-pause').click()
  await $('stream-gap').waitFor()
  assert.deepEqual(await shown(), [`${name}.us 3`, `${name}.us 5`, `${name}.us 7`])
  if (picture) await page.screenshot({ path: picture.replace('.png', '-gap.png') })

  await $('stream-pattern').fill('a..b')
  await $('stream-watch').click()
  await inState('ended')
}))
