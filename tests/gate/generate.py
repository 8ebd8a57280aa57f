"""Makes the text on which the gate is measured: one JSON object a line, the same on every machine.

    generate.py FOLDER SEED

FOLDER has templates (`held_out`, or `development`, on which rules are tuned): a line "== class", then "+" and a sentence
that has what the class is about, and "-" and one that could be taken for it. Names, numbers and dates in braces are
invented by Faker, or here from the seed. Callers' sentences are then written the ways recognisers write them: bare, with
fillers and repeated words, or with capitals and signs. A row lists what was filled in and must not pass. Nothing here
asks for the date, the network or the machine.
"""
import json
import pathlib
import random
import re
import sys

from faker import Faker

FOLDER, SEED = pathlib.Path(__file__).parent / sys.argv[1], int(sys.argv[2])
LINES_OF_A_TEMPLATE = 8
R = random.Random(SEED)
EN = Faker("en_US")
NAMES = [EN, EN, EN, EN, Faker("en_IN"), Faker("es_MX"), Faker("en_GB"), Faker("de_DE")]
for at, faker in enumerate([EN, *NAMES[4:]]):
    faker.seed_instance(SEED + at)

UNITS = "zero one two three four five six seven eight nine".split()
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
ORDINALS = ("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
            "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth").split()
MONTHS = "january february march april may june july august september october november december".split()
DAYS = "monday tuesday wednesday thursday friday".split()
MEDICINES = ("ibuprofen tylenol metformin lisinopril amoxicillin aspirin prednisone gabapentin zoloft albuterol "
             "atorvastatin omeprazole").split()
CONDITIONS = ["the flu", "diabetes", "strep throat", "an ear infection", "high blood pressure", "pneumonia", "asthma",
              "a sinus infection", "migraine", "shingles", "a urinary tract infection", "arthritis"]
BODIES = "knee back ankle shoulder stomach wrist neck hip elbow foot".split()
STREETS = "street avenue road drive lane boulevard court way place circle".split()


def pick(items):
    return items[int(R.random() * len(items))]


def between(low, high):
    return low + int(R.random() * (high - low + 1))


def digits(count):
    return "".join(str(between(0, 9)) for _ in range(count))


# --- Numbers, as they are said ---

