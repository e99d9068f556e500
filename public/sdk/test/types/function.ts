// What an editor knows of somebody who writes a function.
import type { Hub } from '../../livefn.js'

export async function importRows (rows: string[], from = 0, hub: Hub) {
  hub.events.on('speed', (rowsPerSecond: number) => console.log(rowsPerSecond))
  hub.events.on('pause', ({ reason, deadline }) => console.log(reason === 'drain', deadline))
  hub.events.once('cancel', () => {})
  for (let i = from; i < rows.length; i++) {
    if (hub.pausing) return hub.pause(rows, i)
    if (i % 100 === 99) await hub.checkpoint(rows, i + 1)
    hub.emit('progress', { done: i + 1, of: rows.length })
  }
  const sum = await hub.invoke<number>('add', 1, 2)
  const id: string = await hub.start('report', { sum })
  await hub.with({ key: 'k', delay: '90s', priority: 5 }).start('report')
  // @ts-expect-error with is for start
  hub.with({ key: 'k' }).invoke('report')
  await hub.publish('orders.eu', 'created', { id })
  hub.log.info('imported', { rows: rows.length })
  hub.log.error(new Error('no'))
  await fetch('https://example.com', { signal: hub.signal })
  const { attempt, caller } = hub.execution
  if (attempt > 3 && caller === undefined) return hub.sleep('90s', rows, from)
  if (hub.env.REGION === 'eu') return hub.waitFor('approved', { timeout: '3d' }, rows, from)

  // @ts-expect-error the hub's environment is not the function's to change
  hub.env.REGION = 'us'
  // @ts-expect-error there is no such member
  hub.stop()
  // @ts-expect-error a duration is a number of ms, or text
  hub.sleep(true)
  return { imported: rows.length }
}
