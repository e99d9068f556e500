// Subscribers with the SDK, behind a network that fails on command: what recovery_test.go steers and judges. Reads a
// command a line; prints what the subscribers see, a line of JSON each.
import { createInterface } from 'node:readline'
import { WebSocket } from 'ws'
import { connect } from '../../public/sdk/livefn.js'
import { Proxy } from './sdk/proxy.mjs'

const { LIVEFN_URL: url, LIVEFN_KEY: token } = process.env
const say = line => process.stdout.write(`${JSON.stringify(line)}\n`)

const proxy = await Proxy.start(url)
const clients = [0, 1].map(() => connect(proxy.url, { token, WebSocket, heartbeat: 300, patience: 3000, delay: () => 5 + Math.random() * 45, timeout: Infinity }))
const subscriptions = new Map()

async function follow (id, name, since) {
  const subscription = clients[id % clients.length].subscribe(name, { since, buffer: 30 })
  subscriptions.set(id, { subscription, name, since })
  for await (const { stream, offset, type, data, recovered } of subscription) say({ id, stream, offset, type, data, recovered })
}

const commands = {
  subscribe: (id, name, since) => { follow(Number(id), name, since).catch(error => say({ id: Number(id), error: error.message })) },
  /** As a program that ends, and begins again with the position that it kept. */
  async resume (id) {
    const { subscription, name, since } = subscriptions.get(Number(id))
    await subscription.return()
    commands.subscribe(id, name, subscription.position ?? since)
  },
  drop: () => proxy.drop(),
  halfOpen: () => proxy.halfOpen(),
  garble: direction => proxy.garble(direction),
  delay: ms => proxy.delay(Number(ms)),
  refuse: on => proxy.refuse(on === 'true')
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...args] = line.split(' ')
  await commands[command](...args)
}
for (const client of clients) client.close()
proxy.stop()
