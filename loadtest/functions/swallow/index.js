// Takes anything and says how long it was. Asked for a number of bytes it gives so many, for {text} so long a string,
// and for {event} it yields so long an event.
module.exports = what => {
  if (typeof what === 'number') return Buffer.alloc(what, 'x')
  if (what.text > 0) return 'x'.repeat(what.text)
  if (what.event > 0) return (function * () { yield 'x'.repeat(what.event) })()
  return what.length
}
