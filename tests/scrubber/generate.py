"""Makes the data on which the scrubber is measured: one JSON object a line, the same on every machine.

Each row has a class, a format, a context, a text, and whether the text has an identifier of that class
(`expected`). Everything is invented: by Faker, or here from a fixed seed. The formats are those that
people, Twilio and libraries write; they are not chosen by what the scanner can see, and a format that it
misses stays. Nothing here asks for the date, the network or the machine.
"""
import base64
import hashlib
import hmac
import json
import random
import sys
from urllib.parse import quote_plus

from faker import Faker

POSITIVES = 3_000
NEGATIVES = 3_000
SEED = 20_261_122

LOCALES = ["en_US", "en_GB", "en_AU", "en_IN", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL",
           "pt_BR", "sv_SE", "ja_JP", "zh_CN"]
FAKERS = {locale: Faker(locale) for locale in LOCALES}
EN = FAKERS["en_US"]
R = random.Random(SEED)

DIGITS = "0123456789"
LOWER = "abcdefghijklmnopqrstuvwxyz"
LETTERS = LOWER.upper() + LOWER


def pick(items):
    return items[int(R.random() * len(items))]


def between(low, high):
    return low + int(R.random() * (high - low + 1))


def chars(alphabet, count):
    return "".join(pick(alphabet) for _ in range(count))


def digits(count):
    return chars(DIGITS, count)


def hexadecimal(count):
    return chars("0123456789abcdef", count)


def octets(count):
    return bytes(between(0, 255) for _ in range(count))


def unpadded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# --- Contexts: how a value gets into a line ---

EVENTS = ["call_started", "refused", "vendor_error", "agent_said", "form_field", "transcript"]
REASONS = ["timeout", "schema", "peer_closed", "vendor said no", "unknown field", "retry"]


def json_line(key, value):
    line = {"at_ms": between(0, 90_000), "role": pick(["media", "twiml"]), "event": pick(EVENTS),
            key: value, "reason": pick(REASONS)}
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False)


def logfmt(key, value):
    return f'level={pick(["info", "warn", "error"])} msg="{pick(REASONS)}" {key}={value}'


def wrap(context, key, value):
    """`value` in a line; `key` is what such a field is called."""
    if context == "JSON field":
        return json_line(key, value)
    if context == "JSON in JSON":
        return json_line("detail", json.dumps({key: value}))
    if context == "logfmt":
        return logfmt(key, value)
    if context == "form, encoded":
        return f"CallStatus=ringing&{key}={quote_plus(value)}&Direction=inbound"
    if context == "form, decoded":
        return f"CallStatus=ringing&{key}={value}&Direction=inbound"
    if context == "Rust debug":
        return f'{pick(["Form", "Start", "Error"])} {{ {key}: Some("{value}"), retries: {between(0, 5)} }}'
    if context == "header":
        return f'{pick(["X-Caller", "X-Original", "X-Context"])}: {value}'
    if context == "CSV":
        return f"{EN.first_name()},{value},{pick(REASONS)}"
    before, after = EN.sentence(), EN.sentence()
    if context == "sentence, begins":
        return f"{value} {before}"
    if context == "sentence, ends":
        return f"{before[:-1]} {value}."
    return f"{before} {pick(['It is', 'Please use', 'They gave', 'We have', 'My', 'Send it to'])} {value}, {after.lower()}"


CONTEXTS = ["JSON field", "JSON in JSON", "logfmt", "form, encoded", "form, decoded", "Rust debug", "header",
            "CSV", "sentence, begins", "sentence, ends", "sentence"]
SPEECH = ["JSON field", "JSON in JSON", "form, encoded", "Rust debug", "sentence, begins", "sentence, ends",
          "sentence"]


# --- Positives: (format, key, value), or (format, context, text) where the context is part of the format ---

def faked_number(international):
    while True:
        locale = pick(LOCALES)
        number = FAKERS[locale].phone_number()
        if number.startswith("+") == international:
            return locale, number


def north_american():
    return f"{between(2, 9)}{digits(2)}", f"{between(2, 9)}{digits(2)}", digits(4)


def e164():
    key = pick(["From", "To", "Caller", "Called", "ForwardedFrom", "phone", "number"])
    a, b, c = north_american()
    locale, faked = faked_number(True)
    return pick([
        lambda: ("plain, as Twilio sends it", key, f"+1{a}{b}{c}"),
        lambda: ("plain, other countries", key, f'+{pick(["44", "49", "33", "353", "61", "81", "91", "254", "65"])}{between(1, 9)}{digits(between(7, 10))}'),
        lambda: ("spaces", key, f"+1 {a} {b} {c}"),
        lambda: ("dashes", key, f"+1-{a}-{b}-{c}"),
        lambda: ("dots", key, f"+1.{a}.{b}.{c}"),
        lambda: ("brackets", key, f"+1 ({a}) {b}-{c}"),
        lambda: ("tel: URI", key, f"tel:+1-{a}-{b}-{c}"),
        lambda: ("SIP URI", key, f"sip:+1{a}{b}{c}@pstn.example.com"),
        lambda: ("no-break spaces", key, f"+1\u00a0{a}\u00a0{b}\u00a0{c}"),
        lambda: ("spaced dashes", key, f"+1 - {a} - {b} - {c}"),
        lambda: (f"Faker {locale}", key, faked),
        lambda: (f"Faker {locale}", key, faked),
        lambda: (f"Faker {locale}", key, faked),
    ])()


