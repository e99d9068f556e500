// The SDK in pages whose network fails: two tabs, offline and online again, a tab that was stopped.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { Proxy } from '../sdk/proxy.mjs'
import { inPage, key, url } from './helpers.mjs'

let names = 0
const fresh = () => `tab.${process.pid}-${++names}`
const tolerate = /WebSocket|ERR_(CONNECTION|INTERNET)/ // browsers complain of a network that fails; it is what we are after

/** Opens a page of no interest, with hub(options) in it: a client behind the proxy. */
async function open (page, at) {
  await page.route('**/favicon.ico', route => route.fulfill({ status: 204 }))
  await page.goto(`${url}/healthz`)
  await page.evaluate(async ({ at, key }) => {
    const { connect } = await import('/sdk/livefn.js')
    const count = (name, until) => {
      const seen = globalThis.seen = []
      globalThis.gaps = 0
      const subscription = globalThis.hub.subscribe(name, { since: 'start', onGap: () => globalThis.gaps++ })
      globalThis.done = (async () => {
        for await (const { offset } of subscription) if (seen.push(offset) === until) break
        return { seen, gaps: globalThis.gaps }
      })()
      return subscription.ready
    }
    Object.assign(globalThis, { connect: options => { globalThis.hub = connect(at, { token: key, ...options }) }, count })
  }, { at, key })
}

async function behindProxy (f) {
  const proxy = await Proxy.start(url)
  try {
    await inPage(page => f(page, proxy), { tolerate })
  } finally {
    proxy.stop()
  }
}

async function publish (stream, from, to) {
  for (let i = from; i <= to; i++) {
    const response = await fetch(`${url}/v1/streams/${stream}/events`, {
      method: 'POST', headers: { Authorization: `Bearer ${key}` }, body: JSON.stringify({ type: 'n', data: i })
    })
    assert.equal(response.status, 200)
  }
}

const upTo = n => ({ seen: Array.from({ length: n }, (_, i) => i + 1), gaps: 0 })

test('two tabs see the same events, each once, though the network of both fails', () => behindProxy(async (page, proxy) => {
  const stream = fresh()
  const tabs = [page, await page.context().newPage()]
  for (const tab of tabs) {
    await open(tab, proxy.url)
    await tab.evaluate(stream => {
      globalThis.connect({ heartbeat: 300, delay: () => 20 })
      return globalThis.count(stream, 60)
    }, stream)
  }
  await publish(stream, 1, 10)
  const faults = [
    () => proxy.drop(), () => proxy.delay(60), () => proxy.halfOpen(), () => proxy.delay(0), () => proxy.garble('down'), () => proxy.garble('up'), () => proxy.drop()
  ]
  for (const fault of faults) {
    fault()
    await publish(stream, 1, 5)
    await tabs[1].evaluate(({ stream }) => Promise.all([1, 2, 3, 4, 5].map(i => {
      const again = () => globalThis.hub.publish(stream, 'n', i).catch(error => {
        if (error.code !== 'connection_lost') throw error
      })
      return again()
    })), { stream })
  }
  const { offset } = await tabs[0].evaluate(stream => globalThis.hub.publish(stream, 'last'), stream)
  await publish(stream, offset + 1, 60) // what the network took away of what was published through it
  for (const tab of tabs) assert.deepEqual(await tab.evaluate(() => globalThis.done), upTo(60))
}))

test('a page that is online again comes back at once, and has missed nothing', () => behindProxy(async (page, proxy) => {
  const stream = fresh()
  await open(page, proxy.url)
  await page.evaluate(stream => {
    const waits = [60_000, 10] // without the event it would take a minute
    globalThis.connect({ delay: () => waits.shift() ?? 10 })
    return globalThis.count(stream, 20)
  }, stream)
  await publish(stream, 1, 10)
  await page.context().setOffline(true)
  const lost = page.evaluate(() => new Promise(resolve => {
    if (globalThis.hub.status === 'reconnecting') resolve()
    globalThis.hub.on('status', resolve)
  }))
  proxy.refuse()
  await lost
  await publish(stream, 11, 20)
  proxy.refuse(false)
  const begun = Date.now()
  await page.context().setOffline(false)
  assert.deepEqual(await page.evaluate(() => globalThis.done), upTo(20))
  assert.ok(Date.now() - begun < 30_000, 'it waited for the backoff')
}))

