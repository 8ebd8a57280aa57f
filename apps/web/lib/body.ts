// Reads a request body within its maximum and its deadline. Never keeps a byte of one that is refused.

import { BODY_BYTES_MAX, BODY_DEADLINE_MS } from './limit'

export type BodyFault = 'body_long' | 'body_slow' | 'body_malformed'

/** The whole body, or why there is none. */
export async function readBody(request: Request): Promise<Uint8Array | BodyFault> {
  if (Number(request.headers.get('content-length') ?? 0) > BODY_BYTES_MAX) return 'body_long'
  const reader = request.body?.getReader()
  if (reader === undefined) return new Uint8Array()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), BODY_DEADLINE_MS)
  })
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for (;;) {
      const next = await Promise.race([reader.read(), late])
      if (next === 'late') return 'body_slow'
      if (next.done) return Buffer.concat(chunks)
      length += next.value.byteLength
      if (length > BODY_BYTES_MAX) return 'body_long'
      chunks.push(next.value)
    }
  } catch {
    // The framing was broken or the peer is gone.
    return 'body_malformed'
  } finally {
    clearTimeout(timer)
    // Not awaited: it would wait for the peer that was given up.
    reader.cancel().catch(() => undefined)
  }
}
