"""The appointment dialogue: what is answered to a whole history of messages, the same each time.

It keeps nothing between two requests. What was asked follows from what the caller has said, so an answer
that the caller heard only in part changes nothing, but for one thing: a booking needs a summary that was
heard as far as its day and time. Names and dates of birth may be placeholders such as [NAME_1]; they are
given back as they came.
"""
import re
from dataclasses import dataclass, field

HOUR = "(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
DAY = re.compile(r"\b(?:next )?(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)\b|\btomorrow\b"
                 r"|\bnext week\b|\[DATE_\d+\]", re.I)
TIME = re.compile(rf"\b(?:(?:half past|quarter past|quarter to) {HOUR}|{HOUR}(?: o'clock| thirty| fifteen"
                  rf"| forty five)?|noon|\d{{1,2}}(?::\d\d)?(?: ?[ap]\.?m\b)?)(?: in the (?:morning|afternoon))?"
                  r"|\[TIME_\d+\]", re.I)
NAME = re.compile(r"\[NAME_\d+\]")
GIVEN_NAME = re.compile(r"(?:my name is|this is|i am|it is)\s+(.+)", re.I)
BIRTH = re.compile(r"\[(?:BIRTH_DATE|DATE_OF_BIRTH|DATE)_\d+\]")
MONTH = re.compile(r"\b(?:january|february|march|april|may|june|july|august|september|october|november"
                   r"|december)\b|\b(?:19|20)\d\d\b", re.I)
YES = re.compile(r"^(?:yes|yeah|correct|right|that is (?:right|correct))\b", re.I)
NO = re.compile(r"^no\b", re.I)
BOOK = re.compile(r"\b(?:appointment|see (?:the|a) doctor|speak to (?:the|a) doctor)\b", re.I)
CANCEL = re.compile(r"\bcancel\b", re.I)
HOURS = re.compile(r"\bopening hours\b|\bare you open\b", re.I)
AGAIN = re.compile(r"\b(?:repeat|say that again|pardon)\b", re.I)
BYE = re.compile(r"\b(?:goodbye|bye)\b|^no thank you$|^stop$", re.I)
HELLO = re.compile(r"^(?:hello|good morning)$", re.I)

QUESTIONS = {
    "day": "Which day would suit you?",
    "time": "At what time?",
    "name": "May I have your name, please?",
    "born": "And your date of birth?",
    "offer": "Would you like to book one?",
}
NEEDED = {"book": ["day", "time", "name", "born"], "cancel": ["name", "born"]}
ELSE = "Sorry, I can only help with appointments. Would you like to book one?"
OPEN = "We are open Monday to Friday, from eight to five."
HELLO_BACK = "Hello, this is the clinic. How may I help you?"
HANG_UP = "Goodbye. [hang up]"


@dataclass
class State:
    """What is known after some of the messages."""

    intent: str = ""
    known: dict = field(default_factory=dict)
    asked: str = ""
    reply: str = HELLO_BACK
    # ("booking" or "cancellation", what is known), of the last message only.
    done: tuple = None


def plain(text):
    """The words of a message, without the signs that a recogniser may have added."""
    return re.sub(r"\s+", " ", re.sub(r"[.,;!?]", " ", text)).strip()


def summary(state):
    known = state.known
    if state.intent == "cancel":
        return f"So I cancel the appointment of {known['name']}. Is that right?"
    return f"So that is {known['day']} {at(known['time'])} for {known['name']}. Is that right?"


def at(time):
    return f"at {time}"


def take(state, text):
    """Notes what is in a message; whether anything was."""
    before = dict(state.known)
    if state.asked in ("name", "born"):
        found = name_in(text) if state.asked == "name" else birth_in(text)
        if found:
            state.known[state.asked] = found
        return bool(found)
    if state.intent == "book":
        day, time = DAY.search(text), None
        # A number is a time where a time belongs: after `at`, as the answer, or beside a day.
        for match in TIME.finditer(text):
            is_after_at = text[:match.start()].lower().endswith("at ")
            if is_after_at or state.asked == "time" or (day and state.asked in ("day", "right")):
                time = match
                break
        if day:
            state.known["day"] = day[0].capitalize() if day[0][0] != "[" else day[0]
        if time:
            state.known["time"] = time[0]
        named = NAME.search(text)
        if named:
            state.known["name"] = named[0]
        return bool(day or time or named) and (state.known != before or state.asked != "right")
    return False


