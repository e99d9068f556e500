// The program that the hub runs in Node. Frames come on descriptor 3 and go on 4; see ../doc.go.
import './primordials.js'
import { writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { Bridge } from './bridge.js'
import { capture } from './console.js'
import { MAX_MESSAGE } from './frames.js'
import { guard } from './guard.js'
import { Outgoing } from './outgoing.js'

const CHUNK = 64 << 10 // what a pipe holds

const exit = process.reallyExit.bind(process)

// die is for a hub that is gone (code 0) or can't be understood.
function die (code, message) {
  if (message) {
    try {
      writeSync(2, `livefn bridge: ${message}\n`)
    } catch {} // nobody reads it
  }
  exit(code)
}

const output = new Socket({ fd: 4, readable: false, writable: true })
output.on('error', () => die(0))
const bridge = new Bridge(new Outgoing(output, MAX_MESSAGE))
capture((level, message) => bridge.logNobodys(level, message))
guard(text => bridge.logNobodys('error', text), message => die(1, message))

const input = new Socket({
  fd: 3,
  readable: true,
  writable: false,
  onread: {
    buffer: Buffer.allocUnsafeSlow(CHUNK),
    callback (n, chunk) {
      try {
        bridge.receive(chunk, n)
      } catch (err) {
        die(1, err.stack)
      }
      return true
    }
  }
})
input.on('end', () => die(0))
input.on('close', () => die(0))
input.on('error', () => die(0))
