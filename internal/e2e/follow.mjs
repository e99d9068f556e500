// Follows one execution with the SDK under Node, and prints what it sees, a line of JSON each: events,
// the connection's status, the result. LIVEFN_EXECUTION says which.
import { WebSocket } from 'ws'
import { connect } from '../../public/sdk/livefn.js'

const { LIVEFN_URL: url, LIVEFN_KEY: token, LIVEFN_EXECUTION: id } = process.env
const say = line => console.log(JSON.stringify(line))

const hub = connect(url, { token, WebSocket })
hub.on('status', status => say({ status }))
const run = hub.execution(id)
for await (const { type, offset, data, recovered } of run.events()) say({ type, offset, data, recovered })
say({ result: await run.result() })
hub.close()
