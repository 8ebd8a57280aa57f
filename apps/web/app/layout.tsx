// The frame of every page: language, title and style. Loads nothing from anywhere else.

import type { Metadata } from 'next'
import type { ReactNode } from 'react'

import './style.css'

export const metadata: Metadata = {
  title: 'Voice webhook host',
  description: 'Answers Twilio’s voice webhook. Takes no audio.',
  robots: { index: false, follow: false },
}

// A page made when the site was built could not carry the nonce of a request.
export const dynamic = 'force-dynamic'

export default function Layout({ children }: Readonly<{ children: ReactNode }>) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  )
}
