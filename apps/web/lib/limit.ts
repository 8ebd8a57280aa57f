// Every maximum and deadline of the webhook, with its unit. The values are those of Ward's responder.

/** Webhook body in bytes. A voice webhook is about 1 KiB; Twilio adds fields without notice. */
export const BODY_BYTES_MAX = 64 * 1024
/** From the first byte of the body to its last, in milliseconds. */
export const BODY_DEADLINE_MS = 5_000
/** Fields of one webhook. Twilio sends about 30. */
export const FIELDS_MAX = 256
/** `X-Twilio-Signature` in base64: HMAC-SHA1 is 20 bytes, 28 characters. */
export const SIGNATURE_CHARS = 28
/** Longest auth token, in characters; Twilio's have 32. */
export const AUTH_TOKEN_CHARS_MAX = 256
/** How long a ticket lives, in seconds; media hosts take 60 at most. */
export const TICKET_LIFE_S = 30
/** Longest host name in a setting, in characters (RFC 1035 §2.3.4). */
export const HOST_CHARS_MAX = 253
/** Longest `MEDIA_PATH`, in characters. */
export const PATH_CHARS_MAX = 128