// What browsers do to tabs that nobody looks at, and laptops to all: no timer runs, messages lie unread.
test('a page that was stopped keeps its connection if that lives, and finds out if it does not', () => behindProxy(async (page, proxy) => {
  const stream = fresh()
  await open(page, proxy.url)
  await page.evaluate(stream => {
    globalThis.connect({ heartbeat: 200, delay: () => 20 })
    return globalThis.count(stream, 40)
  }, stream)
  await page.evaluate(() => {
    globalThis.ticks = 0
    setInterval(() => globalThis.ticks++, 10)
  })
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('Debugger.enable')
  const stopped = async f => {
    const before = await page.evaluate(() => globalThis.ticks)
    const paused = once(devtools, 'Debugger.paused')
    await devtools.send('Debugger.pause')
    await paused
    await f()
    await devtools.send('Debugger.resume')
    const ran = await page.evaluate(() => globalThis.ticks) - before
    assert.ok(ran < 75, `its timers ran ${ran} times`)
  }
  const beats = () => new Promise(resolve => setTimeout(resolve, 1500)) // a beat is a matter of time
  await stopped(async () => {
    await publish(stream, 1, 20)
    await beats()
  })
  await page.waitForFunction(() => globalThis.seen.length === 20)
  assert.equal(proxy.count, 1)
  await stopped(async () => {
    proxy.halfOpen()
    await publish(stream, 21, 40)
    await beats()
  })
  assert.deepEqual(await page.evaluate(() => globalThis.done), upTo(40))
  assert.equal(proxy.count, 2)
}))

// Without the event the heartbeat would take minutes. (A page that a driver looks at is never hidden, so the event is the test's.)
test('a page that is looked at again finds out that its connection is dead, and has missed nothing', () => behindProxy(async (page, proxy) => {
  const stream = fresh()
  await open(page, proxy.url)
  await page.evaluate(stream => {
    globalThis.connect({ heartbeat: 120_000, delay: () => 20 })
    return globalThis.count(stream, 20)
  }, stream)
  await publish(stream, 1, 10)
  await page.waitForFunction(() => globalThis.seen.length === 10)
  proxy.halfOpen()
  await publish(stream, 11, 20)
  await page.evaluate(() => globalThis.document.dispatchEvent(new globalThis.Event('visibilitychange')))
  assert.deepEqual(await page.evaluate(() => globalThis.done), upTo(20))
  assert.equal(proxy.count, 2)
}))

test('a page from elsewhere may use the SDK that it brought itself', () => behindProxy(async (page, proxy) => {
  const elsewhere = createServer(async (request, response) => {
    if (!request.url.startsWith('/sdk/')) {
      response.setHeader('Content-Type', 'text/html')
      return response.end('<!doctype html><link rel="icon" href="data:,">')
    }
    const file = await fetch(url + request.url)
    response.setHeader('Content-Type', file.headers.get('Content-Type'))
    response.end(await file.text())
  })
  elsewhere.listen(0, '127.0.0.1')
  await once(elsewhere, 'listening')
  try {
    await page.goto(`http://127.0.0.1:${elsewhere.address().port}`)
    const sum = await page.evaluate(async ({ at, key }) => {
      const { connect } = await import('/sdk/livefn.js')
      return connect(at, { token: key }).invoke('add', 1, 2)
    }, { at: proxy.url, key })
    assert.equal(sum, 3)
  } finally {
    elsewhere.closeAllConnections()
    elsewhere.close()
  }
}))