def twilio_sid():
    prefix, key = pick([("CA", "CallSid"), ("MZ", "StreamSid"), ("AC", "AccountSid"), ("SM", "MessageSid"),
                        ("SK", "ApiKey"), ("RE", "RecordingSid"), ("AP", "ApplicationSid"),
                        ("PN", "PhoneNumberSid"), ("CF", "ConferenceSid"), ("TR", "TranscriptionSid"),
                        ("MM", "MessageSid"), ("TK", "TrunkSid"), ("VA", "ServiceSid"), ("GT", "TranscriptSid")])
    sid = prefix + hexadecimal(32)
    return pick([
        lambda: ("plain", key, sid),
        lambda: ("plain", key, sid),
        lambda: ("upper case", key, sid.upper()),
        lambda: ("lower case", key, sid.lower()),
        lambda: ("in a path", "url", f"/2010-04-01/Accounts/{sid}/Calls.json"),
        lambda: ("in a query", "url", f"https://api.example.com/calls?{key}={sid}"),
        lambda: ("joined with underscores", "file", f"recording_{sid}_1.wav"),
        lambda: ("joined with a word", "topic", f"calls{sid}"),
        lambda: ("cut after 20 hex digits", key, sid[:22] + "…"),
        lambda: ("with dashes", key, f"{sid[:10]}-{sid[10:18]}-{sid[18:]}"),
    ])()


def bearer():
    scheme = pick(["Bearer", "Bearer", "bearer", "BEARER"])
    basic = base64.b64encode(f"{EN.user_name()}:{EN.password()}".encode()).decode()
    token = pick([lambda: unpadded(octets(24)), lambda: hexadecimal(40), lambda: f"sk-{chars(LETTERS + DIGITS, 32)}",
                  lambda: f"ek_{chars(LETTERS + DIGITS, 24)}", lambda: chars(LETTERS + DIGITS, 36)])()
    short = chars(LOWER, between(5, 9))
    url_user, url_password = EN.user_name(), chars(LETTERS + DIGITS, 12)
    return pick([
        lambda: ("Authorization: Bearer", "request", f"Authorization: {scheme} {token}"),
        lambda: ("Authorization: Bearer", "request", f"authorization: {scheme} {token}"),
        lambda: ("Bearer alone", "auth", f"{scheme} {token}"),
        lambda: ("Bearer alone", "auth", f"{scheme} {token}"),
        lambda: ("Authorization: Basic", "request", f"Authorization: Basic {basic}"),
        lambda: ("Basic alone", "auth", f"Basic {basic}"),
        lambda: ("Proxy-Authorization", "request", f"Proxy-Authorization: Basic {basic}"),
        lambda: ("Authorization as JSON", "headers", json.dumps({"authorization": f"Bearer {token}"})),
        lambda: ("lower-case word after Authorization", "request", f"Authorization: Bearer {short}"),
        lambda: ("lower-case word after Bearer alone", "auth", f"Bearer {short}"),
        lambda: ("Bearer with a colon", "auth", f"Bearer: {token}"),
        lambda: ("in quotes", "auth", f'Bearer "{token}"'),
        lambda: ("Token instead of Bearer", "request", f"Authorization: Token {token}"),
        lambda: ("password in a URL", "url", f"https://{url_user}:{url_password}@vendor.example.com/listen"),
        lambda: ("token in a query", "url", f"wss://vendor.example.com/listen?access_token={token}"),
    ])()


def made_jwt(header, claims, alg="HS256"):
    parts = [unpadded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)]
    if alg == "none":
        return ".".join(parts) + "."
    if alg == "RS256":
        return ".".join(parts) + "." + unpadded(octets(256))
    key = octets(32)
    digest = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}[alg]
    return ".".join(parts) + "." + unpadded(hmac.new(key, ".".join(parts).encode(), digest).digest())


