// Prints how many calls a second one bridge takes, and what a call costs Node, for trivial functions:
//   node test/bench.js [seconds]
// Calls go over real pipes (named ones, since Node makes socket pairs), as the hub's do.
import { spawn, execFileSync } from 'node:child_process'
import { constants, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { performance } from 'node:perf_hooks'

if (process.env.NODE_TEST_CONTEXT) process.exit() // node --test takes every file here for a test

const seconds = Number(process.argv[2] ?? 2)
const functions = {
  sync: 'module.exports = (a, b) => a + b',
  async: 'module.exports = async (a, b) => a + b',
  timer: 'module.exports = async (a, b) => { await new Promise(resolve => setTimeout(resolve, 1)); return a + b }',
  object: 'module.exports = ({ rows }) => ({ rows: rows.length, last: rows.at(-1) })'
}
const args = { object: JSON.stringify([{ rows: [{ id: 1, name: 'one' }, { id: 2, name: 'zwö' }] }]) }

const dir = mkdtempSync(join(tmpdir(), 'livefn-bench-'))
const fifo = name => {
  const path = join(dir, name)
  execFileSync('mkfifo', [path])
  const read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  return { read, write: openSync(path, constants.O_WRONLY | constants.O_NONBLOCK) }
}
const down = fifo('down')
const up = fifo('up')
const main = fileURLToPath(new URL('../main.js', import.meta.url))
const child = spawn(process.execPath, [main], { stdio: ['ignore', 'inherit', 'inherit', down.read, up.write] })
const out = new Socket({ fd: down.write, readable: false, writable: true })

let waiting = 0
let done
let text = ''
let rest = Buffer.alloc(0)
new Socket({
  fd: up.read,
  readable: true,
  writable: false,
  onread: { buffer: Buffer.alloc(256 << 10), callback: (n, b) => count(b.subarray(0, n)) }
})

// count counts the final frames.
function count (b) {
  if (rest.length > 0) b = Buffer.concat([rest, b])
  let at = 0
  while (b.length - at >= 9) {
    const end = at + 4 + (b[at] | b[at + 1] << 8 | b[at + 2] << 16)
    if (end > b.length) break
    const kind = b[at + 4]
    if (kind === 0x85 || kind === 0x83) throw new Error(b.toString('utf8', at + 9, end))
    if (kind === 0x84) {
      text = b.subarray(at + 10, at + 10 + 200 < end ? at + 210 : end)
      waiting--
    }
    at = end
  }
  rest = at < b.length ? Buffer.from(b.subarray(at)) : rest.subarray(0, 0)
  if (done && waiting <= low) done()
  return true
}
let low = 0

function frame (kind, id, payload) {
  const b = Buffer.alloc(9 + payload.length)
  b.writeUInt32LE(5 + payload.length)
  b[4] = kind
  b.writeUInt32LE(id, 5)
  b.write(payload, 9, 'latin1')
  return b
}

function call (id, module, args) {
  const head = Buffer.alloc(6)
  head.writeUInt32LE(module)
  head[5] = 26
  return frame(0x04, id, head.toString('latin1') + '01JQ8Z6W3V9T2K4M5N7P8R0S1A\0\0' + Buffer.from(args).toString('latin1'))
}

const calls = (module, first, n, args) => Buffer.concat(Array.from({ length: n }, (_, i) => call(0x100000 + first + i, module, args)))
const until = limit => new Promise(resolve => {
  low = limit
  done = () => {
    done = undefined
    resolve()
  }
  if (waiting <= low) done()
})
const cpu = async () => {
  waiting = 1
  out.write(call(0x1fffff, 99, '[]'))
  await until(0)
  return Number(text)
}

// run keeps inFlight calls under way, in two batches.
async function run (module, inFlight, args, ms) {
  const half = Math.max(1, inFlight >> 1)
  const batches = inFlight === 1 ? [calls(module, 0, 1, args)] : [calls(module, 0, half, args), calls(module, half, half, args)]
  let n = 0
  const start = performance.now()
  waiting = 0
  for (let i = 0; performance.now() - start < ms; i ^= 1) {
    out.write(batches[batches.length - 1 & i])
    waiting += half
    n += half
    await until(batches.length === 1 ? 0 : half)
  }
  await until(0)
  return { n, ms: performance.now() - start }
}

try {
  out.write(frame(0x01, 0, '{"protocol":1,"maxMessage":67174400}'))
  const load = (handle, source) => {
    const folder = join(dir, String(handle))
    mkdirSync(folder)
    writeFileSync(join(folder, 'index.js'), source)
    out.write(frame(0x02, handle, JSON.stringify({ function: 'f', version: 1, tenant: 't', dir: folder, tail: true, env: {} })))
  }
  load(99, 'module.exports = () => { const { user, system } = process.cpuUsage(); return user + system }')
  let handle = 0
  for (const [name, source] of Object.entries(functions)) {
    load(++handle, source)
    await run(handle, 1024, args[name] ?? '[1,2]', 500)
    for (const inFlight of [1, 64, 1024]) {
      const before = await cpu()
      const { n, ms } = await run(handle, inFlight, args[name] ?? '[1,2]', seconds * 1000)
      const used = await cpu() - before
      console.log(`${name.padEnd(7)} ${String(inFlight).padStart(5)} in flight  ${Math.round(n / ms * 1000).toLocaleString('en').padStart(10)} calls/s  ${(ms * 1000 / n).toFixed(2).padStart(8)} µs each  ${(used / n).toFixed(2).padStart(7)} µs CPU of Node`)
    }
  }
} finally {
  child.kill()
  rmSync(dir, { recursive: true })
}
process.exit()
