// The settings, by the names of the hand-off document, parsed once and strictly.
//
// They are read when the server runs and never when it is built, so that one build serves every
// deployment and no token ends up in a file of the build.

import { AUTH_TOKEN_CHARS_MAX, HOST_CHARS_MAX, PATH_CHARS_MAX } from './limit'
import { connect, issueTicket, parseTicketKey, type TicketForm } from './ticket'
import { isSid, type Ours } from './webhook'

export interface Settings extends Ours {
  /** `NEXT_PUBLIC_SITE_URL`: the origin that Twilio posts to, and therefore signs. */
  readonly site: string
  /** `TWILIO_AUTH_TOKEN` and, during a rotation, `TWILIO_AUTH_TOKEN_NEXT`. None: nothing is answered. */
  readonly tokens: readonly string[]
  /** The TwiML for a call: configuration and, where `STREAM_TICKET` asks for one, a fresh ticket. Nothing of a request. */
  readonly twiml: (call: string) => string
}

/** Settings that cannot be used. Names settings, never values. */
export class SettingsError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(problems.join('; '))
  }
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Parses the environment.
 *
 * Takes it whole: the build would replace a `process.env.NEXT_PUBLIC_…` by the value of build time.
 *
 * @throws SettingsError with every problem.
 */
export function parseSettings(environment: Environment): Settings {
  const problems: string[] = []
  const read = (name: string, isFine: (value: string) => boolean, what: string): string => {
    const value = environment[name] ?? ''
    if (!isFine(value)) problems.push(`${name} must be ${what}`)
    return value
  }
  const media = read('MEDIA_WSS_URL', (value) => isOrigin('wss', value), 'wss://host[:port] and nothing more')
  const path = read('MEDIA_PATH', (value) => value === '' || isPath(value), 'a path like /rtm/voice')
  const site = read(
    'NEXT_PUBLIC_SITE_URL', (value) => isOrigin('https', value), 'https://host[:port] and nothing more',
  )
  const account = read('TWILIO_ACCOUNT_SID', (value) => isSid('AC', value), 'AC and 32 hexadecimal digits')
  const application = read(
    'TWILIO_TWIML_APP_SID', (value) => value === '' || isSid('AP', value), 'AP and 32 hexadecimal digits',
  )
  const tokens = ['TWILIO_AUTH_TOKEN', 'TWILIO_AUTH_TOKEN_NEXT'].map((name) =>
    read(name, (value) => value.length <= AUTH_TOKEN_CHARS_MAX && /^[!-~]*$/.test(value), 'visible ASCII'),
  )
  if (tokens[0] === '' && tokens[1] !== '') problems.push('TWILIO_AUTH_TOKEN_NEXT is set without TWILIO_AUTH_TOKEN')
  const form = read('STREAM_TICKET', (value) => FORMS.includes(value), 'off, parameter or path') || 'off'
  const isKey = (value: string) => (value === '' ? form === 'off' : parseTicketKey(value) !== undefined)
  const key = parseTicketKey(read('STREAM_TICKET_KEY', isKey, '32 bytes in base64 for tickets'))
  if (problems.length > 0) throw new SettingsError(problems)
  return {
    site,
    account,
    application: application === '' ? undefined : application,
    tokens: tokens.filter((token) => token !== ''),
    twiml: (call) => {
      const ticket = form === 'off' || key === undefined ? '' : issueTicket(key, call, Date.now())
      return connect(`${media}${path || '/rtm/voice'}`, form as TicketForm, ticket)
    },
  }
}

/** What `STREAM_TICKET` may be; nothing is `off`. */
const FORMS: readonly string[] = ['', 'off', 'parameter', 'path']

let parsed: Settings | undefined

/** The settings of this process. */
export function settings(): Settings {
  parsed ??= parseSettings(process.env)
  return parsed
}

/** `scheme://host[:port]`, with no character that XML or a URL would need escaped. */
function isOrigin(scheme: string, text: string): boolean {
  const parts = /^([a-z]+):\/\/(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+)(?::([1-9][0-9]{0,4}))?$/.exec(text)
  if (parts === null || parts[1] !== scheme) return false
  const host = parts[2] ?? ''
  const isHost =
    host.startsWith('[') ||
    (host.length <= HOST_CHARS_MAX && host.split('.').every((label) => /^[^-](.*[^-])?$/.test(label)))
  const port = Number(parts[3] ?? '443')
  // Twilio's SDK takes URLs apart as browsers do, and throws at what is none to them.
  return isHost && port <= 65_535 && URL.canParse(text)
}

/** `/` and characters that need no escaping, without empty, `.` or `..` segments. */
function isPath(text: string): boolean {
  const segments = text.slice(1).split('/')
  return (
    text.startsWith('/') &&
    text.length <= PATH_CHARS_MAX &&
    segments.every((segment) => /^[\w.~-]+$/.test(segment) && segment !== '.' && segment !== '..')
  )
}
