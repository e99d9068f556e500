//go:build packages

package packages

// one is a function with packages. Its source is the body of `async (use) => …`, which gives what is wanted;
// use requires a package, as a function does.
type one struct {
	kind    string
	deps    map[string]string
	body    string
	want    string // JSON
	scripts bool   // published by the tenant that runs lifecycle scripts
}

func d(nameAndRange ...string) map[string]string {
	deps := map[string]string{}
	for i := 0; i < len(nameAndRange); i += 2 {
		deps[nameAndRange[i]] = nameAndRange[i+1]
	}
	return deps
}

// table has packages of many kinds, small ones where there is a choice.
var table = []one{
	{"CommonJS", d("lodash", "^4"), `return use('lodash').camelCase('hello big world')`, `"helloBigWorld"`, false},
	{"CommonJS", d("ms", "^2"), `return use('ms')('2 days')`, `172800000`, false},
	{"CommonJS", d("semver", "^7"), `return use('semver').satisfies('1.2.3', '^1.2')`, `true`, false},
	{"CommonJS", d("bytes", "^3"), `return use('bytes')('1kB')`, `1024`, false},
	{"CommonJS", d("qs", "^6"), `return use('qs').parse('a[b]=c')`, `{"a":{"b":"c"}}`, false},
	{"CommonJS", d("mustache", "^4"), `return use('mustache').render('Hi {{n}}', { n: 'you' })`, `"Hi you"`, false},
	{"CommonJS", d("ejs", "^3"), `return use('ejs').render('<%= 1 + 1 %>')`, `"2"`, false},
	{"CommonJS", d("handlebars", "^4"), `return use('handlebars').compile('{{a}}')({ a: 1 })`, `"1"`, false},
	{"CommonJS", d("js-yaml", "^4"), `return use('js-yaml').load('a: [1, 2]')`, `{"a":[1,2]}`, false},
	{"CommonJS", d("fast-xml-parser", "^4"), `return new (use('fast-xml-parser').XMLParser)().parse('<a><b>1</b></a>')`, `{"a":{"b":1}}`, false},
	{"CommonJS", d("jsonwebtoken", "^9"), `const j = use('jsonwebtoken'); return j.verify(j.sign({ a: 1 }, 'k', { noTimestamp: true }), 'k')`, `{"a":1}`, false},
	{"CommonJS", d("bcryptjs", "^2"), `const b = use('bcryptjs'); return b.compareSync('x', b.hashSync('x', 4))`, `true`, false},
	{"CommonJS", d("decimal.js", "^10"), `return new (use('decimal.js'))('0.1').plus('0.2').toString()`, `"0.3"`, false},
	{"CommonJS", d("bignumber.js", "^9"), `return new (use('bignumber.js'))('1e30').plus(1).toFixed()`, `"1000000000000000000000000000001"`, false},
	{"CommonJS", d("immutable", "^4"), `return use('immutable').Map({ a: 1 }).set('b', 2).toJS()`, `{"a":1,"b":2}`, false},
	{"CommonJS", d("classnames", "^2"), `return use('classnames')('a', { b: true, c: false })`, `"a b"`, false},
	{"CommonJS", d("async", "^3"), `return use('async').mapLimit([1, 2], 1, async n => n * 2)`, `[2,4]`, false},
	{"CommonJS, whole server", d("express", "^4"), `const app = use('express')(); app.get('/x', (q, s) => s.json({ ok: 1 })); const s = app.listen(0, '127.0.0.1'); await require('events').once(s, 'listening'); const r = await fetch('http://127.0.0.1:' + s.address().port + '/x'); s.close(); s.closeAllConnections(); return r.json()`, `{"ok":1}`, false},
	{"both kinds of module", d("uuid", "^9"), `return use('uuid').validate(use('uuid').v4())`, `true`, false},
	{"both kinds of module", d("dayjs", "^1"), `return use('dayjs')('2020-02-28').add(2, 'day').format('YYYY-MM-DD')`, `"2020-03-01"`, false},
	{"both kinds of module", d("zod", "^3"), `const { z } = use('zod'); return z.object({ a: z.number() }).safeParse({ a: 'x' }).success`, `false`, false},
	{"both kinds of module", d("yaml", "^2"), `return use('yaml').parse('- 1\n- b')`, `[1,"b"]`, false},
	{"both kinds of module", d("immer", "^10"), `return use('immer').produce({ a: 1 }, x => { x.a = 2 })`, `{"a":2}`, false},
	{"both kinds of module", d("rxjs", "^7"), `const { from, map, toArray, lastValueFrom } = use('rxjs'); return lastValueFrom(from([1, 2]).pipe(map(n => n + 1), toArray()))`, `[2,3]`, false},
	{"both kinds of module", d("date-fns", "^3"), `return use('date-fns').differenceInDays(new Date(2020, 2, 1), new Date(2020, 1, 28))`, `2`, false},
	{"both kinds of module", d("luxon", "^3"), `return use('luxon').DateTime.fromISO('2020-01-01T12:00:00', { zone: 'Asia/Tokyo' }).toUTC().toISO()`, `"2020-01-01T03:00:00.000Z"`, false},
	{"both kinds of module", d("csv-parse", "^5"), `return use('csv-parse/sync').parse('a,b\n1,2', { columns: true })`, `[{"a":"1","b":"2"}]`, false},
	{"both kinds of module", d("lru-cache", "^11"), `const c = new (use('lru-cache').LRUCache)({ max: 1 }); c.set(1, 1); c.set(2, 2); return [...c.keys()]`, `[2]`, false},
	{"both kinds of module", d("ajv", "^8"), `return new (use('ajv'))().validate({ type: 'integer' }, 1)`, `true`, false},
	{"ESM only, required", d("nanoid", "^5"), `return use('nanoid').nanoid().length`, `21`, false},
	{"ESM only, required", d("chalk", "^5"), `return new (use('chalk').Chalk)({ level: 1 }).red('x')`, `"\u001b[31mx\u001b[39m"`, false},
	{"ESM only, required", d("p-limit", "^6"), `return use('p-limit').default(1)(() => 7)`, `7`, false},
	{"ESM only, imported", d("nanoid", "^5"), `return (await import('nanoid')).nanoid(5).length`, `5`, false},
	{"ESM only, imported", d("jose", "^6"), `const j = await import('jose'); const k = new TextEncoder().encode('k'.repeat(32)); return (await j.jwtVerify(await new j.SignJWT({ a: 1 }).setProtectedHeader({ alg: 'HS256' }).sign(k), k)).payload`, `{"a":1}`, false},
	{"scoped, ESM only", d("@sindresorhus/slugify", "^2"), `return use('@sindresorhus/slugify').default('I ♥ Dogs')`, `"i-love-dogs"`, false},
	{"scoped", d("@hapi/hoek", "^11"), `return use('@hapi/hoek').reach({ a: { b: 1 } }, 'a.b')`, `1`, false},
	{"scoped, optional for systems", d("@node-rs/crc32", "^1"), `return use('@node-rs/crc32').crc32('hello')`, `907060870`, false},
	{"peer dependencies", d("react", "^18", "react-dom", "^18"), `return use('react-dom/server').renderToString(use('react').createElement('b', null, 'x'))`, `"<b>x</b>"`, false},
	{"peer dependencies", d("ajv", "^8", "ajv-formats", "^3"), `const a = new (use('ajv'))(); use('ajv-formats')(a); return a.validate({ type: 'string', format: 'email' }, 'a@b.test')`, `true`, false},
	{"peers installed by themselves", d("use-sync-external-store", "^1"), `return [typeof use('use-sync-external-store').useSyncExternalStore, typeof use('react').createElement]`, `["function","function"]`, false},
	{"optional peers", d("ws", "^8"), `const w = use('ws'); return w.OPEN`, `1`, false},
	{"optional native part", d("msgpackr", "^1"), `const m = use('msgpackr'); return m.unpack(m.pack({ a: [1] }))`, `{"a":[1]}`, false},
	{"native, bundled for all", d("bcrypt", "^6"), `const b = use('bcrypt'); return b.compare('x', await b.hash('x', 4))`, `true`, false},
	{"native, bundled for all", d("argon2", "^0.43"), `const a = use('argon2'); return a.verify(await a.hash('x', { timeCost: 2, memoryCost: 1024 }), 'x')`, `true`, false},
	{"native, a package a system", d("sharp", "^0.33"), `const s = use('sharp'); const b = await s({ create: { width: 4, height: 2, channels: 3, background: 'red' } }).png().toBuffer(); const { width, height } = await s(b).metadata(); return { width, height }`, `{"width":4,"height":2}`, false},
	{"a program, a package a system", d("esbuild", "^0.25"), `return use('esbuild').transformSync('const a: number = 1', { loader: 'ts' }).code`, `"const a = 1;\n"`, false},
	{"lifecycle script", d("esbuild", "^0.25"), `return use('esbuild').transformSync('let x = 2n ** 3n', { minify: true }).code`, `"let x=2n**3n;\n"`, true},
	{"lifecycle script", d("es5-ext", "^0.10"), `return use('es5-ext/string/#/capitalize').call('abc')`, `"Abc"`, true},
	{"JSON in the package", d("mime-types", "^2"), `return use('mime-types').lookup('a.svg')`, `"image/svg+xml"`, false},
	{"WebAssembly in the package", d("source-map", "^0.7"), `const m = use('source-map'); return m.SourceMapConsumer.with({ version: 3, sources: ['a.js'], names: [], mappings: 'AAAA' }, null, c => c.originalPositionFor({ line: 1, column: 0 }).source)`, `"a.js"`, false},
	{"state in the module", d("moment", "^2"), `const m = use('moment'); m.locale('de'); return m('2020-03-01').format('MMMM')`, `"März"`, false},
	{"state in the module, unchanged by others", d("moment", "^2"), `return use('moment')('2020-03-01').format('MMMM')`, `"March"`, false},
	{"two names for two versions", d("old", "npm:lodash@^3", "lodash", "^4"), `return [use('old').VERSION[0], use('lodash').VERSION[0]]`, `["3","4"]`, false},
}

// pair is two majors of a package in one process at a time.
type pair struct{ name, older, newer, body string }

var pairs = []pair{
	{"lodash", "^3", "^4", `return use('lodash').VERSION[0]`},
	{"chalk", "^4", "^5", `return String(typeof use('chalk').default) `},
	{"nanoid", "^3", "^5", `return String(use('nanoid').customAlphabet.toString().length)`},
	{"semver", "^5", "^7", `return String(typeof use('semver').subset)`},
	{"uuid", "^8", "^9", `return String(use('uuid').v35 ?? Object.keys(use('uuid')).join() + use('uuid/package.json').version[0])`},
	{"immer", "^9", "^10", `return String(typeof use('immer').default)`},
	{"date-fns", "^2", "^3", `return String(typeof use('date-fns/package.json').version)+ use('date-fns/package.json').version[0]`},
}
