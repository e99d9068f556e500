// Watching streams that may be faster than any screen.

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
 * Samples what is new on a stream until signal: event(event) is told what a person can see, and
 * missed() that some were left out, at most once a second. A stream that is gone just ends.
 */
export async function live (client, stream, { signal, event, missed = () => {} }) {
  const paced = pacer()
  let due = false
  const left = () => {
    if (due) return
    due = true
    setTimeout(() => {
      due = false
      if (!signal.aborted) missed()
    }, 1000)
  }
  try {
    for await (const e of client.subscribe(stream, { signal })) {
      event(e)
      if (e.recovered === false) left()
      await paced()
    }
  } catch { /* signed out, or the execution is over */ }
}
