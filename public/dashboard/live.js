// Watching streams that may be faster than any screen.

const WINDOW = 250 // ms
const MOST = 500 // events in a window; more would be a blur, and cost the connection
const REST = 3000 // ms without the stream after such a window
const PER_FRAME = 250 // events

/** The next moment to draw, or soon when the page is hidden and draws nothing. */
export function nextFrame () {
  return new Promise(resolve => document.hidden ? setTimeout(resolve, 250) : requestAnimationFrame(resolve))
}

/** Lets the browser breathe after every few events; while it does, the SDK's buffer pushes back on the hub. */
export function pacer () {
  let taken = 0
  return async () => {
    if (++taken % PER_FRAME === 0) await nextFrame()
  }
}

/**
 * Shows event(event) what is new on a stream until signal. A stream that is too fast is left for a
 * while, which busy(true) tells; missed() says that some events were left out. It just ends when the
 * stream is gone.
 */
export async function live (client, stream, { signal, event, missed = () => {}, busy = () => {} }) {
  while (await watch(client, stream, { signal, event, missed })) {
    busy(true)
    await new Promise(resolve => setTimeout(resolve, REST))
    if (signal.aborted) return
    missed()
    busy(false)
  }
}

/** True once the stream was too fast, false when it is over. */
async function watch (client, stream, { signal, event, missed }) {
  let seen = 0
  let until = 0
  try {
    for await (const e of client.subscribe(stream, { signal, buffer: MOST })) {
      event(e)
      if (e.recovered === false) missed()
      const now = performance.now()
      if (now > until) {
        until = now + WINDOW
        seen = 0
      }
      if (++seen > MOST) return true
    }
  } catch { /* signed out, or the execution is over */ }
  return false
}
