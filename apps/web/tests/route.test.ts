// The route, called as the framework calls it, with webhooks signed by Twilio's SDK.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { getExpectedTwilioSignature } from 'twilio/lib/webhooks/webhooks'

const SITE = 'https://www.example.com'
const URL_OF_WEBHOOK = `${SITE}/api/voice/incoming`
const FIELDS = {
  AccountSid: 'AC00000000000000000000000000000000',
  ApiVersion: '2010-04-01',
  CallSid: 'CA00000000000000000000000000000000',
  CallStatus: 'ringing',
  From: '+14158675309',
  To: '+18005551212',
}

Object.assign(process.env, {
  MEDIA_WSS_URL: 'wss://media.example.com',
  NEXT_PUBLIC_SITE_URL: SITE,
  TWILIO_ACCOUNT_SID: FIELDS.AccountSid,
  TWILIO_AUTH_TOKEN: '12345',
})

async function post(changes: Record<string, string> = {}, body = new URLSearchParams(FIELDS).toString()) {
  const { POST } = await import('../app/api/voice/incoming/route')
  const headers = {
    'Content-Type': 'application/x-www-form-urlencoded',
    'X-Twilio-Signature': getExpectedTwilioSignature('12345', URL_OF_WEBHOOK, FIELDS),
    ...changes,
  }
  // The address that the framework saw is not the public one, and must not matter.
  return POST(new Request('http://127.0.0.1:3000/api/voice/incoming', { method: 'POST', headers, body }))
}

test('a signed webhook is answered, each time with a nonce of its own', async () => {
  const answers = [await post(), await post()]
  const policies = answers.map((answer) => answer.headers.get('Content-Security-Policy'))
  for (const answer of answers) {
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('Content-Type'), 'text/xml; charset=utf-8')
    const twiml = '<Response><Connect><Stream url="wss://media.example.com/rtm/voice"/></Connect></Response>'
    assert.equal(await answer.text(), twiml)
  }
  assert.notEqual(policies[0], policies[1])
  assert.match(policies[0] ?? '', /^default-src 'none'; script-src 'nonce-[A-Za-z0-9+/]{22}=='; /)
})

test('everything else is refused, and never with a document', async () => {
  const wrong = getExpectedTwilioSignature('54321', URL_OF_WEBHOOK, FIELDS)
  for (const [changes, body, status] of [
    [{ 'X-Twilio-Signature': '' }, undefined, 403],
    [{ 'X-Twilio-Signature': wrong }, undefined, 403],
    [{ 'X-Twilio-Signature': `${wrong}, ${wrong}` }, undefined, 403],
    [{ Host: 'evil', 'X-Forwarded-Host': 'evil', 'X-Twilio-Signature': wrong }, undefined, 403],
    [{ 'Content-Type': 'application/json' }, '{}', 415],
    [{}, 'a=%zz', 403],
    [{}, 'a=1&'.repeat(20_000), 413],
    [{}, new URLSearchParams({ ...FIELDS, Extra: '1' }).toString(), 403],
  ] as const) {
    const answer = await post(changes, body)
    assert.equal(answer.status, status, JSON.stringify(changes))
    assert.ok(!(await answer.text()).includes('<'))
  }
})
