/** What a public function gets as its argument. */
export interface WebhookRequest {
  method: string
  /** Behind the function's name; at least `/`. */
  path: string
  query: Record<string, string | string[]>
  /** Names in lower case. */
  headers: Record<string, string>
  /** JSON parsed, a form as an object, text as a string, other types as `{base64}`; null if there is none. */
  body: unknown
  /** The body as it came; null if it is not UTF-8. */
  rawBody: string | null
}

/** What a public function may answer; any other result is answered as JSON. */
export interface WebhookResponse {
  status?: number
  headers?: Record<string, string | string[]>
  body?: unknown
}

export interface VerifyOptions {
  scheme: 'github' | 'stripe' | 'standard'
  /** Several while one is replaced by another. */
  secret: string | string[]
  /** Seconds by which the signed time may differ from now; 300. GitHub signs no time. */
  tolerance?: number
  /** Milliseconds since 1970; the clock's time. */
  now?: number
}

/** Thrown for a request that is not to be trusted. */
export class SignatureError extends Error {
  readonly code: 'no_body' | 'no_signature' | 'too_old' | 'wrong_signature'
}

/** Resolves if one of the secrets signed the request, and rejects with a SignatureError if not. */
export function verify (request: Pick<WebhookRequest, 'headers' | 'rawBody'>, options: VerifyOptions): Promise<void>
