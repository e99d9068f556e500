// The npm package ws with its own defaults, which are without compression; the function in process,
// the same JSON-RPC messages as livefn.
import { WebSocketServer } from 'ws'
import add from './add.cjs'

const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
server.on('connection', socket => {
  socket.on('error', () => {})
  socket.on('message', data => {
    const { id, params } = JSON.parse(data)
    socket.send(JSON.stringify({ jsonrpc: '2.0', id, result: add(...params.args) }))
  })
})
server.on('listening', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))
