// Runs each sample function's own tests, as its author would: a copy of the project with its
// dependencies installed. The packages are links to the ones npm ci brought for the root, found by
// name and version, so nothing is downloaded.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = folder => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))

const installed = new Map()
for (const name of Object.keys(manifest(root).devDependencies)) {
  const folder = join(root, 'node_modules', name)
  const { name: real, version } = manifest(folder)
  installed.set(`${real}@${version}`, folder)
}

const samples = join(root, 'internal', 'samples')
const temporary = mkdtempSync(join(tmpdir(), 'livefn-samples-'))
let failed = 0
try {
  for (const entry of readdirSync(samples, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue
    const copy = join(temporary, entry.name)
    cpSync(join(samples, entry.name), copy, { recursive: true, filter: path => !path.endsWith('node_modules') })
    mkdirSync(join(copy, 'node_modules'))
    for (const [name, version] of Object.entries(manifest(copy).dependencies ?? {})) {
      const folder = installed.get(`${name}@${version}`)
      if (!folder) throw new Error(`${entry.name} needs ${name}@${version}: add exactly this version to devDependencies in the root's package.json`)
      symlinkSync(folder, join(copy, 'node_modules', name))
    }
    const { status } = spawnSync('npm', ['test', '--silent'], { cwd: copy, stdio: 'inherit' })
    if (status !== 0) failed++
  }
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
process.exitCode = failed === 0 ? 0 : 1
