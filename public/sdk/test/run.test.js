import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connected, status, TestHub } from './hub.js'

const stream = 'execution.01R'

/** A hub with one execution, and what its states were told to be. */
async function watched (t, state = 'queued') {
  const hub = await TestHub.start(t)
  hub.executions.set('01R', { id: '01R', state })
  const client = await connected(t, hub)
  const run = client.execution('01R')
  const told = []
  let wanted
  run.on('state', (to, from) => {
    told.push(`${from} ${to}`)
    if (to === wanted?.state) wanted.resolve()
  })
  const reach = state => run.state === state ? undefined : new Promise(resolve => { wanted = { state, resolve } })
  await reach(state)
  const happens = (type, now) => {
    if (now) hub.executions.set('01R', { id: '01R', state: now })
    hub.publish(stream, `execution.${type}`)
  }
  return { hub, client, run, told, reach, happens }
}

test('a run tells each of its states', async t => {
  const { run, told, reach, happens } = await watched(t)
  for (const type of ['started', 'checkpoint', 'pausing', 'pause_timeout', 'paused', 'resumed', 'started', 'retrying', 'started']) happens(type)
  happens('succeeded', 'succeeded')
  await reach('succeeded')
  assert.equal(run.state, 'succeeded')
  assert.deepEqual(told, [
    'unknown queued', 'queued running', 'running pausing', 'pausing running', 'running paused', 'paused queued',
    'queued running', 'running queued', 'queued running', 'running succeeded'
  ])
})

test('what does not fit the last state was missed, and is told so', async t => {
  const { told, reach, happens } = await watched(t)
  happens('resumed') // out of queued: nobody saw it start and pause
  happens('started')
  await reach('running')
  assert.deepEqual(told, ['unknown queued', 'queued unknown', 'unknown queued', 'queued running'])
})

test('a state that was reached during a drop is found again', async t => {
  const { hub, client, run, reach } = await watched(t, 'running')
  hub.executions.set('01R', { id: '01R', state: 'cancelled' })
  hub.drop()
  await status(client, 'open')
  await reach('cancelled')
  assert.equal(run.state, 'cancelled')
})

test('a run that nobody listens to any more is not watched', async t => {
  const { hub, client, run } = await watched(t)
  const off = run.on('state', () => {})
  off()
  await client.invoke('add', 0, 0)
  assert.equal([...hub.sockets][0].subscriptions.size, 1)
})

// history has the failure that somebody retried; the loop must not take it for the end.
test('events go on after a failure that was tried again', async t => {
  const hub = await TestHub.start(t)
  for (const type of ['queued', 'started', 'failed', 'retrying', 'started']) hub.publish(stream, `execution.${type}`)
  hub.executions.set('01R', { id: '01R', state: 'running' })
  const client = await connected(t, hub)
  const seen = []
  for await (const { type } of client.execution('01R').events()) {
    seen.push(type.slice('execution.'.length))
    if (seen.length === 5) hub.publish(stream, 'execution.succeeded')
  }
  assert.deepEqual(seen, ['queued', 'started', 'failed', 'retrying', 'started', 'succeeded'])
})

test('events end after a failure that nobody tries again', async t => {
  const hub = await TestHub.start(t)
  for (const type of ['queued', 'started', 'failed']) hub.publish(stream, `execution.${type}`)
  hub.executions.set('01R', { id: '01R', state: 'failed' })
  const client = await connected(t, hub)
  const run = client.execution('01R')
  const seen = []
  for await (const { type } of run.events()) seen.push(type)
  assert.equal(seen.length, 3)
  assert.equal(run.state, 'failed')
})
