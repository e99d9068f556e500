// What the torture test runs. It writes down on disk, beyond the hub's reach, what it does: the checker
// believes nothing else. Only one attempt may hold the lock.
const fs = require('node:fs')

module.exports = async function job (dir, name, plan, step = 0, answer, hub) {
  const { attempt } = hub.execution
  const lock = `${dir}/${name}.lock`
  const note = what => {
    const fd = fs.openSync(`${dir}/${name}.log`, 'a')
    fs.writeSync(fd, JSON.stringify({ attempt, pid: process.pid, ...what }) + '\n')
    fs.fsyncSync(fd)
    fs.closeSync(fd)
  }
  const leave = () => {
    note({ leaves: true })
    fs.rmSync(lock, { force: true })
  }
  for (;;) {
    try {
      fs.writeFileSync(lock, `${process.pid}`, { flag: 'wx' })
      break
    } catch (e) {
      if (e.code !== 'EEXIST') throw e
      const pid = Number(fs.readFileSync(lock, 'utf8').trim() || 0)
      if (pid > 0 && alive(pid)) note({ overlaps: pid })
      fs.rmSync(lock, { force: true })
    }
  }
  note({ begins: step, answer })
  hub.events.on('note', n => note({ note: n }))
  for (; step < plan.length; step++) {
    await new Promise(resolve => setTimeout(resolve, 3))
    if (hub.pausing) {
      leave()
      return hub.pause(dir, name, plan, step)
    }
    note({ effect: step })
    switch (plan[step]) {
      case 'checkpoint':
        await hub.checkpoint(dir, name, plan, step + 1)
        note({ confirmed: step })
        break
      case 'sleep':
        leave()
        return hub.sleep(40, dir, name, plan, step + 1)
      case 'wait':
        leave()
        return hub.waitFor('go', { timeout: '60s' }, dir, name, plan, step + 1)
      case 'call':
        if (await hub.invoke('double', step) !== step * 2) throw new Error('the wrong answer')
        break
      case 'fail':
        if (attempt < 3) {
          leave()
          throw new Error('again, please')
        }
    }
  }
  await new Promise(resolve => setTimeout(resolve, 30)) // kept events are heard
  note({ ends: true })
  leave()
  return { name, steps: plan.length }
}

function alive (pid) {
  try {
    // A zombie answers, too.
    return !/^State:\tZ/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
