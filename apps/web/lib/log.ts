// The one writer of log lines: JSON, one a line, of a closed set. No field of any event is text from
// outside, so no field of a webhook can be logged.

/** Why a request is not answered; the codes of Ward's responder. */
export type Reason =
  | 'token_absent'
  | 'route'
  | 'method'
  | 'signature_absent'
  | 'signature_malformed'
  | 'signature_wrong'
  | 'body_type'
  | 'body_long'
  | 'body_slow'
  | 'body_malformed'
  | 'schema'
  | 'foreign_account'

type Event =
  | { readonly event: 'started'; readonly ready: boolean }
  | { readonly event: 'settings_refused'; readonly problems: readonly string[] }
  | { readonly event: 'webhook_answered'; readonly token: number }
  | { readonly event: 'platform_error' }
  | { readonly event: 'refused'; readonly status: number; readonly reason: Reason }

export function record(event: Event): void {
  console.log(JSON.stringify(event))
}

/**
 * Makes whatever else is in this process say that something went wrong, and no more.
 *
 * Next.js writes errors with what it was looking at: targets, queries, header values. After this, each of
 * them is one event without words.
 */
export function silenceOthers(): void {
  const say = () => record({ event: 'platform_error' })
  Object.assign(console, { error: say, warn: say })
}
