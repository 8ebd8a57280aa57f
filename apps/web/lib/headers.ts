// The headers that every answer of this host carries, whatever its status. The values are the ones of
// Ward's own servers. Nothing here decides who gets an answer.

/** Bytes of randomness in a nonce: 128 bits, as CSP level 3 asks. */
const NONCE_BYTES = 16

/** Every powerful feature that browsers know, denied. */
const FEATURES = [
  'accelerometer', 'ambient-light-sensor', 'attribution-reporting', 'autoplay', 'battery', 'bluetooth',
  'browsing-topics', 'camera', 'clipboard-read', 'clipboard-write', 'compute-pressure',
  'cross-origin-isolated', 'display-capture', 'encrypted-media', 'fullscreen', 'gamepad', 'geolocation',
  'gyroscope', 'hid', 'identity-credentials-get', 'idle-detection', 'interest-cohort', 'keyboard-map',
  'local-fonts', 'magnetometer', 'microphone', 'midi', 'otp-credentials', 'payment',
  'picture-in-picture', 'publickey-credentials-create', 'publickey-credentials-get', 'screen-wake-lock',
  'serial', 'speaker-selection', 'storage-access', 'sync-xhr', 'usb', 'web-share', 'window-management',
  'xr-spatial-tracking',
]

/** Name and value of each header that never changes. */
export const FIXED: readonly (readonly [string, string])[] = [
  // Two years, and eligible for the browsers' preload lists (hstspreload.org asks for one).
  ['Strict-Transport-Security', 'max-age=63072000; includeSubDomains; preload'],
  ['Permissions-Policy', FEATURES.map((feature) => `${feature}=()`).join(', ')],
  ['Cross-Origin-Opener-Policy', 'same-origin'],
  ['Cross-Origin-Embedder-Policy', 'require-corp'],
  ['Cross-Origin-Resource-Policy', 'same-origin'],
  // The old filter did harm; 0 switches it off where it still exists.
  ['X-XSS-Protection', '0'],
  ['X-Content-Type-Options', 'nosniff'],
  ['X-Frame-Options', 'DENY'],
  ['Referrer-Policy', 'no-referrer'],
  // Files too: they are few and small, and a stale one is harder to explain than a fetch.
  ['Cache-Control', 'no-store'],
]

/** The content policy of whatever has no page of its own to protect: files, and errors of the platform. */
export const POLICY_OF_FILES = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** A fresh nonce in base64: 24 characters. */
export function nonce(): string {
  return btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(NONCE_BYTES))))
}

/** The content policy of one answer: nothing loads except what carries this answer's nonce. */
export function policy(nonce: string): string {
  return (
    `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
  )
}

/**
 * The content policy of a page: that of an answer, and its own icon.
 *
 * React's development build evaluates strings and its reloads need a connection; production never does.
 */
export function policyOfPage(nonce: string, isDevelopment: boolean): string {
  const page = `${policy(nonce)}; img-src 'self'`
  if (!isDevelopment) return page
  return `${page.replace('script-src', "script-src 'unsafe-eval'")}; connect-src 'self'`
}
