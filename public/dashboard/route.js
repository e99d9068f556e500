// The address: #/functions/<name>/executions/<id>, each half optional, or #/streams/<pattern>.

/** The key in #key=…, taken out of the address bar (and the history) at once. */
export function keyFromAddress () {
  const match = /^#key=(.+)$/.exec(location.hash)
  if (!match) return undefined
  history.replaceState(null, '', location.pathname + location.search)
  return decodeURIComponent(match[1])
}

export function route () {
  const streams = /^#\/streams(?:\/([^/]*))?$/.exec(location.hash)
  if (streams) return { stream: decodeURIComponent(streams[1] ?? '') }
  const match = /^#(?:\/functions\/([^/]+))?(?:\/executions\/([^/]+))?\/?$/.exec(location.hash) ?? []
  return { function: match[1] && decodeURIComponent(match[1]), execution: match[2] && decodeURIComponent(match[2]) }
}

export function href ({ function: name, execution, stream } = {}) {
  if (stream !== undefined) return `#/streams/${encodeURIComponent(stream)}`
  const path = (name ? `/functions/${encodeURIComponent(name)}` : '') + (execution ? `/executions/${encodeURIComponent(execution)}` : '')
  return `#${path || '/'}`
}
