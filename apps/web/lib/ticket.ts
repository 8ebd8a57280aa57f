// Stream tickets: what a call carries to the media host, which takes each once and holds public keys only.
//
// 130 bytes in base64url, signed with Ed25519: version, key, when it was issued and for how long, a nonce, and a
// digest that binds the nonce to one call. The format is Ward's (its repository has it in `docs/decisions`); nothing here
// is compared with anything, and nothing of a call is kept.

import { createHash, createPrivateKey, createPublicKey, randomBytes, sign, type KeyObject } from 'node:crypto'

import { TICKET_LIFE_S } from './limit'

/** How a call carries its ticket: not at all, as a `<Parameter>`, or as the last segment of the path. */
export type TicketForm = 'off' | 'parameter' | 'path'

/** The `<Parameter>` that carries a ticket. */
const PARAMETER = 'wardTicket'
/** The first byte of every ticket of this format. */
const VERSION = 1
/** What is signed begins with this, so that a signature for something else is none for a ticket. */
const DOMAIN = Buffer.from('ward stream ticket 1\0', 'latin1')
/** What stands before the 32 bytes of an Ed25519 private key in PKCS #8 (RFC 8410 §7). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')

/** A key that signs tickets. */
export interface TicketKey {
  readonly key: KeyObject
  /** What it is called in tickets: the beginning of the SHA-256 of its public half. */
  readonly id: Buffer
}

/** Takes the 32 bytes of an Ed25519 private key in base64; `undefined` for anything else. */
export function parseTicketKey(text: string): TicketKey | undefined {
  const seed = Buffer.from(text, 'base64')
  // Buffers forgive what is no base64: only the text that they would write is the right one.
  if (seed.length !== 32 || seed.toString('base64') !== text) return undefined
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' })
  const point = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  return { key, id: createHash('sha256').update(point).digest().subarray(0, 8) }
}

/** A ticket for `call`, from `issuedMs` on (milliseconds since 1970), with a nonce that nothing else ever has. */
export function issueTicket(
  { key, id }: TicketKey, call: string, issuedMs: number, lifeS = TICKET_LIFE_S, nonce: Buffer = randomBytes(16),
): string {
  const issued = Buffer.alloc(8)
  issued.writeBigUInt64BE(BigInt(issuedMs))
  // One spelling for one call, whatever case its digits have.
  const digest = createHash('sha256').update(nonce).update(call.slice(0, 2) + call.slice(2).toLowerCase()).digest()
  const body = Buffer.concat([Buffer.of(VERSION), id, issued, Buffer.of(lifeS), nonce, digest])
  const signature = sign(null, Buffer.concat([DOMAIN, body]), key)
  return Buffer.concat([body, signature]).toString('base64url')
}

/** The TwiML that connects a call to `url`, with its ticket where there is one. */
export function connect(url: string, form: TicketForm, ticket: string): string {
  // Nothing in a URL or ticket needs escaping in XML: the settings see to the one, base64url to the other.
  if (form === 'path') return `<Response><Connect><Stream url="${url}/${ticket}"/></Connect></Response>`
  if (form === 'off') return `<Response><Connect><Stream url="${url}"/></Connect></Response>`
  const parameter = `<Parameter name="${PARAMETER}" value="${ticket}"/>`
  return `<Response><Connect><Stream url="${url}">${parameter}</Stream></Connect></Response>`
}
