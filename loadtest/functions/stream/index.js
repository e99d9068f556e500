// Yields so many chunks of a kilobyte.
module.exports = function * (chunks) {
  for (let i = 0; i < chunks; i++) yield 'x'.repeat(1000)
  return chunks
}
