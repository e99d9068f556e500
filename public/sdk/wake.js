/**
 * Calls fn when a page has reason to look at its connection: the network came or went, or the page is
 * looked at again after its timers slept. Gives a function that stops it. Where there is no page, as in
 * Node, it never happens.
 */
export function wake (fn, { target = globalThis, page = globalThis.document } = {}) {
  if (!page || !target.addEventListener) return () => {}
  const shown = () => { if (page.visibilityState === 'visible') fn('visible') }
  const online = () => fn('online')
  const offline = () => fn('offline')
  target.addEventListener('online', online)
  target.addEventListener('offline', offline)
  target.addEventListener('pageshow', shown) // back from the cache of pages
  page.addEventListener('visibilitychange', shown)
  return () => {
    target.removeEventListener('online', online)
    target.removeEventListener('offline', offline)
    target.removeEventListener('pageshow', shown)
    page.removeEventListener('visibilitychange', shown)
  }
}
