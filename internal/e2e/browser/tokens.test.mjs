// A page of elsewhere with a token and nothing else: the SDK, fetch and EventSource, across origins.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { inPage, key, url } from './helpers.mjs'

async function api (method, path, body) {
  const response = await fetch(url + path, { method, headers: { authorization: `Bearer ${key}` }, body: body && JSON.stringify(body) })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return response.status === 204 ? undefined : response.json()
}

/** Opens an empty page of an origin of its own, which can mint(scopes, ttl). */
async function elsewhere (t, page) {
  const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><link rel="icon" href="data:,">'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const origin = `http://127.0.0.1:${server.address().port}`
  await page.exposeFunction('mint', async (scopes, ttl = '1m') => (await api('POST', '/v1/tokens', { scopes, ttl, subject: 'u1' })).token)
  await page.goto(origin)
  return origin
}

test('a page of another origin calls, follows and outlives its tokens', t => inPage(async page => {
  await elsewhere(t, page)
  const seen = await page.evaluate(async ({ url, stream }) => {
    const { connect } = await import(`${url}/sdk/livefn.js`)
    let asked = 0
    const hub = connect(url, { token: () => { asked++; return globalThis.mint(['invoke:add', 'subscribe:pages.>', 'publish:pages.>'], '1s') } })
    const enough = () => asked < 3
    const statuses = []
    hub.on('status', status => statuses.push(status))
    const events = hub.subscribe(stream, { since: 'start' })
    let last
    for (let n = 1; enough(); n++) {
      await hub.publish(stream, 'n', n)
      const { value } = await events.next()
      if (value.data !== n || await hub.invoke('add', n, 1) !== n + 1) throw new Error(`${n}: ${JSON.stringify(value)}`)
      last = n
    }
    hub.close()
    const token = await globalThis.mint(['invoke:add', 'subscribe:pages.>'])
    const called = await fetch(`${url}/v1/invoke/add`, {
      method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: '[1, 2]'
    })
    const source = new globalThis.EventSource(`${url}/v1/streams/${stream}/events?since=start&token=${token}`)
    const first = await new Promise((resolve, reject) => {
      source.addEventListener('n', ({ data }) => resolve(JSON.parse(data).data))
      source.onerror = () => reject(new Error('no event stream'))
    })
    source.close()
    return { statuses, many: last > 3, sum: await called.json(), id: called.headers.get('Livefn-Execution')?.length, first: first - Math.max(0, last - 1024) } // history has 1,024 events
  }, { url, stream: `pages.${Date.now()}` })
  assert.deepEqual(seen, { statuses: ['open', 'closed'], many: true, sum: 3, id: 26, first: 1 })
}))

test('a page that is not on the list of origins gets nowhere', t => inPage(async page => {
  const origin = await elsewhere(t, page)
  t.after(() => api('DELETE', '/v1/origins'))
  const attempt = () => page.evaluate(async url => {
    const { connect } = await import(`${url}/sdk/livefn.js`)
    const hub = connect(url, { token: () => globalThis.mint(['invoke:add']) })
    const socket = await hub.invoke('add', 1, 2).catch(error => error.code)
    hub.close()
    const token = await globalThis.mint(['invoke:add'])
    const called = await fetch(`${url}/v1/invoke/add`, { method: 'POST', headers: { authorization: `Bearer ${token}` }, body: '[1, 2]' })
      .then(response => response.json(), error => error.name)
    return [socket, called]
  }, url)
  await api('PUT', '/v1/origins', { origins: ['https://app.example.com'] })
  assert.deepEqual(await attempt(), ['forbidden', 'TypeError'])
  await api('PUT', '/v1/origins', { origins: [origin] })
  assert.deepEqual(await attempt(), [3, 3])
}, { tolerate: /CORS policy|ERR_FAILED/ }))
