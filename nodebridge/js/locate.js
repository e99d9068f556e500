// Node keeps to itself where an ES module has a syntax error: neither message nor stack say it. So the
// module is checked again by `node --check`, which runs nothing and prints it, and so are the modules
// that it imports from its own folder.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NativePromise } from './primordials.js'

const MOST = 16 // files to check
const imports = /\b(?:from|import)\s*\(?\s*["'](\.{1,2}\/[^"'\n]+)["']/g

// locate gives "file:line" of the syntax error that loading entry met, or undefined.
export async function locate (entry) {
  const files = [entry]
  for (let i = 0; i < files.length && i < MOST; i++) {
    const where = await check(files[i])
    if (where !== undefined) return where
    try {
      for (const [, path] of readFileSync(files[i], 'utf8').matchAll(imports)) {
        const file = resolve(files[i], '..', path)
        if (!files.includes(file)) files.push(file)
      }
    } catch {} // it can't be read, so it is not what had the error
  }
  return undefined
}

function check (file) {
  return new NativePromise(resolve => {
    execFile(process.execPath, ['--check', file], { timeout: 5000 }, (err, stdout, stderr) => {
      const where = err && /SyntaxError/.test(stderr) ? /^(\S.*):(\d+)$/m.exec(stderr) : null
      resolve(where === null ? undefined : `${where[1].startsWith('file:') ? fileURLToPath(where[1]) : where[1]}:${where[2]}`)
    })
  })
}