def jwt():
    key = pick(["token", "jwt", "access_token", "grant"])
    claims = {"sub": hexadecimal(12), "iat": 1_700_000_000 + between(0, 80_000_000), "scope": pick(["asr", "tts", "usage:write"])}
    if R.random() < 0.5:
        claims["iss"] = EN.domain_name()
    alg = pick(["HS256", "HS256", "HS512", "RS256"])
    token = made_jwt({"alg": alg, "typ": "JWT"}, claims, alg)
    spaced = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT"}, indent=1).encode()).rstrip(b"=").decode()
    header, payload, signature = token.split(".")
    return pick([
        lambda: (f"signed with {alg}", key, token),
        lambda: (f"signed with {alg}", key, token),
        lambda: ("kid first", key, made_jwt({"kid": hexadecimal(8), "alg": "HS256"}, claims)),
        lambda: ("as a Bearer", "request", f"Authorization: Bearer {token}"),
        lambda: ("in a query", "url", f"wss://vendor.example.com/listen?token={token}"),
        lambda: ("in a cookie", "request", f"Cookie: session={token}; Path=/"),
        lambda: ("not signed (alg none)", key, made_jwt({"alg": "none"}, claims, "none")),
        lambda: ("encrypted (five parts)", key, ".".join([unpadded(b'{"alg":"RSA-OAEP","enc":"A256GCM"}'), unpadded(octets(256)), unpadded(octets(12)), unpadded(octets(80)), unpadded(octets(16))])),
        lambda: ("encrypted directly (empty key)", key, ".".join([unpadded(b'{"alg":"dir","enc":"A256GCM"}'), "", unpadded(octets(12)), unpadded(octets(80)), unpadded(octets(16))])),
        lambda: ("header with line breaks", key, f"{spaced}.{payload}.{signature}"),
        lambda: ("payload and signature only", key, f"{payload}.{signature}"),
        lambda: ("first two parts only", key, f"{header}.{payload}"),
        lambda: ("split by a line break", key, f"{header}.\n{payload}.\n{signature}"),
    ])()


def grouped(text, *sizes, by=" "):
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at:at + size])
        at += size
    return by.join(parts)


def national():
    a, b, c = north_american()
    locale, faked = faked_number(False)
    return pick([
        lambda: ("telephone, dashes", "phone", f"{a}-{b}-{c}"),
        lambda: ("telephone, brackets", "phone", f"({a}) {b}-{c}"),
        lambda: ("telephone, dots", "phone", f"{a}.{b}.{c}"),
        lambda: ("telephone, plain", "phone", f"{a}{b}{c}"),
        lambda: ("telephone, slash", "phone", f"0{digits(3)}/{digits(6)}"),
        lambda: ("telephone, no area", "phone", f"{b}-{c}"),
        lambda: (f"telephone, Faker {locale}", "phone", faked),
        lambda: (f"telephone, Faker {locale}", "phone", faked),
    ])()


def identity():
    ssn, nhs = EN.ssn(), digits(10)
    mbi = f"{between(1, 9)}{pick('ACDEFGHJKMNPQRTUVWXY')}{pick('ACDEFGHJKMNPQRTUVWXY0123456789')}{digits(1)}"
    mbi += f"-{pick('ACDEFGHJKMNPQRTUVWXY')}{pick('ACDEFGHJKMNPQRTUVWXY0123456789')}{digits(1)}"
    mbi += f"-{pick('ACDEFGHJKMNPQRTUVWXY')}{pick('ACDEFGHJKMNPQRTUVWXY')}{digits(2)}"
    return pick([
        lambda: ("SSN, dashes", "ssn", ssn),
        lambda: ("SSN, dashes", "ssn", ssn),
        lambda: ("SSN, spaces", "ssn", ssn.replace("-", " ")),
        lambda: ("SSN, plain", "ssn", ssn.replace("-", "")),
        lambda: ("SSN, last four", "ssn", f"xxx-xx-{ssn[-4:]}"),
        lambda: ("NHS number, spaces", "nhs_number", grouped(nhs, 3, 3, 4)),
        lambda: ("NHS number, plain", "nhs_number", nhs),
        lambda: ("Medicare number (11 letters and digits)", "mbi", mbi),
        lambda: ("NPI", "npi", "1" + digits(9)),
        lambda: ("employer number", "ein", EN.ein()),
        lambda: ("MRN, 7 digits", "mrn", digits(7)),
        lambda: ("MRN, 8 digits", "mrn", digits(8)),
        lambda: ("MRN, 6 digits", "mrn", digits(6)),
        lambda: ("MRN, with its name", "mrn", f"MRN{digits(8)}"),
        lambda: ("MRN, with its name", "mrn", f"MRN-{digits(7)}"),
        lambda: ("MRN, grouped", "mrn", grouped(digits(9), 3, 3, 3, by="-")),
        lambda: ("MRN, a letter in it", "mrn", f"{digits(4)}{pick(LETTERS).upper()}{digits(4)}"),
        lambda: ("member number, letters first", "member", f"{chars(LETTERS, 3).upper()}{digits(9)}"),
        lambda: ("member number, letters between", "member", f"{chars(LETTERS, 3).upper()}{digits(3)}{pick(LETTERS).upper()}{digits(5)}"),
    ])()


