// A service that handles each order once, also those that came while it did not run: it keeps how far it
// is in a file. (Whoever must not handle one twice, though the power fails, keeps the position in the same
// transaction as the order's effects.)
//
//   LIVEFN_URL=http://127.0.0.1:8080 LIVEFN_KEY=lf_dev_… node orders.mjs position.json
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { connect } from 'livefn'
import { WebSocket } from 'ws' // Node 22 and later have one of their own

const { LIVEFN_URL: url = 'http://127.0.0.1:8080', LIVEFN_KEY: token } = process.env
const file = process.argv[2] ?? 'position.json'
const since = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : 'start'

const hub = connect(url, { token, WebSocket })
const orders = hub.subscribe('orders.>', { since })
orders.on('gap', ({ after, from }) => console.log(`some orders are no longer kept: after ${after?.offset}, before ${from.offset + 1}`))
process.once('SIGINT', () => orders.return())

for await (const { stream, type, data } of orders) {
  console.log(`${stream} ${type} ${JSON.stringify(data)}`)
  writeFileSync(`${file}.new`, JSON.stringify(orders.position))
  renameSync(`${file}.new`, file)
}
hub.close()
