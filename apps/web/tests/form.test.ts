// The strict form: what lenient parsers would repair is refused, and nothing is lost.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { only, parseForm, toParams } from '../lib/form'

const parse = (text: string | Uint8Array) => parseForm(typeof text === 'string' ? Buffer.from(text) : text)

test('fields are decoded in order, and one that is repeated is not taken', () => {
  const form = parse('From=%2B1415&To=a+b&x=1&x=2&novalue&&y=a=b')
  assert.ok(form)
  assert.equal(only(form, 'From'), '+1415')
  assert.equal(only(form, 'To'), 'a b')
  assert.equal(only(form, 'x'), undefined)
  assert.equal(only(form, 'novalue'), '')
  assert.equal(only(form, 'y'), 'a=b')
  assert.equal(only(form, 'absent'), undefined)
  assert.deepEqual({ ...toParams(form) }, { From: '+1415', To: 'a b', x: ['1', '2'], novalue: '', y: 'a=b' })
})

test('text of any script is kept, a byte order mark too', () => {
  assert.equal(only(parse('n=caf%C3%A9')!, 'n'), 'café')
  assert.equal(only(parse('n=🏥')!, 'n'), '🏥')
  assert.equal(only(parse('n=%EF%BB%BFx')!, 'n'), '\ufeffx')
})

test('a field called __proto__ is a field', () => {
  const params = toParams(parse('__proto__=x')!)
  assert.deepEqual(Object.keys(params), ['__proto__'])
  assert.equal(({} as Record<string, unknown>)['x'], undefined)
})

test('what is no form is refused whole', () => {
  for (const text of ['a=%', 'a=%f', 'a=%zz', '%=a', 'a=%ff', 'a=%ed%a0%80', 'a=1&b=%c3']) {
    assert.equal(parse(text), undefined, text)
  }
  assert.equal(parse(Uint8Array.of(0x61, 0x3d, 0xff)), undefined)
  assert.equal(parse('a=1&'.repeat(257)), undefined)
  assert.equal(only(parse('b=1&'.repeat(1) + 'a=1&'.repeat(255))!, 'b'), '1')
  assert.deepEqual(parse(''), new Map())
})