def payment():
    card, amex = EN.credit_card_number(card_type="visa16"), EN.credit_card_number(card_type="amex")
    iban = EN.iban()
    return pick([
        lambda: ("card, plain", "card", card),
        lambda: ("card, spaces", "card", grouped(card, 4, 4, 4, 4)),
        lambda: ("card, dashes", "card", grouped(card, 4, 4, 4, 4, by="-")),
        lambda: ("card, American Express", "card", grouped(amex, 4, 6, 5)),
        lambda: ("card, masked", "card", f"****-****-****-{card[-4:]}"),
        lambda: ("account, German IBAN", "iban", f"DE{digits(20)}"),
        lambda: ("account, German IBAN grouped", "iban", "DE" + grouped(digits(20), 2, 4, 4, 4, 4, 2)),
        lambda: ("account, British IBAN", "iban", iban),
        lambda: ("account, routing and number", "account", f"{digits(9)} {digits(10)}"),
    ])()


def pressed():
    keys = digits(between(9, 10))
    return pick([
        lambda: ("keys, spaced", "digits", " ".join(keys)),
        lambda: ("keys, dashed", "digits", "-".join(keys)),
        lambda: ("keys, commas", "digits", ",".join(keys)),
        lambda: ("keys, commas and spaces", "digits", ", ".join(keys)),
        lambda: ("keys, ended by a hash", "digits", keys + "#"),
        lambda: ("keys, a JSON array of strings", "digits", json.dumps(list(keys))),
        lambda: ("keys, one message each", "digits", " ".join(f'{{"digit":"{key}"}}' for key in keys)),
        lambda: ("thousands with commas", "number", f"{int('1' + keys):,}"),
        lambda: ("no-break spaces", "number", grouped(keys, 3, 3, len(keys) - 6, by="\u00a0")),
        lambda: ("full-width digits", "number", "".join(chr(0xFF10 + int(key)) for key in keys)),
    ])()


def number_as_json():
    name, value = pick([("JSON number, telephone", between(2_000_000_000, 9_899_999_999)),
                        ("JSON number, SSN", between(100_000_000, 899_999_999)),
                        ("JSON number, card", int(EN.credit_card_number(card_type="visa16")))])
    return (name, "JSON number", json_line("value", value)) + (True,)


def digit_run():
    return pick([national, identity, identity, payment, pressed, number_as_json])()


def email():
    key = pick(["email", "to", "contact", "user"])
    local, domain = EN.user_name(), EN.domain_name()
    locale = pick(LOCALES)
    return pick([
        lambda: ("Faker, free mail", key, EN.free_email()),
        lambda: ("Faker, company", key, EN.company_email()),
        lambda: (f"Faker {locale}", key, FAKERS[locale].email()),
        lambda: ("with a tag", key, f"{local}+{pick(['ward', 'clinic', 'news'])}@{domain}"),
        lambda: ("first.last", key, f"{EN.first_name()}.{EN.last_name()}@{domain}"),
        lambda: ("upper case", key, f"{local}@{domain}".upper()),
        lambda: ("subdomains", key, f"{local}@mail.{pick(['north', 'south'])}.{domain}"),
        lambda: ("mailto", key, f"mailto:{local}@{domain}"),
        lambda: ("name and address", key, f"{EN.name()} <{local}@{domain}>"),
        lambda: ("quoted local part", key, f'"{EN.first_name()} {EN.last_name()}"@{domain}'),
        lambda: ("umlauts", key, f"jürgen.{local}@{pick(['müller', 'bücher', 'straße'])}.example"),
        lambda: ("address literal", key, f"{local}@[192.0.2.{between(1, 254)}]"),
        lambda: ("no top-level domain", key, f"{local}@{domain.split('.')[0]}"),
        lambda: ("spoken", key, f"{local} at {domain.replace('.', ' dot ')}"),
        lambda: ("hidden from robots", key, f"{local} (at) {domain}"),
    ])()


