// How the host is built and which headers every answer has. Holds no setting of a deployment.

import type { NextConfig } from 'next'

import { FIXED, POLICY_OF_FILES } from './lib/headers'

const entries = (list: readonly (readonly [string, string])[]) => list.map(([key, value]) => ({ key, value }))

const config: NextConfig = {
  poweredByHeader: false,
  reactStrictMode: true,
  // Nothing to negotiate, nothing for a length to tell about: answers are under 2 KiB.
  compress: false,
  // Nothing here is an image that would have to be made smaller, and its errors show what was asked for.
  images: { unoptimized: true },
  experimental: {
    // Pages are answered before a body is read, but Next.js holds as much of it as this until then.
    proxyClientMaxBodySize: '64kb',
  },
  // The redirect would go out without the headers below; without it such a path is simply nothing.
  skipTrailingSlashRedirect: true,
  headers: async () => [
    { source: '/:path*', headers: entries(FIXED) },
    // Pages get theirs from `proxy.ts`, which replaces this one; routes from `lib/answer.ts`, which would add.
    {
      source: '/((?!api/voice/incoming/?$|health/?$).*)',
      headers: entries([['Content-Security-Policy', POLICY_OF_FILES]]),
    },
  ],
}

export default config
