// `application/x-www-form-urlencoded`, parsed strictly: what the signature covers must be what is judged.
// Lenient parsers replace bad bytes; then the fields that are judged are not those that came.

import { FIELDS_MAX } from './limit'

/** The decoded fields: each name with its values, in the order they came. */
export type Form = ReadonlyMap<string, readonly string[]>

/** Parses a body; `undefined` for a bad percent sign, bytes that are no UTF-8, or too many fields. */
export function parseForm(body: Uint8Array): Form | undefined {
  const form = new Map<string, string[]>()
  let count = 0
  // Latin-1 keeps every byte as one character, so the cuts below are cuts between bytes.
  for (const pair of Buffer.from(body).toString('latin1').split('&')) {
    if (pair === '') continue
    count += 1
    const at = pair.indexOf('=')
    const name = decode(at < 0 ? pair : pair.slice(0, at))
    const value = decode(at < 0 ? '' : pair.slice(at + 1))
    if (count > FIELDS_MAX || name === undefined || value === undefined) return undefined
    form.set(name, [...(form.get(name) ?? []), value])
  }
  return form
}

/** The value of the only field called `name`; `undefined` when it is absent or repeated. */
export function only(form: Form, name: string): string | undefined {
  const values = form.get(name)
  return values?.length === 1 ? values[0] : undefined
}

/** The fields as Twilio's SDK takes them. */
export function toParams(form: Form): Record<string, string | string[]> {
  // Without a prototype, so that a field called `__proto__` is a field like any other.
  const params = Object.create(null) as Record<string, string | string[]>
  for (const [name, values] of form) params[name] = values.length === 1 ? values[0]! : [...values]
  return params
}

function decode(part: string): string | undefined {
  if (/%(?![0-9A-Fa-f]{2})/.test(part)) return undefined
  const bytes = part
    .replaceAll('+', ' ')
    .replace(/%(..)/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
  try {
    // A byte order mark is part of the value: the signature covers it.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(bytes, 'latin1'))
  } catch {
    return undefined
  }
}
