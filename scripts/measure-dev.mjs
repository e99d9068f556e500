// Measures what `livefn dev` takes from a save to the first answer of the new version:
//   node scripts/measure-dev.mjs [saves] [dependencies, like lodash@^4]…
// It starts bin/livefn on a project in a temporary folder, saves index.js, and calls until the answer is new.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const saves = Number(process.argv[2] ?? 20)
const dependencies = Object.fromEntries(process.argv.slice(3).map(d => [d.slice(0, d.lastIndexOf('@')), d.slice(d.lastIndexOf('@') + 1)]))
const home = mkdtempSync(join(tmpdir(), 'livefn-measure-dev-'))
const dir = join(home, 'project')
const save = n => writeFileSync(join(dir, 'index.js'), `${Object.keys(dependencies).map(d => `require('${d}')\n`).join('')}module.exports = () => ${n}\n`)

const program = fileURLToPath(new URL('../bin/livefn', import.meta.url))
try {
  mkdirSync(dir)
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ dependencies }))
  save(0)
  const dev = spawn(program, ['dev', '--json', '--data', join(home, 'data'), dir], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface({ input: dev.stdout })[Symbol.asyncIterator]()
  const next = async type => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done) throw new Error('livefn dev ended')
      const line = JSON.parse(value)
      if (line.type === 'broken') throw new Error(line.detail)
      if (line.type === type) return line
    }
  }
  const { url, key } = await next('listening')
  await next('published')
  const call = async () => (await fetch(`${url}/v1/invoke/project`, { method: 'POST', headers: { Authorization: `Bearer ${key}` } })).json()
  await call()
  const took = []
  for (let n = 1; n <= saves; n++) {
    const before = performance.now()
    save(n)
    while (await call() !== n);
    took.push(performance.now() - before)
    await next('published')
  }
  took.sort((a, b) => a - b)
  const at = q => took[Math.floor(q * (took.length - 1))].toFixed(0)
  console.log(`save to new answer, ${saves} saves: median ${at(0.5)} ms, p90 ${at(0.9)} ms, max ${at(1)} ms`)
  dev.kill('SIGINT')
  await new Promise(resolve => dev.on('exit', resolve))
} finally {
  rmSync(home, { recursive: true, force: true })
}
