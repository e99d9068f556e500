// A TCP proxy that does to connections what networks do.
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

export class Proxy {
  #pairs = new Set()
  #refuses = false
  #delay = 0
  #garble // 'up' or 'down'
  count = 0 // connections so far

  /** A proxy before the hub at url; stop() ends it. */
  static async start (url) {
    const proxy = new Proxy()
    const { hostname, port } = new URL(url)
    proxy.server = createServer(client => proxy.#accept(client, { host: hostname, port: Number(port) }))
    proxy.server.listen(0, '127.0.0.1')
    await once(proxy.server, 'listening')
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`
    return proxy
  }

  stop () {
    this.drop()
    this.server.close()
  }

  /** Cuts every connection, as a router that restarts. */
  drop () {
    for (const { client, hub } of this.#pairs) {
      client.resetAndDestroy()
      hub.resetAndDestroy()
    }
  }

  /** Takes no connection any more, until refuse(false). */
  refuse (on = true) {
    this.#refuses = on
    if (on) this.drop()
  }

  /** What is there stays open, and nothing goes through it ever again: a cable that was pulled. */
  halfOpen () {
    for (const pair of this.#pairs) pair.dead = true
  }

  /** Everything takes this many ms longer from now on. */
  delay (ms) {
    this.#delay = ms
  }

  /** The next chunk up or down has a bit flipped that makes it neither UTF-8 nor, maybe, a frame. */
  garble (direction) {
    this.#garble = direction
  }

  #accept (client, to) {
    this.count++
    if (this.#refuses) return client.resetAndDestroy()
    const pair = { client, hub: connect(to), dead: false }
    this.#pairs.add(pair)
    this.#pipe(pair, client, pair.hub, 'up')
    this.#pipe(pair, pair.hub, client, 'down')
  }

  #pipe (pair, from, to, direction) {
    let last = Promise.resolve() // chunks keep their order, however the delay changes
    let handshake = true
    from.setNoDelay(true)
    from.on('data', chunk => {
      if (this.#garble === direction && !handshake) {
        this.#garble = undefined
        chunk = Buffer.from(chunk)
        chunk[chunk.length >> 1] ^= 0x80
      }
      handshake = false
      const wait = this.#delay ? new Promise(resolve => setTimeout(resolve, this.#delay)) : undefined
      last = last.then(() => wait).then(() => { if (!pair.dead && !to.destroyed) to.write(chunk) })
    })
    from.on('error', () => {})
    from.on('close', () => {
      if (to.destroyed) this.#pairs.delete(pair)
      else if (!pair.dead) last.then(() => to.destroy())
    })
  }
}
