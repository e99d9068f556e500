import assert from 'node:assert/strict'
import { test } from 'node:test'
import { declared, isClass } from '../declared.js'

// Sources are given as text, so that the table shows exactly what is scanned.
const table = [
  ['() => 1', 0], ['a => a', 1], ['async a => a', 1], ['async => async', 1], ['(a) => a', 1], ['async (a, b) => a', 2], ['(a, b,) => a', 2],
  ['function () {}', 0], ['function f (a, b) {}', 2], ['async function f(a){}', 1], ['function * (a, b) {}', 2], ['async function * g (a) {}', 1],
  ['(a, b = 1, c) => a', 3], ['(a = 1) => a', 1], ['(...rest) => rest', 0], ['(a, ...rest) => rest', 1], ['(a, ...[b, c]) => a', 1], ['( ... rest ) => rest', 0],
  ['({ a, b }, [c, d]) => a', 2], ['({ a = { b: [1, 2] }, c } = {}, [d = (1, 2)] = []) => a', 2], ['({ a, ...b }) => a', 1],
  ['(a = ",", b = \')\', c = `,)${[1, 2].map(x => `${x},`)}`) => a', 3], ["(a = '\\'),', b) => a", 2], ['(a = `\\`,${"}"}`, b) => a', 2],
  ['(a = /[,)/]/, b = /\\//g) => a', 2], ['(a = 4 / 2, b = 3 / 1) => a', 2], ['(a = [1][0] / 2, b = (3) / 1, c = /,/) => a', 3],
  ['(a = x => { if (x) /[,)]/.test(x); return /,/ }, b) => a', 2], ['(a = typeof /,/, b) => a', 2],
  ['(a /* , b ) */, b // , c )\n, c) => a', 3], ['/* x, ( */ (a, /* none */) => a', 1], ['(/* none */) => 1', 0],
  ['function /* ( */ f /* a, b */ (a) {}', 1], ['async /* ( */ a => a', 1],
  ['(a = function (x, y) { return { x, y } }, b) => a', 2], ['(a = class { m (x, y) {} }, b) => a', 2], ['(a = (x, y) => x, b) => a', 2], ['(a = { b () { return 1 } }, b) => a', 2],
  ['(größe, 日本 = "é", $ = 1, _) => 1', 4], ['(\\u0061, b) => 1', 2], ['a\u0301 => 1', 1],
  ['(a = 1 > 2, b = 1 < 2, c = a >= b) => a', 3], ['(a = x`,${1}`, b) => a', 2], ['(a = b ? (c, d) : [e, f], g) => a', 2],
  ['({ m (a, b = 1) {} }).m', 2], ['({ async m (a, b) {} }).m', 2], ['({ * m (a) {} }).m', 1], ['({ async * m (a) {} }).m', 1], ['({ ["x(" + 1] (a, b) {} })["x(1"]', 2],
  ['({ "m(" (a, b) {} })["m("]', 2], ['({ 1 (a, b) {} })[1]', 2], ['({ class (a, b) {} }).class', 2], ['({ async (a, b = 1) {} }).async', 2], ['({ get (a, b = 1) {} }).get', 2],
  ['Object.getOwnPropertyDescriptor({ set x (v) {} }, "x").set', 1], ['(class { static s (a, b = 1) {} }).s', 2], ['(class { #p (a, b = 1) {} static p () { return new this().#p } }).p()', 2],
  ['Math.max', 2], ['(function (a, b) {}).bind(null, 1)', 1], ['new Proxy((a, b = 1) => a, {})', 1], ['new Function("a", "b = 1", "return a")', 2],
  ['Object.assign((a, b = 1) => a, { toString: () => "() => 1" })', 2]
]

for (const [source, want] of table) {
  test(`parameters are counted in ${JSON.stringify(source)}`, () => {
    const x = 1; const [b, c, d, e, f] = [1, 1, 1, 1, 1]; void [x, b, c, d, e, f]
    assert.equal(declared((0, eval)(`(${source})`)), want)
  })
}

test('classes are told from functions', () => {
  for (const source of ['class {}', 'class A {}', 'class extends Object {}', 'class/**/A{}', 'class é {}']) assert.equal(isClass((0, eval)(`(${source})`)), true, source)
  for (const source of ['({ class (a) {} }).class', 'function classes () {}', 'klass => klass', '({ classé () {} }).classé', 'Object.freeze(function () {})']) assert.equal(isClass((0, eval)(`(${source})`)), false, source)
})
