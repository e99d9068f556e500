// What a Node service without livefn would be: node:http, the function in process, JSON in and out.
import { createServer } from 'node:http'
import add from './add.cjs'

const server = createServer((request, response) => {
  const chunks = []
  request.on('data', chunk => chunks.push(chunk))
  request.on('end', () => {
    const body = Buffer.from(JSON.stringify(add(...JSON.parse(Buffer.concat(chunks)))))
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length })
    response.end(body)
  })
})
server.keepAliveTimeout = 0 // idle between its rounds, like the others
server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))
