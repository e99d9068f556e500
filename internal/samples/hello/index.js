module.exports = function hello (name = 'world', hub) {
  hub?.log.info('somebody says hello', { name })
  return `Hello, ${name}!`
}
