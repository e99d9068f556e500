// Calls a function without a pause until its input ends. Prints a line of JSON for each status, for the
// hundredth answer after each connection and, at the end, for what came of all calls.
import { WebSocket } from 'ws'
import { connect } from '../../public/sdk/livefn.js'

const { LIVEFN_URL: url, LIVEFN_KEY: token } = process.env
const say = line => console.log(JSON.stringify(line))
const hub = connect(url, { token, WebSocket, timeout: 60_000 })
const over = new AbortController()
process.stdin.on('end', () => over.abort()).resume()
let busy = 0 // answers with which to say so
const seen = { answered: 0, failed: {} }
hub.on('status', status => {
  say({ status })
  busy = seen.answered + 100
})
await Promise.all(Array.from({ length: 8 }, async () => {
  while (!over.signal.aborted) {
    try {
      if (await hub.invoke('add', 1, 2) === 3 && ++seen.answered === busy) say({ status: 'busy' })
    } catch (error) {
      seen.failed[error.code] = (seen.failed[error.code] ?? 0) + 1
    }
  }
}))
say({ result: seen })
hub.close()
