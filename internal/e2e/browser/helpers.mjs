// What the browser tests share: the hub that internal/e2e started, and Chromium.
import { chromium } from 'playwright-core'

function need (name) {
  if (!process.env[name]) throw new Error(`${name} is not set: run these tests with make test-e2e`)
  return process.env[name]
}

export const url = need('LIVEFN_URL')
export const key = need('LIVEFN_KEY')

/**
 * Runs f with a page of a browser of its own, and fails if the page had anything to complain about that
 * tolerate does not match.
 */
export async function inPage (f, { tolerate } = {}) {
  const browser = await chromium.launch({
    executablePath: need('LIVEFN_CHROMIUM'),
    args: ['--no-sandbox'] // Chromium's own does not work as root, as which CI runs
  })
  try {
    const context = await browser.newContext({ viewport: { width: 1400, height: 900 } })
    const page = await context.newPage()
    page.setDefaultTimeout(60_000)
    const complaints = []
    page.on('pageerror', error => complaints.push(error.stack))
    page.on('console', message => {
      if (['error', 'warning'].includes(message.type()) && !tolerate?.test(message.text())) complaints.push(message.text())
    })
    try {
      await f(page)
    } catch (error) {
      const picture = process.env.LIVEFN_SCREENSHOT
      if (picture) await page.screenshot({ path: picture }).catch(() => {})
      if (complaints.length) error.message += `\nthe page said:\n${complaints.join('\n')}`
      throw error
    }
    if (complaints.length) throw new Error(`the page said:\n${complaints.join('\n')}`)
  } finally {
    await browser.close()
  }
}

/** Calls a function over HTTP, past everything that runs in the page. */
export async function invoke (name, ...args) {
  const response = await fetch(`${url}/v1/invoke/${name}`, {
    method: 'POST', headers: { Authorization: `Bearer ${key}` }, body: JSON.stringify(args)
  })
  if (response.status !== 200) throw new Error(`${name}: ${response.status} ${await response.text()}`)
  return response.json()
}
