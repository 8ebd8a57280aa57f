// Gives every page its nonce: in the content policy of the answer, and in that of the request, from which
// Next.js takes it for the page's scripts and styles. Pages are there to be
// read: other methods end here, before a framework looks into their bodies.

import { NextResponse, type NextRequest } from 'next/server'

import { nonce, policyOfPage } from './lib/headers'

export function proxy(request: NextRequest): NextResponse {
  const policy = policyOfPage(nonce(), process.env.NODE_ENV === 'development')
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  const headers = new Headers(request.headers)
  headers.set('Content-Security-Policy', policy)
  const response = isRead
    ? NextResponse.next({ request: { headers } })
    : new NextResponse('Method Not Allowed', { status: 405, headers: { Allow: 'GET, HEAD' } })
  response.headers.set('Content-Security-Policy', policy)
  return response
}

// Not the routes, which set their own policy and their own limits for bodies, and not files.
export const config = { matcher: '/((?!api/voice/incoming/?$|health/?$|_next/static/|icon\\.svg$).*)' }
