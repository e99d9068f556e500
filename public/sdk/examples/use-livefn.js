// Two React hooks, to copy. hub is what connect() gave: make it once, outside of any component; likewise a
// position to give as since, since another object is another subscription.
import { useEffect, useState } from 'react'

/** The newest events of a stream or pattern, at most `keep`, and whether some before them are missing. */
export function useEvents (hub, stream, { since = 'start', keep = 100 } = {}) {
  const [seen, setSeen] = useState({ events: [], gap: false, error: undefined })
  useEffect(() => {
    const abort = new AbortController()
    setSeen({ events: [], gap: false, error: undefined })
    const follow = async () => {
      for await (const event of hub.subscribe(stream, { since, signal: abort.signal })) {
        setSeen(({ events, gap }) => ({ events: [...events, event].slice(-keep), gap: gap || event.recovered === false, error: undefined }))
      }
    }
    follow().catch(error => {
      if (!abort.signal.aborted) setSeen(now => ({ ...now, error }))
    })
    return () => abort.abort()
  }, [hub, stream, since, keep])
  return seen
}

/** connecting, open, reconnecting or closed. */
export function useStatus (hub) {
  const [status, setStatus] = useState(hub.status)
  useEffect(() => {
    setStatus(hub.status)
    return hub.on('status', setStatus)
  }, [hub])
  return status
}
