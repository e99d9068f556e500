/** The WebSocket's address: http or ws, with or without a path; without one it is /v1/ws. */
export function address (url) {
  const a = new URL(url ?? '/', globalThis.location?.href)
  a.protocol = a.protocol.replace(/^http/, 'ws')
  if (a.protocol !== 'ws:' && a.protocol !== 'wss:') throw new TypeError(`livefn: ${url} is not a ws:, wss:, http: or https: address`)
  if (a.pathname === '/') a.pathname = '/v1/ws'
  a.hash = ''
  return a.href
}