def words(number):
    """0 to 99 in words."""
    if number < 10:
        return UNITS[number]
    if number < 20:
        return TEENS[number - 10]
    return TENS[number // 10 - 2] + (f" {UNITS[number % 10]}" if number % 10 else "")


def ordinal(day):
    if day <= 20:
        return ORDINALS[day - 1]
    return {30: "thirtieth"}.get(day) or f"{words(day - day % 10)} {ORDINALS[day % 10 - 1]}"


def one_by_one(text):
    zero = pick(["zero", "oh"])
    return " ".join(zero if sign == "0" else UNITS[int(sign)] if sign.isdigit() else sign for sign in text)


def in_pairs(text):
    parts = [text[at:at + 2] for at in range(0, len(text), 2)]
    return " ".join(words(int(part)) if len(part) == 2 and part[0] != "0" else one_by_one(part) for part in parts)


def said(text, *sizes):
    """Digits as a recogniser writes them: whole, in groups, in words."""
    groups, at = [], 0
    for size in sizes:
        groups.append(text[at:at + size])
        at += size
    return pick([lambda: text, lambda: " ".join(groups), lambda: "-".join(groups), lambda: one_by_one(text),
                 lambda: one_by_one(text), lambda: in_pairs(text), lambda: " ".join(text),
                 lambda: " ".join([one_by_one(groups[0]), *groups[1:]])])()


def phone():
    number = f"{between(2, 9)}{digits(2)}{between(2, 9)}{digits(6)}"
    return pick([lambda: said(number, 3, 3, 4), lambda: said(number, 3, 3, 4), lambda: said(number[3:], 3, 4),
                 lambda: f"{words(int(number[0]))} hundred {one_by_one(number[3:])}",
                 lambda: f"{one_by_one(number[:3])} {one_by_one(number[3:6])} {in_pairs(number[6:])}"])()


def member():
    letters = "".join(pick("abcdefghjkmnpqrstuvwxyz") for _ in range(3))
    return pick([lambda: said(digits(9), 3, 3, 3), lambda: said(digits(8), 4, 4), lambda: said(digits(6), 3, 3),
                 lambda: letters + digits(9), lambda: " ".join(letters) + " " + said(digits(6), 3, 3),
                 lambda: letters + " " + said(digits(9), 3, 3, 3), lambda: one_by_one(digits(10)),
                 lambda: f"{digits(3)}{letters[0]}{digits(5)}"])()


def written_phone():
    a, b, c = f"{between(2, 9)}{digits(2)}", f"{between(2, 9)}{digits(2)}", digits(4)
    return pick([f"{a}-{b}-{c}", f"({a}) {b}-{c}", f"+1 {a} {b} {c}", f"{a}.{b}.{c}", one_by_one(a + b + c)])


# --- Dates ---

def year_words(year):
    if year < 2000:
        rest = year % 100
        return f"nineteen {words(rest) if rest > 9 else 'oh ' + UNITS[rest] if rest else 'hundred'}"
    rest = year % 100
    if rest < 10:
        return "two thousand" + (f" {pick(['', 'and '])}{UNITS[rest]}" if rest else "")
    return pick([f"twenty {words(rest)}", f"two thousand {words(rest)}"])


def day_and_month():
    month, day = between(1, 12), between(1, 28)
    name = MONTHS[month - 1]
    said_day = pick([ordinal(day), ordinal(day), words(day), str(day), f"the {ordinal(day)}"])
    return month, day, pick([f"{name} {said_day}", f"{name} {said_day}", f"the {ordinal(day)} of {name}"])


def birth_year():
    return between(1932, 2019)


def birth_date_year():
    year = birth_year()
    month, day, spoken = day_and_month()
    said_year = pick([year_words(year), year_words(year), str(year)])
    return pick([lambda: f"{spoken} {said_year}", lambda: f"{spoken} {said_year}", lambda: f"{spoken} {said_year}",
                 lambda: f"{month}/{day}/{year}", lambda: f"{month:02}-{day:02}-{year}",
                 lambda: f"{words(month)} {words(day)} {year_words(year)}", lambda: f"{month} {day} {year}"])()


def birth_date():
    year = birth_year()
    month, day, spoken = day_and_month()
    short = f"{year % 100:02}"
    return pick([birth_date_year, birth_date_year, birth_date_year, birth_date_year, lambda: spoken,
                 lambda: f"{spoken} {words(year % 100) if year % 100 > 9 else one_by_one(short)}",
                 lambda: f"{month}/{day}/{short}",
                 lambda: f"{one_by_one(f'{month:02}{day:02}')} {in_pairs(short)}"])()


def time():
    hour, minute = between(7, 12), pick([0, 0, 15, 30, 45])
    return pick([f"{words(hour)} {words(minute) if minute else pick(['', 'am', 'oclock'])}".strip(),
                 f"{hour}:{minute:02}", f"{pick(['half past', 'quarter to'])} {words(hour)}"])


def next_year():
    return f"{day_and_month()[2]} {pick(['2027', 'twenty twenty seven', 'two thousand twenty seven'])}"


# --- Names, addresses ---

def plain(text):
    return re.sub(r"[.]", "", text).lower()


def first():
    return plain(pick(NAMES).first_name().split()[0])


def last():
    return plain(pick(NAMES).last_name().split()[0])


def name():
    return pick([lambda: f"{first()} {last()}", lambda: f"{first()} {last()}", lambda: f"{first()} {last()}",
                 lambda: f"{first()} {first()} {last()}", lambda: f"{first()} {pick('abcdejlmrst')} {last()}"])()


def street():
    return f"{plain(EN.last_name())} {pick(STREETS)}"


def address():
    number = str(between(10, 9_999))
    house = pick([number, number, in_pairs(number) if len(number) % 2 == 0 else one_by_one(number)])
    end = pick(["", "", f" apartment {between(1, 30)}", f" unit {pick('abcd')}", f" {city()}", f" {city()} {state()}"])
    return f"{house} {pick(['', '', 'north ', 'west '])}{street()}{end}"


def city():
    return plain(EN.city())


def state():
    return plain(EN.state())


def zip_code():
    return said(EN.postcode()[:5], 5)


def spoken_email(text):
    user, host = text.split("@")
    user = re.sub(r"\d", lambda found: f" {UNITS[int(found[0])]}", user)
    for sign, word in ((".", "dot"), ("_", "underscore"), ("-", "dash")):
        user, host = user.replace(sign, f" {word} "), host.replace(sign, f" {word} ")
    return " ".join(f"{user} at {host}".split())


def email():
    text = f"{first()}{pick(['.', '_', '', '-'])}{last()}{pick(['', '', digits(2)])}@{pick(['gmail.com', 'yahoo.com', EN.domain_name()])}"
    text = text.encode("ascii", "ignore").decode().replace("'", "")
    return pick([text, spoken_email(text), spoken_email(text)])


def title(text):
    return " ".join(part[:1].upper() + part[1:] for part in text.split())


# What a field in braces is filled with, and whether it must not pass.
HIDDEN = {
    "name": name, "first": first, "last": last, "spelled": lambda: " ".join(re.sub(r"\W", "", last())),
    "Name": lambda: title(name()), "First": lambda: title(first()), "Last": lambda: title(last()),
    "birth_date": birth_date, "birth_date_year": birth_date_year,
    "birth_year": lambda: pick([str, year_words])(birth_year()),
    "birth_date_written": lambda: pick([f"{title(day_and_month()[2])}, {birth_year()}", f"{between(1, 12)}/{between(1, 28)}/{birth_year()}"]),
    "phone": phone, "phone_written": written_phone, "member": member, "member_written": lambda: pick([digits(9), digits(7), "XKJ" + digits(9)]),
    "ssn": lambda: said(EN.ssn().replace("-", ""), 3, 2, 4), "card": lambda: said(EN.credit_card_number(card_type="visa16"), 4, 4, 4, 4),
    "last_four": lambda: said(digits(4), 4), "address": address, "street": street, "city": city, "zip": zip_code,
    "address_written": lambda: title(f"{between(10, 9999)} {street()}"), "zip_written": lambda: EN.postcode()[:5],
    "email": email, "email_written": lambda: EN.email(),
}
OPEN = {
    "weekday": lambda: pick(DAYS), "month": lambda: pick(MONTHS), "date": lambda: day_and_month()[2], "time": time,
    "date_next_year": next_year, "doctor": lambda: f"doctor {plain(EN.last_name())}", "letter": lambda: pick("bcdkmst"),
    "age": lambda: words(between(2, 85)), "year_past": lambda: pick([str, year_words])(between(1990, 2024)),
    "small": lambda: str(between(2, 300)), "state": state, "medicine": lambda: pick(MEDICINES),
    "condition": lambda: pick(CONDITIONS), "body": lambda: pick(BODIES),
    "amount": lambda: pick(["200 milligrams", "two tablets", "500 mg", "one pill", "ten milligrams", "5 ml"]),
    "price": lambda: pick(["forty dollars", "$120", "85 dollars", "two hundred dollars", "$1,500"]),
}
# Fields that identify somebody, but are of another class than the template's.
FOREIGN = {"small", "state"}


def fill(template):
    """The sentence, and what was filled in and must not pass."""
    hidden = []

    def value(found):
        field = found[1]
        if field in HIDDEN:
            hidden.append(HIDDEN[field]())
            return f"\x01{hidden[-1]}\x02"
        return OPEN[field]()

    return re.sub(r"\{([A-Za-z_]+)\}", value, template), hidden


# --- How a recogniser writes it ---

def disfluent(text):
    parts = text.split(" ")
    for _ in range(between(1, 2)):
        at = between(0, len(parts) - 1)
        # A repeated word stays outside of what is counted as the value.
        inside = parts[at].count("\x01") or parts[at].count("\x02") or "\x01" in " ".join(parts[:at])
        parts.insert(at, parts[at] if R.random() < 0.3 and not inside else pick(["um", "uh", "um", "er", "you know"]))
    return " ".join(parts)


def formatted(text):
    parts = [part if part in ("", "\x02") else part for part in text.split(" ")]
    inside, shown = False, []
    for part in parts:
        inside = inside or "\x01" in part
        word = part.replace("\x01", "").replace("\x02", "")
        proper = inside and word.isalpha() and word not in UNITS + TEENS + TENS + ORDINALS + ["oh", "at", "dot", "of", "the"]
        proper = proper or word in MONTHS + DAYS or word in ("i", "i'm", "i've", "i'd")
        shown.append(re.sub(r"[a-zà-ÿ]", lambda found: found[0].upper(), part, count=1) if proper else part)
        inside = inside and "\x02" not in part
    text = " ".join(shown)
    return re.sub(r"[a-z]", lambda found: found[0].upper(), text, count=1) + "." if text[:1] not in "\x01" else text + "."


def heard(text):
    kind = R.random()
    if kind < 0.3:
        return "bare", text
    if kind < 0.6:
        return "bare, no apostrophes", re.sub(r"(?<=[a-z])'(?=[a-z])", "", text)
    if kind < 0.8:
        return "disfluent", disfluent(text)
    return "formatted", formatted(text)


# --- The rows ---

def templates(file):
    name = ""
    for line in file.read_text().splitlines():
        if line.startswith("== "):
            name = line[3:]
        elif line[:2] in ("+ ", "- "):
            yield name, line[0] == "+", line[2:]


def row(source, name, expected, template):
    text, hidden = fill(template)
    form = "written"
    if source != "replies":
        form, text = heard(text)
        # As it stands after that, fillers within included.
        hidden = re.findall(r"\x01(.*?)\x02", text)
    text = text.replace("\x01", "").replace("\x02", "")
    return {"source": source, "class": name, "expected": expected, "template": template, "form": form, "text": text,
            "hidden": hidden}


def length_rows(most):
    """Sentences around the longest that may be spoken, of `most` characters."""
    for expected in (True, False):
        for _ in range(40 * LINES_OF_A_TEMPLATE):
            length = between(most + 1, most * 3) if expected else between(most // 4, most)
            text = EN.text(most * 4).replace("\n", " ")[:length]
            # Words alone: what else is wrong with them is not asked here.
            text = re.sub(r"[^a-z ]", "a", text.lower())
            yield {"source": "replies", "class": "length", "expected": expected, "form": "written", "text": text,
                   "template": "longer than the limit" if expected else "up to the limit", "hidden": []}


def main():
    for source in ("slots", "emergencies", "replies"):
        found = [(f"{source} {at}" if file.stem == source else f"{file.stem} {at}", row)
                 for file in sorted(FOLDER.glob(f"*{source}.txt")) for at, row in enumerate(templates(file))]
        for seed, (name, expected, template) in found:
            at = int(seed.split()[1])
            # Each template has its own sequence: a change of one leaves the others as they are.
            R.seed(f"{SEED} {seed}")
            for offset, faker in enumerate([EN, *NAMES[4:]]):
                faker.seed_instance(SEED + 10 * at + offset)
            for _ in range(LINES_OF_A_TEMPLATE):
                made = row(source, name, expected, template)
                sys.stdout.buffer.write(json.dumps(made, ensure_ascii=False).encode() + b"\n")
    for made in length_rows(int(sys.argv[3])):
        sys.stdout.buffer.write(json.dumps(made, ensure_ascii=False).encode() + b"\n")


main()
