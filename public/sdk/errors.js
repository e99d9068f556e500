// Everything that can go wrong has a code; the hub's are those of docs/errors.md (a test holds
// them equal), the last three are this client's own.

export const codes = Object.freeze([
  'unauthorized',
  'forbidden',
  'not_found',
  'invalid_request',
  'payload_too_large',
  'conflict',
  'rate_limited',
  'overloaded',
  'install_failed',
  'version_broken',
  'function_error',
  'result_not_serializable',
  'timeout',
  'cancelled',
  'bridge_lost',
  'stuck',
  'out_of_memory',
  'drained',
  'storage_unavailable',
  'internal',
  'connection_failed', // no connection could be made in time
  'connection_lost', // it dropped while the call was under way; whether the call ran is unknown
  'closed' // close() was called here
])

export class LivefnError extends Error {
  /**
   * @param code one of codes
   * @param message for people
   * @param more execution, functionName and functionStack (of the error thrown by the function),
   *   retryAfter (ms), cause
   */
  constructor (code, message, { execution, functionName, functionStack, retryAfter, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'LivefnError'
    this.code = code
    if (execution !== undefined) this.execution = execution
    if (functionName !== undefined) this.functionName = functionName
    if (functionStack !== undefined) this.functionStack = functionStack
    if (retryAfter !== undefined) this.retryAfter = retryAfter
  }
}

/** The error of a JSON-RPC answer: the hub's own faults have data, the rest are the protocol's. */
export function fromAnswer ({ code, message, data }) {
  if (data?.code) {
    return new LivefnError(data.code, data.detail ?? message, {
      execution: data.execution, functionName: data.name, functionStack: data.stack, retryAfter: data.retryAfter
    })
  }
  return new LivefnError(code === -32603 ? 'internal' : 'invalid_request', message)
}

/** The error of an execution as the API shows it: {code, message, name?, stack?}. */
export function fromExecution ({ id, error = {} }) {
  return new LivefnError(error.code ?? 'internal', error.message ?? 'The execution failed.', {
    execution: id, functionName: error.name, functionStack: error.stack
  })
}
