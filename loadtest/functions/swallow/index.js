// Takes anything and says how long it was; asked for so many bytes, it gives them.
module.exports = what => typeof what === 'number' ? Buffer.alloc(what, 'x') : what.length
