// Tickets are byte for byte those of the published vectors, which Ward's own responder and media server are held to.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import { issueTicket, parseTicketKey } from '../lib/ticket'

interface Vectors {
  readonly key: string
  readonly keyId: string
  readonly tickets: readonly {
    readonly call: string
    readonly issuedMs: number
    readonly lifeS: number
    readonly nonce: string
    readonly ticket: string
  }[]
}

const vectors = JSON.parse(readFileSync('../../tests/tickets/vectors.json', 'utf8')) as Vectors

test('every vector is signed as published', () => {
  const key = parseTicketKey(vectors.key)
  assert.ok(key)
  assert.equal(key.id.toString('hex'), vectors.keyId)
  assert.ok(vectors.tickets.length >= 3)
  for (const { call, issuedMs, lifeS, nonce, ticket } of vectors.tickets) {
    assert.equal(issueTicket(key, call, issuedMs, lifeS, Buffer.from(nonce, 'hex')), ticket)
    // The control: another nonce is another ticket.
    assert.notEqual(issueTicket(key, call, issuedMs, lifeS), ticket)
  }
})
