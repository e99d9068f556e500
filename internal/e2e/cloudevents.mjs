// Publishes with the CloudEvents SDK for JavaScript: node cloudevents.mjs <url of the stream's events> <key>.
import { CloudEvent, HTTP, emitterFor } from 'cloudevents'

const [url, key] = process.argv.slice(2)

// send is a transport as the SDK's documentation describes it.
async function send ({ headers, body }) {
  const res = await fetch(url, { method: 'POST', headers: { ...headers, authorization: `Bearer ${key}` }, body })
  if (!res.ok) throw new Error(`${res.status} ${await res.text()}`)
  return res.json()
}

const event = n => new CloudEvent({
  type: 'com.example.order', source: '/shop', id: `js-${n}`, subject: 'a b', time: '2026-01-02T03:04:05.000Z', trace: 'x', data: { n }
})
const binary = emitterFor(send, { mode: 'binary' })
const structured = emitterFor(send, { mode: 'structured' })
const answers = [await binary(event(1)), await structured(event(2))]
const batch = HTTP.structured(event(3))
answers.push(await send({
  headers: { 'content-type': 'application/cloudevents-batch+json' }, body: `[${batch.body},${HTTP.structured(event(4)).body}]`
}))
console.log(JSON.stringify(answers))