def name_in(text):
    """A placeholder, or one to three words where a name was asked for."""
    placeholder = NAME.search(text)
    if placeholder:
        return placeholder[0]
    given = GIVEN_NAME.match(text)
    words = (given[1] if given else text).split()
    is_name = 1 <= len(words) <= 3 and all(re.fullmatch(r"[A-Za-z'-]+", word) for word in words)
    is_other = any(sign.search(text) for sign in (YES, NO, DAY, AGAIN, HOURS, BOOK, re.compile(rf"\b{HOUR}\b", re.I)))
    return " ".join(words).title() if is_name and not is_other else None


def birth_in(text):
    placeholder = BIRTH.search(text)
    if placeholder:
        return placeholder[0]
    return text if MONTH.search(text) else None


def go_on(state, before=""):
    """The next question, or the summary."""
    missing = [slot for slot in NEEDED[state.intent] if slot not in state.known]
    state.asked = missing[0] if missing else "right"
    state.reply = before + (QUESTIONS[missing[0]] if missing else summary(state))


def confirm(state, text, heard):
    """The answer to the summary."""
    key = "time" if state.intent == "book" else "name"
    heard_it = heard is not None and state.known[key] in heard and state.known.get("day", "") in heard
    if YES.search(text) and not heard_it:
        go_on(state)
    elif YES.search(text):
        known = state.known
        if state.intent == "book":
            said = f"Your appointment is booked for {known['day']} {at(known['time'])}."
        else:
            said = "Your appointment is cancelled."
        done = "booking" if state.intent == "book" else "cancellation"
        state.__init__(reply=f"{said} {HANG_UP}", done=(done, known))
    elif take(state, text):
        go_on(state)
    elif NO.search(text):
        intent = state.intent
        state.__init__(intent=intent)
        go_on(state, "Let us start over. ")
    else:
        go_on(state, "Sorry, I did not get that. ")


def step(state, text, heard):
    """One message of the caller, after as much of ours as was heard (None: nothing was)."""
    state.done = None
    if AGAIN.search(text):
        return
    if BYE.search(text):
        state.__init__(reply=HANG_UP)
    elif HOURS.search(text) and state.asked not in ("name", "born"):
        if state.intent:
            go_on(state, f"{OPEN} ")
        else:
            state.asked, state.reply = "offer", f"{OPEN} Would you like to book an appointment?"
    elif state.asked == "right":
        confirm(state, text, heard)
    elif not state.intent:
        begin(state, text)
    elif take(state, text):
        go_on(state)
    elif CANCEL.search(text) and state.intent != "cancel":
        state.__init__()
        begin(state, text)
    else:
        go_on(state, "Sorry, I did not get that. ")


def begin(state, text):
    if CANCEL.search(text):
        state.intent = "cancel"
    elif BOOK.search(text) or (state.asked == "offer" and (YES.search(text) or DAY.search(text))):
        state.intent = "book"
    elif HELLO.search(text):
        state.reply, state.asked = HELLO_BACK, ""
        return
    else:
        state.reply, state.asked = ELSE, "offer"
        return
    state.asked = "day"
    take(state, text)
    go_on(state, "Certainly. ")


def answer(messages):
    """(reply, done) to messages of {role, content}, content as text; done as in `State`."""
    state, heard = State(), None
    for message in messages:
        text = plain(message["content"])
        if message["role"] == "assistant":
            heard = text
        elif message["role"] == "user" and text:
            step(state, text, heard)
            heard = None
    return state.reply, state.done
