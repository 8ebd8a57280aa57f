// Every answer of a route handler is made here, with its headers and a nonce of its own.

import { policy, nonce } from './headers'
import { record, type Reason } from './log'

const STATUS: Readonly<Record<Reason, number>> = {
  token_absent: 403,
  route: 404,
  method: 405,
  signature_absent: 403,
  signature_malformed: 403,
  signature_wrong: 403,
  body_type: 415,
  body_long: 413,
  body_slow: 408,
  body_malformed: 403,
  schema: 403,
  foreign_account: 403,
}

/** The reason phrase and nothing else: the body says no more than the status does. */
const PHRASE: Readonly<Record<number, string>> = {
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Payload Too Large',
  415: 'Unsupported Media Type',
}

/** An answer; the headers that never change are added by `next.config.ts`. */
export function answer(status: number, type: string, body: string, more: Record<string, string> = {}): Response {
  return new Response(body, {
    status,
    headers: {
      'Content-Type': `${type}; charset=utf-8`,
      'Content-Security-Policy': policy(nonce()),
      ...more,
    },
  })
}

/** A refusal, recorded once. */
export function refuse(reason: Reason, more: Record<string, string> = {}): Response {
  const status = STATUS[reason]
  record({ event: 'refused', status, reason })
  return answer(status, 'text/plain', PHRASE[status] ?? '', more)
}
