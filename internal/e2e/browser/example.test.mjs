// The SDK's example of a page, served from elsewhere.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { inPage, key, url } from './helpers.mjs'

test('somebody orders in one tab, and sees it in another', () => inPage(async page => {
  const html = readFileSync(new URL('../../../public/sdk/examples/page.html', import.meta.url), 'utf8')
    .replaceAll('lf_dev_…', key).replaceAll('http://127.0.0.1:8080', url)
  const elsewhere = createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8')
    response.end(request.url === '/' ? html : '')
  })
  elsewhere.listen(0, '127.0.0.1')
  await once(elsewhere, 'listening')
  try {
    const other = await page.context().newPage()
    for (const tab of [page, other]) {
      await tab.goto(`http://127.0.0.1:${elsewhere.address().port}/`)
      await tab.locator('#status[data-status=open]').waitFor()
    }
    for (const what of ['tea', 'scones']) {
      await page.locator('#what').fill(what)
      await page.getByRole('button').click()
      await page.getByText(what).waitFor()
    }
    await other.getByText('2: scones').waitFor()
    assert.deepEqual(await other.locator('#orders li').allTextContents(), ['1: tea', '2: scones'])
  } finally {
    elsewhere.closeAllConnections()
    elsewhere.close()
  }
}))
