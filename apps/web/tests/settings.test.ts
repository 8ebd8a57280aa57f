// Settings: every problem is named at once, no value is ever shown, and the TwiML is the documented one.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { parseSettings, SettingsError } from '../lib/settings'

const GOOD = {
  MEDIA_WSS_URL: 'wss://media.example.com',
  NEXT_PUBLIC_SITE_URL: 'https://www.example.com',
  TWILIO_ACCOUNT_SID: 'AC00000000000000000000000000000000',
  TWILIO_AUTH_TOKEN: 'SENTINEL',
}

const CALL = 'CA00000000000000000000000000000000'
/** RFC 8032 §7.1, test 1. */
const KEY = 'nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A='

function problems(changes: Record<string, string | undefined>): readonly string[] {
  try {
    parseSettings({ ...GOOD, ...changes })
    return []
  } catch (error) {
    assert.ok(error instanceof SettingsError)
    assert.ok(!error.message.includes('SENTINEL'), error.message)
    return error.problems.map((problem) => problem.split(' ')[0]!)
  }
}

test('the TwiML is the documented one, to the byte', () => {
  const { twiml } = parseSettings(GOOD)
  assert.equal(
    twiml(CALL), '<Response><Connect><Stream url="wss://media.example.com/rtm/voice"/></Connect></Response>',
  )
  const elsewhere = parseSettings({ ...GOOD, MEDIA_WSS_URL: 'wss://[::1]:8443', MEDIA_PATH: '/a/b' })
  assert.ok(elsewhere.twiml(CALL).includes('"wss://[::1]:8443/a/b"'))
})

test('with tickets, each document carries one of its own', () => {
  const parameter = parseSettings({ ...GOOD, STREAM_TICKET: 'parameter', STREAM_TICKET_KEY: KEY })
  const path = parseSettings({ ...GOOD, STREAM_TICKET: 'path', STREAM_TICKET_KEY: KEY })
  const before = '<Response><Connect><Stream url="wss://media.example.com/rtm/voice'
  const name = '"><Parameter name="wardTicket" value="'
  const ticket = '([A-Za-z0-9_-]{174})'
  const inParameter = new RegExp(`^${before}${name}${ticket}"/></Stream></Connect></Response>$`)
  const inPath = new RegExp(`^${before}/${ticket}"/></Connect></Response>$`)
  for (const [settings, shape] of [[parameter, inParameter], [path, inPath]] as const) {
    const tickets = [settings.twiml(CALL), settings.twiml(CALL)].map((twiml) => shape.exec(twiml)?.[1])
    assert.ok(tickets[0] !== undefined && tickets[0] !== tickets[1], String(tickets))
  }
})

test('a token is optional: without one nothing will be answered', () => {
  assert.deepEqual(parseSettings({ ...GOOD, TWILIO_AUTH_TOKEN: undefined }).tokens, [])
  assert.deepEqual(parseSettings({ ...GOOD, TWILIO_AUTH_TOKEN_NEXT: '2' }).tokens, ['SENTINEL', '2'])
})

test('what cannot be used is refused by name', () => {
  assert.deepEqual(problems({}), [])
  for (const media of [
    'wss://media.example.com/', 'ws://media.example.com', 'wss://SENTINEL:x@media.example.com', 'wss://',
    'wss://m"x', 'wss://m<x', 'wss://m&amp;x', 'wss://m?x', 'wss://m#x', 'wss://-m', 'wss://m-', 'wss://m..x',
    'wss://[::1', 'wss://[1]', 'wss://m.123', 'wss://256.256.256.256', 'wss://xn--a', 'wss://m:', 'wss://m:0443', 'wss://m:0', 'wss://m:65536', 'wss://é', `wss://${'m'.repeat(254)}`,
    'wss://m\n', '',
  ]) {
    assert.deepEqual(problems({ MEDIA_WSS_URL: media }), ['MEDIA_WSS_URL'], media)
  }
  for (const path of ['rtm', '/', '//', '/a/', '/a//b', '/a/../b', '/.', '/a b', '/a%2e', '/a"', '/é', `/${'a'.repeat(128)}`]) {
    assert.deepEqual(problems({ MEDIA_PATH: path }), ['MEDIA_PATH'], path)
  }
  assert.deepEqual(problems({ TWILIO_AUTH_TOKEN: '', TWILIO_AUTH_TOKEN_NEXT: '2' }), ['TWILIO_AUTH_TOKEN_NEXT'])
  assert.deepEqual(problems({ TWILIO_AUTH_TOKEN: 'SENTINEL SENTINEL' }), ['TWILIO_AUTH_TOKEN'])
  assert.deepEqual(problems({ TWILIO_TWIML_APP_SID: 'AC0' }), ['TWILIO_TWIML_APP_SID'])
  assert.deepEqual(problems({ STREAM_TICKET: 'on' }), ['STREAM_TICKET', 'STREAM_TICKET_KEY'])
  assert.deepEqual(problems({ STREAM_TICKET: 'path' }), ['STREAM_TICKET_KEY'])
  assert.deepEqual(problems({ STREAM_TICKET: 'off', STREAM_TICKET_KEY: KEY }), [])
  for (const key of ['SENTINEL', KEY.slice(1), `${KEY}=`, KEY.replace('=', ''), ` ${KEY}`]) {
    assert.deepEqual(problems({ STREAM_TICKET: 'parameter', STREAM_TICKET_KEY: key }), ['STREAM_TICKET_KEY'], key)
  }
  const all = problems({ MEDIA_WSS_URL: undefined, NEXT_PUBLIC_SITE_URL: 'http://a', TWILIO_ACCOUNT_SID: 'x' })
  assert.deepEqual(all, ['MEDIA_WSS_URL', 'NEXT_PUBLIC_SITE_URL', 'TWILIO_ACCOUNT_SID'])
})
