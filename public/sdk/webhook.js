// Says whether a request that a public function got was signed by who it says. Made of Web Crypto alone,
// whose verify takes the same time wherever a signature is wrong.
//
//   export default async (request, hub) => {
//     await verify(request, { scheme: 'github', secret: hub.env.SECRET })

const encoder = new TextEncoder()
const MINUTES = 60
const DEFAULT_TOLERANCE = 5 * MINUTES // seconds, as Stripe and Standard Webhooks have it

/** Thrown for a request that is not to be trusted. `code` says why. */
export class SignatureError extends Error {
  constructor (code, message) {
    super(message)
    this.name = 'SignatureError'
    this.code = code
  }
}

// What each scheme signs, and where the signatures are.
const schemes = {
  // GitHub: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
  github ({ headers, rawBody }) {
    const sent = header(headers, 'x-hub-signature-256')
    return { text: rawBody, signatures: sent.startsWith('sha256=') ? [fromHex(sent.slice(7))] : [], keyOf: utf8 }
  },
  // Stripe: https://docs.stripe.com/webhooks/signature
  stripe ({ headers, rawBody }) {
    const parts = header(headers, 'stripe-signature').split(',').map(part => part.trim().split('='))
    const at = parts.find(([name]) => name === 't')?.[1] ?? ''
    return {
      at,
      text: `${at}.${rawBody}`,
      signatures: parts.filter(([name]) => name === 'v1').map(([, hex]) => fromHex(hex ?? '')),
      keyOf: utf8
    }
  },
  // Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks
  standard ({ headers, rawBody }) {
    const at = header(headers, 'webhook-timestamp')
    return {
      at,
      text: `${header(headers, 'webhook-id')}.${at}.${rawBody}`,
      signatures: header(headers, 'webhook-signature').split(' ').filter(s => s.startsWith('v1,')).map(s => fromBase64(s.slice(3))),
      keyOf: secret => fromBase64(secret.replace(/^whsec_/, ''))
    }
  }
}

/**
 * Resolves if one of the secrets signed the request, and rejects with a SignatureError if not.
 */
export async function verify (request, { scheme, secret, tolerance = DEFAULT_TOLERANCE, now = Date.now() } = {}) {
  if (!Object.hasOwn(schemes, scheme)) throw new TypeError(`scheme is one of ${Object.keys(schemes).join(', ')}`)
  const secrets = [secret].flat()
  if (secrets.length === 0 || secrets.some(s => typeof s !== 'string' || s === '')) throw new TypeError('secret is a string that is not empty, or several')
  if (typeof request?.rawBody !== 'string') throw new SignatureError('no_body', 'The request has no rawBody to verify.')
  const { at, text, signatures, keyOf } = schemes[scheme](request)
  const candidates = signatures.filter(s => s !== null)
  if (candidates.length === 0) throw new SignatureError('no_signature', `The request has no signature of the scheme ${scheme}.`)
  if (at !== undefined && !(/^\d{1,12}$/.test(at) && Math.abs(now / 1000 - Number(at)) <= tolerance)) {
    throw new SignatureError('too_old', 'The time that was signed is too far from now.')
  }
  const data = encoder.encode(text)
  for (const one of secrets) {
    const raw = keyOf(one)
    if (raw === null || raw.length === 0) throw new TypeError(`the secret is not one of the scheme ${scheme}`)
    const key = await globalThis.crypto.subtle.importKey('raw', raw, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify'])
    for (const signature of candidates) {
      if (await globalThis.crypto.subtle.verify('HMAC', key, signature, data)) return
    }
  }
  throw new SignatureError('wrong_signature', 'No secret of these signed the request.')
}

function header (headers, name) {
  const value = headers?.[name]
  return typeof value === 'string' ? value : ''
}

function utf8 (text) { return encoder.encode(text) }

// fromHex and fromBase64 give null for what is neither.
function fromHex (text) {
  if (!/^([0-9a-f]{2})+$/i.test(text)) return null
  return Uint8Array.from(text.match(/../g), pair => parseInt(pair, 16))
}

function fromBase64 (text) {
  try {
    return Uint8Array.from(globalThis.atob(text), c => c.charCodeAt(0))
  } catch {
    return null
  }
}
