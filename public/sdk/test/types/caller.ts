// What an editor knows of somebody who calls functions. Never run: tsc --strict reads it, and fails on
// a line that should be wrong and is not.
import * as functions from './function.js'
import { codes, connect, LivefnError, type Client, type Event, type Hub, type Position, type Run } from '../../livefn.js'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
function is<A, B> (_: Equal<A, B>): void {}

interface Row { id: number, name: string }

interface Shop {
  add: (a: number, b: number) => number
  later: (name: string, times?: number) => Promise<string[]>
  count: (upTo: number) => AsyncGenerator<number, { counted: number }>
  importRows: (rows: Row[], from: number, hub: Hub) => Promise<{ imported: number }>
  greet: (name: string, hub?: Hub) => string
  alone: (hub: Hub) => void
  all: (...numbers: number[]) => number
  any: (x: any) => any
}

export async function typed () {
  const hub = connect<Shop>('https://hub.example', { token: async () => 'key' })
  await hub.ready
  is<Awaited<ReturnType<typeof hub.invoke<'add'>>>, number>(true)
  const sum = await hub.invoke('add', 1, 2)
  is<typeof sum, number>(true)
  const names = await hub.invoke('later', 'x')
  is<typeof names, string[]>(true)
  const counted = await hub.invoke('count', 3)
  is<typeof counted, { counted: number }>(true)
  await hub.invoke('importRows', [{ id: 1, name: 'a' }], 0) // the hub at the end is livefn's to give
  await hub.invoke('greet', 'Ada')
  await hub.invoke('alone')
  await hub.invoke('all', 1, 2, 3)
  const anything = await hub.invoke('any', { x: 1 })
  is<typeof anything, any>(true)

  const run = await hub.with({ key: 'k', delay: '2h', priority: 5 }).start('importRows', [], 0)
  is<typeof run, Run<{ imported: number }>>(true)
  const { imported } = await run.result({ signal: AbortSignal.timeout(1000) })
  is<typeof imported, number>(true)

  const byAlias = await hub.invoke('add@prod', 1, 2)
  is<typeof byAlias, number>(true)
  const byVersion = await hub.with({ timeout: '1s' }).invoke('count@3', 3)
  is<typeof byVersion, { counted: number }>(true)
  const canary = await hub.start('importRows@canary', [{ id: 1, name: 'a' }], 0)
  is<typeof canary, Run<{ imported: number }>>(true)
  const either = await hub.invoke(Math.random() < 0.5 ? 'add' : 'add@2', 1, 2)
  is<typeof either, number>(true)
  const n: number = 2
  const computed = await hub.invoke(`add@${n}`, 1, 2)
  is<typeof computed, number>(true)

  // @ts-expect-error no such function
  await hub.invoke('ad', 1, 2)
  // @ts-expect-error no such function, whatever the alias
  await hub.invoke('ad@prod', 1, 2)
  // @ts-expect-error an alias's function takes what the function takes
  await hub.invoke('add@prod', 1, '2')
  // @ts-expect-error an argument is missing
  await hub.start('add@3', 1)
  // @ts-expect-error the function comes first
  await hub.invoke('@prod', 1, 2)
  // @ts-expect-error an argument of the wrong type
  await hub.invoke('add', 1, '2')
  // @ts-expect-error an argument is missing
  await hub.invoke('add', 1)
  // @ts-expect-error one too many
  await hub.invoke('add', 1, 2, 3)
  // @ts-expect-error the hub is not the caller's to give
  await hub.invoke('greet', 'Ada', {})
  // @ts-expect-error no such function
  await hub.start('nobody')
  // @ts-expect-error an option that there is not
  hub.with({ idempotencyKey: 'k' })
  // @ts-expect-error a function is one
  connect<{ add: number }>()
}

export async function theFunctionsThemselves () {
  const hub = connect<typeof functions>()
  await hub.invoke('importRows', ['a'], 0)
  // @ts-expect-error rows are text
  await hub.invoke('importRows', [1], 0)
}

export async function untyped () {
  const hub: Client = connect()
  const whatever = await hub.invoke('add', 1, '2', {})
  is<typeof whatever, any>(true)
  const name: string = 'add'
  is<Awaited<ReturnType<typeof hub.invoke>>, any>(true)
  await hub.invoke(name, 1, 2)
  await hub.invoke('add@prod', 1, 2)
  await hub.start('add@3', 1, 2)
  const off: () => void = hub.on('status', (status, error) => {
    if (status === 'reconnecting') console.log(error?.message)
    // @ts-expect-error no such status
    if (status === 'lost') off()
  })
  hub.on('closing', ({ reason, reconnect }) => console.log(reason, reconnect?.after))
  // @ts-expect-error no such event
  hub.on('error', () => {})

  let kept: Position | undefined
  const orders = hub.subscribe<{ id: number }>('orders.>', { since: 'start', buffer: 10, onGap: gap => console.log(gap.from.epoch) })
  orders.on('gap', ({ after, from }) => console.log(after?.offset, from.offset))
  for await (const event of orders) {
    is<typeof event, Event<{ id: number }>>(true)
    if (event.recovered === false) break
    kept = orders.position
  }
  if (kept) hub.subscribe('orders.>', { since: kept })
  // @ts-expect-error an offset without its epoch
  hub.subscribe('orders.eu', { since: { offset: 3 } })
  // @ts-expect-error since is new, start or a position
  hub.subscribe('orders.eu', { since: 'begin' })
  const { offset } = await hub.publish('orders.eu', 'created', { id: 7 })
  is<typeof offset, number>(true)

  const { total, members } = await hub.presence('chat.eu')
  console.log(total, members[0]?.subject)
  hub.subscribe('chat.eu', { presence: true, latest: '/user' }).on('presence', ({ event, subject, total }) => console.log(event === 'join', subject, total))

  const run = hub.execution<number>('01X')
  run.on('state', (to, from) => console.log(from === 'unknown', to === 'paused'))
  await run.send('speed', 2)
  await run.resume({ args: [1], version: 3 })
  const { items, next } = await hub.list({ function: 'add', state: 'paused' })
  console.log(items[0]?.error?.code === 'function_error', next)
  // @ts-expect-error no such state
  await hub.list({ state: 'done' })

  try {
    await run.retry()
  } catch (error) {
    if (error instanceof LivefnError && error.code === 'connection_lost') return codes.length
    // @ts-expect-error no such code
    if (error instanceof LivefnError && error.code === 'lost') return
  }
}
