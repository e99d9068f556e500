// Beside oldest-lodash3: the same question, put to two majors of one package that don't agree.
const _ = require('lodash')

module.exports = function oldest (people) {
  return { lodash: _.VERSION, oldest: _.maxBy(people, 'age'), names: _.map(people, 'name') }
}