def mulaw(count):
    """Audio as a telephone line carries it: noise, a tone, or near-silence, in µ-law."""
    kind = pick(["noise", "tone", "quiet"])
    if kind == "noise":
        return kind, octets(count)
    period, level = 4 * between(3, 20), between(500, 20_000)
    out = bytearray()
    for at in range(count):
        # A triangle, because sines are not the same on every machine.
        rise = abs(at % period - period // 2) - period // 4
        sample = level * rise // (period // 4) if kind == "tone" else between(-8, 8)
        sign = 0x00
        if sample < 0:
            sample, sign = -sample, 0x80
        sample = min(sample, 32_635) + 132
        exponent = max(sample.bit_length() - 8, 0)
        mantissa = (sample >> (exponent + 3)) & 0x0F
        out.append(~(sign | (exponent << 4) | mantissa) & 0xFF)
    return kind, bytes(out)


def base64_run():
    key = pick(["payload", "audio", "media", "chunk"])
    kind, frame = mulaw(160)
    text = base64.b64encode(frame).decode()
    media = json.dumps({"event": "media", "media": {"track": "inbound", "payload": text}}, separators=(",", ":"))
    cut = between(30, 63)
    return pick([
        lambda: (f"one frame of {kind}", key, text),
        lambda: (f"one frame of {kind}", key, text),
        lambda: (f"one frame of {kind}", key, text),
        lambda: ("base64url", key, base64.urlsafe_b64encode(frame).decode()),
        lambda: ("base64url, no padding", key, unpadded(frame)),
        lambda: ("Twilio's media message", "JSON field", media),
        lambda: ("66 to 90 characters", key, base64.b64encode(octets(between(49, 66))).decode().rstrip("=")),
        lambda: ("digital silence", key, base64.b64encode(b"\xff" * 160).decode()),
        lambda: ("PCM of 16 bits", key, base64.b64encode(octets(320)).decode()),
        lambda: ("lines of 76, a file in a mail", key, "\n".join(text[at:at + 76] for at in range(0, len(text), 76))),
        lambda: ("lines of 64, a key in PEM", key, "\n".join(text[at:at + 64] for at in range(0, len(text), 64))),
        lambda: ("cut to under 65", key, text[:cut] + "…"),
        lambda: ("hexadecimal instead", key, frame.hex()),
        lambda: ("bytes as numbers", key, str(list(frame[:40]))),
    ])()


WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
GERMAN = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"]
SPANISH = ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"]


def pair():
    number = between(10, 99)
    if number < 20:
        return TEENS[number - 10]
    return TENS[number // 10 - 2] + (f" {WORDS[number % 10]}" if number % 10 else "")


def with_doubles(number):
    out, at = [], 0
    while at < len(number):
        run = 1
        while run < 3 and number[at:at + run + 1] == number[at] * (run + 1):
            run += 1
        out.append({1: "", 2: "double ", 3: "triple "}[run] + WORDS[int(number[at])])
        at += run
    return " ".join(out)


def with_pauses(words):
    out = []
    for word in words:
        if out and R.random() < 0.25:
            out.append(pick(["um", "uh", "then", "and"]))
        out.append(word)
    return " ".join(out)


def spoken():
    number = pick([lambda: "".join(north_american()), lambda: digits(9), lambda: digits(between(7, 8)), lambda: digits(16)])()
    words = [WORDS[int(digit)] for digit in number]
    ohs = [pick(["oh", "o"]) if word == "zero" else word for word in words]
    doubled = number[:3] + pick(DIGITS) * between(2, 3) + number[3:]
    key = pick(["transcript", "text", "SpeechResult"])
    timed = json.dumps([{"word": word, "start": at * 3} for at, word in enumerate(words)], separators=(",", ":"))
    return pick([
        lambda: ("words, spaces", key, " ".join(words)),
        lambda: ("words, spaces", key, " ".join(words)),
        lambda: ("words, commas", key, ", ".join(words)),
        lambda: ("words, dashes", key, "-".join(words)),
        lambda: ("words, capitals", key, " ".join(words).capitalize()),
        lambda: ("words, grouped by commas", key, f"{' '.join(words[:3])}, {' '.join(words[3:6])}, {' '.join(words[6:])}"),
        lambda: ("oh for zero", key, " ".join(ohs)),
        lambda: ("double and triple", key, with_doubles(doubled)),
        lambda: ("double and triple", key, with_doubles(doubled)),
        lambda: ("um, uh, and between", key, with_pauses(words)),
        lambda: ("the word dash between", key, f"{' '.join(words[:3])} dash {' '.join(words[3:5])} dash {' '.join(words[5:])}"),
        lambda: ("a JSON array of words", key, json.dumps(words)),
        lambda: ("words with times (a recogniser's JSON)", key, timed),
        lambda: ("pairs such as forty two", key, " ".join(pair() for _ in range(5))),
        lambda: ("hundreds such as five hundred", key, f"{pick(WORDS[1:])} hundred {pair()} {pick(WORDS[1:])} thousand {pair()}"),
        lambda: ("half words, half figures", key, " ".join(words[:4]) + " " + number[4:]),
        lambda: ("German", key, " ".join(GERMAN[int(digit)] for digit in number)),
        lambda: ("Spanish", key, " ".join(SPANISH[int(digit)] for digit in number)),
    ])()


POSITIVE = {"e164": e164, "twilio_sid": twilio_sid, "bearer": bearer, "jwt": jwt, "digits": digit_run,
            "email": email, "base64": base64_run, "spoken_digits": spoken}


# --- Negatives: lines without an identifier of the class, or of any other ---

def uuid():
    raw = hexadecimal(12) + "4" + hexadecimal(3) + pick("89ab") + hexadecimal(15)
    return grouped(raw, 8, 4, 4, 4, 12, by="-")


def date():
    year, month, day = between(1950, 2030), between(1, 12), between(1, 28)
    names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    return pick([
        lambda: ("date, ISO", f"{year}-{month:02}-{day:02}"),
        lambda: ("date, dots", f"{day:02}.{month:02}.{year}"),
        lambda: ("date, slashes", f"{month:02}/{day:02}/{year}"),
        lambda: ("date, dashes", f"{month:02}-{day:02}-{year}"),
        lambda: ("date, in words", f"{day} {names[month - 1]} {year}"),
        lambda: ("date, compact", f"{year}{month:02}{day:02}"),
    ])()


def moment():
    day = f"{between(2015, 2030)}-{between(1, 12):02}-{between(1, 28):02}"
    time = f"{between(0, 23):02}:{between(0, 59):02}:{between(0, 59):02}"
    return pick([
        lambda: ("time, RFC 3339", f"{day}T{time}Z"),
        lambda: ("time, RFC 3339 with offset", f"{day}T{time}+0{between(0, 9)}:00"),
        lambda: ("time, with microseconds", f"{day} {time}.{digits(6)}"),
        lambda: ("time, with milliseconds", f"{day} {time},{digits(3)}"),
        lambda: ("time, nanoseconds", f"{day}T{time}.{digits(9)}Z"),
        lambda: ("time of day", time),
        lambda: ("time, access log", f"22/Nov/{between(2015, 2030)}:{time} +0{between(0, 9)}00"),
        lambda: ("time, mail", f"Sun, 22 Nov {between(2015, 2030)} {time} -0{between(0, 9)}00"),
    ])()


def version():
    return pick([
        lambda: ("version, three parts", f"{between(0, 30)}.{between(0, 40)}.{between(0, 20)}"),
        lambda: ("version, pre-release", f"v{between(0, 9)}.{between(0, 40)}.{between(0, 20)}-{pick(['rc', 'beta'])}.{between(1, 9)}"),
        lambda: ("version, build date", f"{between(0, 9)}.{between(0, 40)}.{between(0, 20)}+20{between(15, 30)}0{between(1, 9)}{between(10, 28)}"),
        lambda: ("version, browser", EN.chrome()),
        lambda: ("version, calendar", f"{between(2018, 2027)}.{between(1, 12)}.{between(0, 9)}"),
    ])()


def small_number():
    return pick([
        lambda: ("number, short", digits(between(1, 6))),
        lambda: ("number, price", f"${between(1, 9_999):,}.{digits(2)}"),
        lambda: ("number, decimal", f"{between(0, 999)}.{digits(3)}"),
        lambda: ("number, long decimal", f"0.{digits(between(7, 16))}"),
        lambda: ("number, thousands with commas", f"{between(10_000, 999_999):,}"),
        lambda: ("number, range", f"{between(1, 99)}-{between(100, 999)}"),
        lambda: ("number, duration", f"{between(1, 9_999)} ms"),
        lambda: ("number, room and ward", f"room {between(1, 999)}, ward {between(1, 40)}"),
        lambda: ("number, blood pressure", f"{between(90, 180)}/{between(50, 110)}"),
        lambda: ("number, dose", f"{between(1, 4)} x {between(5, 500)} mg"),
        lambda: ("number, extension", f"ext. {digits(4)}"),
    ])()


def digest():
    length = pick([8, 12, 24, 32, 40, 56, 96, 128])
    return f"hex digest of {length}", hexadecimal(length)


def file_name():
    name = f"{EN.word()}_{EN.word()}"
    return pick([
        lambda: ("file, source line", f"appliance/{EN.word()}/src/{name}.rs:{between(1, 999)}:{between(1, 80)}"),
        lambda: ("file, registry path", f"/home/build/.cargo/registry/src/index-{hexadecimal(16)}/{EN.word()}-{between(0, 9)}.{between(0, 99)}.{between(0, 30)}/src/{name}.rs"),
        lambda: ("file, long path", f"/usr/lib/{EN.word()}/{EN.word()}/{EN.word()}/{EN.word()}/{EN.word()}/{EN.word()}/{EN.word()}/{EN.word()}/{EN.word()}/{EN.word()}.py"),
        lambda: ("file, rustc path", f"/rustc/{hexadecimal(40)}/library/core/src/{name}.rs:{between(1, 4_000)}"),
    ])()


def counters():
    names = ["frames_in", "frames_out", "audio_in_ms", "audio_out_ms", "mark_sent", "gap", "ping"]
    chosen = [name for name in names if R.random() < 0.6]
    return "counters as JSON numbers", json.dumps(
        {"at_ms": between(0, 10**12), "event": "call_ended", "call": hexadecimal(16),
         "duration_ms": between(0, 10**7), "counts": {name: between(1, 2**32 - 1) for name in chosen}},
        separators=(",", ":"))


def log_line():
    return pick([
        lambda: ("log line, Ward's", json.dumps({"prev": hexadecimal(64), "seq": between(0, 10**9), "boot": hexadecimal(16), "at_ms": between(0, 10**12), "role": "media", "event": "call_started", "call": hexadecimal(16)}, separators=(",", ":"))),
        lambda: ("log line, a service's", f"{moment()[1]} INFO {EN.word()}[{between(1, 65_535)}]: {EN.sentence()}"),
        lambda: ("log line, HTTP", f'"GET /{EN.uri_path()} HTTP/1.1" {pick([200, 304, 403, 404])} {between(0, 99_999)} "-" "curl/8.{between(0, 9)}.0"'),
        lambda: ("log line, trace context", f"traceparent=00-{hexadecimal(32)}-{hexadecimal(16)}-01"),
        lambda: ("log line, unix time", f"ts={1_700_000_000 + between(0, 90_000_000)} level=info msg={EN.word()}"),
        lambda: ("log line, bytes", f"read {between(1_000_000, 999_999_999)} bytes in {between(1, 900)} ms"),
        lambda: ("log line, kernel", f"[{between(0, 99_999)}.{digits(6)}] {EN.word()}: {EN.sentence()}"),
    ])()


def prose():
    return "prose", " ".join(EN.sentence() for _ in range(between(1, 3)))


def in_line(named):
    """A value alone, in a field or in a sentence."""
    name, value = named
    context = pick(["alone", "JSON field", "logfmt", "sentence"])
    return name, context, value if context == "alone" else wrap(context, pick(["value", "detail", "field"]), value)


def common():
    return in_line(pick([date, moment, version, small_number, digest, file_name, counters, log_line, prose,
                         lambda: ("UUID", uuid())])())


def own(items):
    return lambda: in_line(pick(items)())


def no_e164():
    return own([
        lambda: ("time zone", f"UTC+{between(0, 12):02}:{pick(['00', '30', '45'])}"),
        lambda: ("sum", f"{between(1, 999)} + {between(1, 9_999)} = {between(1, 9_999)}"),
        lambda: ("plus, short", f"+{digits(between(1, 6))}"),
        lambda: ("lines changed", f"+{between(1, 9_999)} -{between(1, 9_999)}"),
        lambda: ("temperature", f"+{between(10, 40)}.{digits(1)} C"),
        lambda: ("language", pick(["C++17", "C++20 and up", "Notepad++ 8.6", "g++-12"])),
        lambda: ("encoded spaces", f"q={EN.word()}+{EN.word()}+{between(1, 999)}"),
        lambda: ("emergency number", f"call {pick(['911', '112', '988', '311'])}"),
    ])()


def no_sid():
    return own([
        lambda: ("one hex digit short", f"CA{hexadecimal(31)}"),
        lambda: ("one hex digit long", f"CA{hexadecimal(33)}"),
        lambda: ("placeholder", f"AC{'x' * 32}"),
        lambda: ("one letter", f"{pick(LETTERS)}{hexadecimal(32)}"),
        lambda: ("name of a field", pick(["CallSid missing", "StreamSid differs", "AccountSid: none"])),
        lambda: ("address of 40", f"0x{hexadecimal(40)}"),
        lambda: ("object name", f"sha256:{hexadecimal(64)}"),
        lambda: ("UUID", uuid()),
    ])()


def no_bearer():
    noun = EN.word()
    return own([
        lambda: ("prose, bearer of", f"the bearer of this {noun} may {EN.word()}"),
        lambda: ("prose, bearer + noun", f"{pick(['bearer', 'Bearer'])} {pick(['token', 'tokens', 'authentication', 'bond', 'certificates', 'credential'])} {pick(['missing', 'refused', 'expired', 'are used'])}"),
        lambda: ("prose, basic + noun", f"{pick(['basic', 'Basic', 'BASIC'])} {pick(['authentication', 'information', 'needs', 'metabolic panel', 'life support', 'HTTP auth', 'COVID-19 questions', noun])}"),
        lambda: ("challenge", f'WWW-Authenticate: {pick(["Bearer", "Basic"])} realm="{EN.domain_name()}"'),
        lambda: ("challenge, error", 'WWW-Authenticate: Bearer error="invalid_token", error_description="expired"'),
        lambda: ("redacted", f"Authorization: Bearer {pick(['***', '<redacted>', '[REDACTED]', '$TOKEN', '{token}', '…'])}"),
        lambda: ("no value", pick(["Authorization: none", "Authorization header absent", "bearer=null", '"bearer":false'])),
    ])()


def no_jwt():
    return own([
        lambda: ("package name", f"com.{EN.word()}.{EN.word()}.{EN.word().capitalize()}"),
        lambda: ("host name", f"{EN.word()}.{EN.domain_name()}"),
        lambda: ("JSON in base64, one part", unpadded(json.dumps({EN.word(): between(1, 99)}).encode())),
        lambda: ("cut", "eyJhbGciOi…"),
        lambda: ("three parts of other things", f"{unpadded(octets(6))}.{unpadded(octets(9))}.{unpadded(octets(6))}"),
        lambda: ("file with two dots", f"{EN.word()}.min.js"),
        lambda: ("sentences without spaces", f"{EN.word()}.{EN.word()}.{EN.word()}."),
    ])()


def no_digits():
    return pick([lambda: in_line(date()), lambda: in_line(moment()), lambda: in_line(version()),
                 lambda: in_line(small_number()), lambda: in_line(digest()), lambda: in_line(file_name()),
                 lambda: in_line(counters()), lambda: in_line(log_line()), lambda: in_line(("UUID", uuid()))])()


def no_email():
    return own([
        lambda: ("handle", f"@{EN.user_name()}"),
        lambda: ("package", f"@types/{EN.word()}@{between(0, 20)}.{between(0, 9)}.{between(0, 9)}"),
        lambda: ("package, pre-release", f"{EN.word()}@{between(0, 20)}.0.0-rc.{between(1, 9)}"),
        lambda: ("price", f"{between(2, 40)} @ ${between(1, 90)}.{digits(2)}"),
        lambda: ("meeting", f"see you @ {between(1, 12)} pm, {EN.word()}@{EN.word()}"),
        lambda: ("decorator", f"@{EN.word()}.{EN.word()}"),
        lambda: ("style sheet", f"@media (min-width: {between(300, 900)}px)"),
        lambda: ("shell", f"{EN.word()}@{pick(['localhost', 'ward-media', 'build'])}:~$ ls"),
        lambda: ("git remote", f"git@git.example.com:{EN.word()}/{EN.word()}.git"),
        lambda: ("systemd unit", f"{pick(['getty@tty', 'user@', 'ward@'])}{between(1, 6)}.service"),
    ])()


def no_base64():
    return own([
        lambda: ("short base64", base64.b64encode(octets(between(6, 46))).decode()),
        lambda: ("a signature of 20 bytes", base64.b64encode(octets(20)).decode()),
        lambda: ("a digest of 32 bytes", base64.b64encode(octets(32)).decode()),
        lambda: ("integrity, SHA-512", "sha512-" + base64.b64encode(octets(64)).decode()),
        lambda: ("ruler", pick("-=_*") * between(66, 100)),
        lambda: ("long identifier", "".join(EN.word().capitalize() for _ in range(between(4, 9)))),
        lambda: ("long URL", f"https://{EN.domain_name()}/{'/'.join(EN.word() for _ in range(between(3, 12)))}.html"),
        lambda: ("long path", file_name()[1]),
        lambda: ("hex digest", digest()[1]),
    ])()


def no_spoken():
    few = [pick(WORDS) for _ in range(between(2, 5))]
    return own([
        lambda: ("few digits", f"{EN.word()} {' '.join(few)} {EN.word()}"),
        lambda: ("emergency number", "call nine one one"),
        lambda: ("counting to three", "one two three, breathe in; four five, breathe out"),
        lambda: ("prose with numbers", f"{pick(WORDS)} of the {pick(WORDS)} {EN.word()}s and {pick(WORDS)} more, oh well"),
        lambda: ("a time in words", f"{pick(TEENS[:3])} {pair()} on the {pick(['first', 'second', 'third'])}"),
        lambda: ("a price in words", f"{pair()} dollars and {pair()} cents"),
        lambda: ("an age in words", f"{pair()} years old, {pick(WORDS[1:])} children"),
        lambda: ("a postal code in words", " ".join(pick(WORDS) for _ in range(5))),
        lambda: ("counting to ten", " ".join(WORDS[1:]) + " ten, ready or not"),
        lambda: ("prose", prose()[1]),
    ])()


NEGATIVE = {"e164": no_e164, "twilio_sid": no_sid, "bearer": no_bearer, "jwt": no_jwt, "digits": no_digits,
            "email": no_email, "base64": no_base64, "spoken_digits": no_spoken}


def positive(name):
    made = POSITIVE[name]()
    if len(made) == 4:  # the context is part of the format
        return made[:3]
    form, key, value = made
    if form == "Twilio's media message":
        return form, "JSON in JSON", json_line("detail", value)
    context = pick(SPEECH if name == "spoken_digits" else CONTEXTS)
    return form, context, wrap(context, key, value)


def main():
    for offset, name in enumerate(POSITIVE):
        # Each class has its own sequence: a change of one leaves the others as they are.
        R.seed(SEED + offset)
        for at, faker in enumerate(FAKERS.values()):
            faker.seed_instance(SEED + 100 * offset + at)
        rows = [(positive(name), True) for _ in range(POSITIVES)]
        # Every second line is of a kind that could be taken for this class, the others of any kind.
        rows += [(NEGATIVE[name]() if at % 2 else common(), False) for at in range(NEGATIVES)]
        for (form, context, text), expected in rows:
            # A log line is one line: breaks inside a value are written as they would be in one.
            row = {"class": name, "format": form, "context": context,
                   "text": text.replace("\n", "\\n"), "expected": expected}
            sys.stdout.buffer.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


main()
