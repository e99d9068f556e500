import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { SignatureError, verify } from '../webhook.js'

const rawBody = '{"id":7,"name":"Zoë"}'
const now = 1_800_000_000_000
const at = String(now / 1000)
const hmac = (key, text, encoding) => createHmac('sha256', key).update(text).digest(encoding)

// A vector of GitHub's own documentation.
test('GitHub\'s example is right', () => verify(
  { rawBody: 'Hello, World!', headers: { 'x-hub-signature-256': 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17' } },
  { scheme: 'github', secret: "It's a Secret to Everybody" }))

// The vector of the Standard Webhooks libraries.
test('Standard Webhooks\' example is right', () => verify(
  { rawBody: '{"test": 2432232314}', headers: { 'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek', 'webhook-timestamp': '1614265330', 'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=' } },
  { scheme: 'standard', secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', now: 1614265330000 }))

const good = {
  github: { 'x-hub-signature-256': 'sha256=' + hmac('secret', rawBody, 'hex') },
  stripe: { 'stripe-signature': `t=${at},v0=00,v1=${hmac('other', `${at}.${rawBody}`, 'hex')},v1=${hmac('secret', `${at}.${rawBody}`, 'hex')}` },
  standard: { 'webhook-id': 'm1', 'webhook-timestamp': at, 'webhook-signature': `v1a,x v1,${hmac('secret', `m1.${at}.${rawBody}`, 'base64')}` }
}
const secretOf = scheme => scheme === 'standard' ? 'whsec_' + Buffer.from('secret').toString('base64') : 'secret'

for (const [scheme, headers] of Object.entries(good)) {
  const secret = secretOf(scheme)
  const refused = (request, options, code) => assert.rejects(
    verify({ rawBody, headers, ...request }, { scheme, secret, now, ...options }), e => e instanceof SignatureError && e.code === code)

  test(`${scheme}: what was signed is taken, with any of the secrets`, async () => {
    await verify({ rawBody, headers }, { scheme, secret, now })
    await verify({ rawBody, headers }, { scheme, secret: [scheme === 'standard' ? 'whsec_b2xk' : 'old', secret], now })
  })
  test(`${scheme}: what was changed, or not signed, is refused`, async () => {
    await refused({ rawBody: rawBody + ' ' }, {}, 'wrong_signature')
    await refused({}, { secret: scheme === 'standard' ? 'whsec_b3RoZXJz' : 'others' }, 'wrong_signature')
    await refused({ headers: {} }, {}, 'no_signature')
    await refused({ headers: Object.fromEntries(Object.keys(headers).map(name => [name, 'nonsense'])) }, {}, 'no_signature')
    await refused({ rawBody: null }, {}, 'no_body')
  })
  if (scheme !== 'github') {
    test(`${scheme}: what was signed too long ago, or will be, is refused`, async () => {
      await refused({}, { now: now + 301_000 }, 'too_old')
      await refused({}, { now: now - 301_000 }, 'too_old')
      await verify({ rawBody, headers }, { scheme, secret, now: now + 301_000, tolerance: 400 })
    })
  }
}

test('wrong options are the programmer\'s mistake', async () => {
  for (const options of [undefined, {}, { scheme: 'toString', secret: 'x' }, { scheme: 'github' }, { scheme: 'github', secret: '' }, { scheme: 'github', secret: [] }, { scheme: 'standard', secret: 'whsec_*', now }]) {
    await assert.rejects(verify({ rawBody, headers: { ...good.github, ...good.standard } }, options), TypeError)
  }
})
