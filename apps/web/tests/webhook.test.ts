// The strict schema: fields that swallowed their neighbours, foreign accounts, withheld numbers.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { judge } from '../lib/webhook'

const ACCOUNT = 'AC0000000000000000000000000000000a'
const GOOD = {
  AccountSid: ACCOUNT,
  ApiVersion: '2010-04-01',
  CallSid: 'CA00000000000000000000000000000000',
  CallStatus: 'ringing',
  From: '+14158675309',
  To: '+18005551212',
}

function check(changes: Record<string, string | string[] | undefined>, application?: string) {
  const fields = Object.entries({ ...GOOD, ...changes }).filter(([, value]) => value !== undefined)
  const form = new Map(fields.map(([name, value]) => [name, [value].flat() as string[]]))
  return judge(form, { account: ACCOUNT, application })
}

test('a voice webhook is taken, with or without more fields', () => {
  assert.equal(check({}), undefined)
  assert.equal(check({ CallerCity: 'BOSTON' }), undefined)
  assert.equal(check({ AccountSid: ACCOUNT.replace('0a', '0A') }), undefined)
  for (const From of ['anonymous', 'Restricted', '', 'client:alice', 'sip:a@b.example', '911', '+266696687']) {
    assert.equal(check({ From }), undefined, From)
  }
})

test('fields of another shape are refused', () => {
  for (const [name, value] of [
    ['From', '+14158675309FromCityBOSTON'],
    ['From', '+1234567890123456'],
    ['From', 'un\u212anown'],
    ['From', '1\u0663567'],
    ['To', 'sip:a b'],
    ['CallStatus', 'ringingCalled'],
    ['ApiVersion', '2010-04-01C'],
    ['ApiVersion', '2010-04-01\n'],
    ['CallSid', 'CA0000000000000000000000000000000g'],
    ['CallSid', 'MZ00000000000000000000000000000000'],
    ['AccountSid', 'AC0'],
  ] as const) {
    assert.equal(check({ [name]: value }), 'schema', `${name}=${value}`)
  }
})

test('absent and repeated fields are refused', () => {
  for (const [name, value] of Object.entries(GOOD)) {
    assert.equal(check({ [name]: undefined }), 'schema', name)
    assert.equal(check({ [name]: [value, value] }), 'schema', name)
  }
})

test('another account or application is refused', () => {
  const ours = 'AP00000000000000000000000000000000'
  assert.equal(check({ AccountSid: 'AC11111111111111111111111111111111' }), 'foreign_account')
  assert.equal(check({ ApplicationSid: ours }), undefined)
  assert.equal(check({ ApplicationSid: ours }, ours), undefined)
  assert.equal(check({}, ours), undefined)
  assert.equal(check({ ApplicationSid: 'AP11111111111111111111111111111111' }, ours), 'foreign_account')
  assert.equal(check({ ApplicationSid: 'AP1' }, ours), 'schema')
})
