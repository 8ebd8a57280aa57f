// Whether webhooks can be answered. Says nothing about why not: that is in the log.

import { answer, refuse } from '../../lib/answer'
import { settings } from '../../lib/settings'

export const runtime = 'nodejs'
export const dynamic = 'force-dynamic'

export function GET(): Response {
  const isReady = settings().tokens.length > 0
  return isReady ? answer(200, 'text/plain', 'ready') : answer(503, 'text/plain', 'not ready')
}

function wrongMethod(): Response {
  return refuse('method', { Allow: 'GET, HEAD' })
}

export {
  wrongMethod as POST,
  wrongMethod as PUT,
  wrongMethod as PATCH,
  wrongMethod as DELETE,
  wrongMethod as OPTIONS,
}
