// Starts a durable report and shows how far it is. Ctrl-C pauses it; with its id it goes on, from any
// machine, whether the hub was restarted meanwhile or not.
//
//   node progress.mjs
//   node progress.mjs 01JD…
import { connect } from 'livefn'
import { WebSocket } from 'ws' // Node 22 and later have one of their own

const { LIVEFN_URL: url = 'http://127.0.0.1:8080', LIVEFN_KEY: token } = process.env
const [id] = process.argv.slice(2)
const hub = connect(url, { token, WebSocket })

const run = id ? hub.execution(id) : await hub.start('report', { rowsPerSecond: 5000 })
const events = run.events({ since: id ? 'new' : 'start' })
if (id) {
  await events.ready // or we might miss what it does first
  await run.resume()
}
process.once('SIGINT', () => run.pause())
hub.on('status', status => { if (status === 'reconnecting') console.log('\nno connection; the report goes on') })

for await (const { type, data } of events) {
  if (type === 'progress') draw(data.done / data.of)
  if (type === 'execution.paused') {
    console.log(`\npaused; go on with: node progress.mjs ${run.id}`)
    break
  }
}
if (run.state !== 'paused') console.log('\n', await run.result())
hub.close()

function draw (share) {
  const width = 40
  const full = Math.round(share * width)
  process.stdout.write(`\r${'█'.repeat(full)}${'░'.repeat(width - full)} ${Math.round(share * 100)} %`)
}
