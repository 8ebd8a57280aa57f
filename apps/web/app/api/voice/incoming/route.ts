// The webhook. Twilio posts here when a call comes in and gets the TwiML that connects the call to the
// media host. Audio never comes here: this host has no WebSocket.
//
// Order matters: token, method, signature header, type, body, signature, schema, ticket. Each step that fails
// answers with a fixed body and is recorded once.

import { validateRequest } from 'twilio'

import { answer, refuse } from '../../../../lib/answer'
import { readBody } from '../../../../lib/body'
import { only, parseForm, toParams } from '../../../../lib/form'
import { SIGNATURE_CHARS } from '../../../../lib/limit'
import { record } from '../../../../lib/log'
import { settings } from '../../../../lib/settings'
import { judge } from '../../../../lib/webhook'

export const runtime = 'nodejs'
export const dynamic = 'force-dynamic'

const PATH = '/api/voice/incoming'

export async function POST(request: Request): Promise<Response> {
  const { account, application, site, tokens, twiml } = settings()
  if (tokens.length === 0) return refuse('token_absent')
  const target = new URL(request.url)
  // The framework drops a slash at the end when it looks for a route; Twilio has signed it.
  if (target.pathname !== PATH) return refuse('route')
  const signature = request.headers.get('x-twilio-signature')
  if (signature === null) return refuse('signature_absent')
  // Two headers arrive joined by a comma, and fail here as well.
  if (signature.length !== SIGNATURE_CHARS) return refuse('signature_malformed')
  if (!isForm(request)) return refuse('body_type')
  const body = await readBody(request)
  if (typeof body === 'string') return refuse(body)
  const form = parseForm(body)
  if (form === undefined) return refuse('body_malformed')
  // The origin is configuration, never a header: `Host` and `X-Forwarded-*` are the sender's to choose.
  const url = `${site}${PATH}${target.search}`
  const token = tokens.findIndex((token) => validateRequest(token, signature, url, toParams(form))) + 1
  if (token === 0) return refuse('signature_wrong')
  const fault = judge(form, { account, application })
  if (fault !== undefined) return refuse(fault)
  record({ event: 'webhook_answered', token })
  return answer(200, 'text/xml', twiml(only(form, 'CallSid') ?? ''))
}

function wrongMethod(): Response {
  return settings().tokens.length === 0 ? refuse('token_absent') : refuse('method', { Allow: 'POST' })
}

export {
  wrongMethod as GET,
  wrongMethod as HEAD,
  wrongMethod as PUT,
  wrongMethod as PATCH,
  wrongMethod as DELETE,
  wrongMethod as OPTIONS,
}

function isForm(request: Request): boolean {
  const type = request.headers.get('content-type')?.split(';')[0] ?? ''
  return /^[ \t]*application\/x-www-form-urlencoded[ \t]*$/i.test(type)
}
