// The strict schema of a voice webhook, judged after its signature.
//
// Twilio's signature has no delimiters, so one signature fits many sets of fields. Everything that
// identifies the call must therefore stand once and have exactly the shape Twilio gives it; fields beyond
// those are tolerated, because Twilio adds some without notice. No value ever leaves this file.

import { only, type Form } from './form'

/** Twilio: "TwiML Voice: request parameters", `CallStatus`. */
const CALL_STATUS = [
  'queued', 'initiated', 'ringing', 'in-progress', 'completed', 'busy', 'failed', 'no-answer', 'canceled',
]
/** What Twilio puts where a number is withheld or unknown. */
const WITHHELD = ['anonymous', 'restricted', 'unknown', 'unavailable', 'private', '']

/** What is wrong with rightly signed fields, if anything is. */
export type SchemaFault = 'schema' | 'foreign_account'

/** Whose calls are taken. */
export interface Ours {
  readonly account: string
  readonly application: string | undefined
}

/** Judges the fields of a verified form. */
export function judge(form: Form, ours: Ours): SchemaFault | undefined {
  const fits = (name: string, test: (value: string) => boolean): boolean => {
    const value = only(form, name)
    return value !== undefined && test(value)
  }
  const isShaped =
    fits('AccountSid', (value) => isSid('AC', value)) &&
    fits('CallSid', (value) => isSid('CA', value)) &&
    fits('ApiVersion', (value) => /^\d{4}-\d{2}-\d{2}$/.test(value)) &&
    fits('CallStatus', (value) => CALL_STATUS.includes(value)) &&
    fits('From', isParty) &&
    fits('To', isParty)
  if (!isShaped) return 'schema'
  if (!fits('AccountSid', (value) => isSame(value, ours.account))) return 'foreign_account'
  const application = ours.application
  if (application !== undefined && form.has('ApplicationSid')) {
    if (!fits('ApplicationSid', (value) => isSid('AP', value))) return 'schema'
    if (!fits('ApplicationSid', (value) => isSame(value, application))) return 'foreign_account'
  }
  return undefined
}

/** Two letters and 32 hexadecimal digits. */
export function isSid(prefix: 'AC' | 'CA' | 'AP', text: string): boolean {
  return text.startsWith(prefix) && /^[0-9a-f]{32}$/i.test(text.slice(2))
}

/** Two SIDs are equal when they differ in letter case only. */
function isSame(one: string, other: string): boolean {
  return toLower(one) === toLower(other)
}

/** ASCII only: `toLowerCase` would also fold letters of other scripts into ours. */
function toLower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

/** A number in E.164 form (at most 15 digits), a short code, a withheld number, a client or SIP. */
function isParty(text: string): boolean {
  if (/^\+?[0-9]{3,15}$/.test(text)) return true
  const lower = toLower(text.replace(/^\++/, ''))
  return /^(client|sips?):[\x21-\x7e]{1,255}$/.test(lower) || WITHHELD.includes(lower)
}
