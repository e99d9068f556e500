// A small backend that gives tokens to the pages of those who are signed in with it. The key stays here; a page
// gets a token that lives for minutes, is for one person, and may do what that person may.
//
//   LIVEFN_URL=http://127.0.0.1:8080 LIVEFN_KEY=lf_dev_… node backend.mjs 3000
import { createServer } from 'node:http'

const { LIVEFN_URL: url = 'http://127.0.0.1:8080', LIVEFN_KEY: key } = process.env

/** Asks the hub for a token. */
async function tokenFor (user) {
  const response = await fetch(`${url}/v1/tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ subject: user, scopes: ['invoke:add', 'executions:own', `subscribe:users.${user}.>`], ttl: '10m' })
  })
  if (!response.ok) throw new Error(`the hub answers ${response.status}: ${await response.text()}`)
  return response.json()
}

/** Who sent a request: here whoever the cookie names; look into your sessions instead. */
function userOf (request) {
  return /(?:^|; )user=([A-Za-z0-9_-]{1,64})(?:;|$)/.exec(request.headers.cookie ?? '')?.[1]
}

const server = createServer(async (request, response) => {
  const answer = (status, body) => response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(JSON.stringify(body))
  if (request.method !== 'POST' || request.url !== '/token') return answer(404, {})
  const user = userOf(request)
  if (!user) return answer(401, {})
  try {
    const { token, expiresAt } = await tokenFor(user)
    answer(200, { token, expiresAt }) // for connect(url, { token: async () => (await (await fetch('/token', { method: 'POST' })).json()).token })
  } catch (error) {
    console.error(error)
    answer(502, {})
  }
})
server.listen(Number(process.argv[2] ?? 3000), '127.0.0.1', () => console.log(`tokens at http://127.0.0.1:${server.address().port}/token`))
process.once('SIGINT', () => server.close())
