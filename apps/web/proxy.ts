// Gives every page its nonce: in the content policy of the answer, and in that of the request, from which
// Next.js takes it for the page's scripts and styles. Pages are there to be read: other methods end here.

import { NextResponse, type NextRequest } from 'next/server'

import { nonce, policyOfPage } from './lib/headers'

export function proxy(request: NextRequest): NextResponse {
  const policy = policyOfPage(nonce(), process.env.NODE_ENV === 'development')
  const headers = new Headers(request.headers)
  headers.set('Content-Security-Policy', policy)
  const response = answerFor(request, headers)
  response.headers.set('Content-Security-Policy', policy)
  return response
}

function answerFor(request: NextRequest, headers: Headers): NextResponse {
  const isUpgrade = request.headers.has('upgrade')
  if (request.method !== 'GET' && request.method !== 'HEAD' && !isUpgrade) {
    return new NextResponse('Method Not Allowed', { status: 405, headers: { Allow: 'GET, HEAD' } })
  }
  const url = request.nextUrl.clone()
  // Next.js leaves the upgrade of a path that it does not know open for ever, and closes one of a page.
  if (isUpgrade) url.pathname = '/'
  // The page for errors that nothing handled is made when the site is built, without a nonce.
  if (url.pathname.startsWith('/_global-error')) url.pathname = '/_not-found'
  const isSame = url.pathname === request.nextUrl.pathname
  return isSame ? NextResponse.next({ request: { headers } }) : NextResponse.rewrite(url, { request: { headers } })
}

// Not the routes, which set their own policy and their own limits for bodies, and not files.
export const config = {
  matcher: [
    '/((?!api/voice/incoming/?$|health/?$|_next/static/|icon\\.svg$).*)',
    { source: '/_next/static/:path*', has: [{ type: 'header', key: 'upgrade' }] },
  ],
}
