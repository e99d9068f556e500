// Runs until it is asked to pause, as a long job would.
module.exports = (n, hub) => new Promise(resolve => {
  hub.events.once('pause', () => resolve(hub.pause(n + 1)))
})
