// Beside oldest-lodash4: the same question, put to two majors of one package that don't agree.
const _ = require('lodash')

module.exports = function oldest (people) {
  return { lodash: _.VERSION, oldest: _.max(people, 'age'), names: _.pluck(people, 'name') }
}
