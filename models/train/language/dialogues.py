"""Dialogues of the product's own kind: what is said, and the call or the answer that is right.

Held out: templates by a hash of their text; values by a hash of the value (sums, texts, files, topics, lengths of two
units). The numbers of a length of one unit are all trained, but in no held-out template.
Texts to copy are made of the words of a public set, so that what is learned is to copy and not the texts.
"""

import hashlib
import json
import random
import re

import phrases as P

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen"
).split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
UNITS = ["hour", "minute", "second"]
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
ENDINGS = "txt txt txt md md csv json log toml pdf html py rs yaml sh".split()
CHOOSE, PERSON, SAID, ANSWER, END = "<|choose|>", "<|person|>", "<|said|>", "<|answer|>", "<|end|>"


def is_held(text, one_in=8):
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % one_in == 0


def in_words(n, rng):
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (rng.choice("  -") + ONES[n % 10] if n % 10 else "")
    if n % 1000 == 0:
        return in_words(n // 1000, rng) + " thousand"
    joint = rng.choice([" ", " and "])
    first = rng.choice([ONES[n // 100], "a"]) if n // 100 == 1 else ONES[n // 100]
    return first + " hundred" + (joint + in_words(n % 100, rng) if n % 100 else "")


# A text to copy begins with a space, as in what was said: its words are then the same pieces in both places.
# The reader of calls takes outer spaces away.
OPENINGS = {
    tool: f'{{"tool":"{tool}","arguments":{{"{field}":{quote}'
    for tool, field, quote in [
        ("volume", "percent", ""),
        ("calculator", "sum", '"'),
        ("say", "text", '"'),
        ("docs.search", "query", '"'),
        ("file.read", "path", '"'),
    ]
}
# A length is written as it is said: nothing is worked out. The first and any further part of one.
LENGTHS = {unit: f'{{"tool":"timer","arguments":{{"{unit}s":' for unit in UNITS}
FURTHER = {unit: f',"{unit}s":' for unit in UNITS[1:]}
BARE = {
    tool: f'{{"tool":"{tool}","arguments":{{}}}}'
    for tool in ("time", "date", "status", "timers", "file.list", "git.status", "git.log")
}


def call(tool, value=None):
    if value is None:
        return BARE[tool]
    if tool == "timer":
        (unit, n), *more = value.items()
        return f"{LENGTHS[unit]}{n}" + "".join(f"{FURTHER[unit]}{n}" for unit, n in more) + "}}"
    if tool == "volume":
        return f"{OPENINGS[tool]}{value}}}}}"
    space = "" if tool == "calculator" else " "
    return f'{OPENINGS[tool]}{space}{value}"}}}}'


NONE = '{"tool":"none"}'
# Asked for a deed where no tool can be called, it says which short words the intents know.
SHORT = {
    "time": "what time is it",
    "date": "what day is it",
    "status": "cluster status",
    "timers": "list my timers",
    "timer": "set a timer for five minutes",
    "volume": "volume fifty percent",
    "calculator": "ten plus five",
}
SHORTS = {tool: f"Say it in short words, such as: {short}." for tool, short in SHORT.items()}
ASK_AGAIN = "My tools can do that. Please ask again for a tool."
# What is one piece of the vocabulary each: what never changes.
WHOLE = [
    LENGTHS["second"], *OPENINGS.values(), *BARE.values(), NONE, '"}}', "}}", *P.TALK, P.DUNNO, P.CANNOT,
    *SHORTS.values(), ASK_AGAIN, LENGTHS["hour"], LENGTHS["minute"], *FURTHER.values(),
]  # fmt: skip


def templates(text, held):
    """Those that are, or are not, held out; where a hash holds none, the last is held out."""
    every = [t.strip() for t in text.replace("\n", "|").split("|") if t.strip()]
    kept = [t for t in every if is_held(t) == held]
    last = every[-1]
    if not any(is_held(t) for t in every):
        kept = [last] if held else [t for t in every if t != last]
    return kept


class Lexicon:
    """Sentences of a public set, and their words: of those held out in the one case, of the others in the other."""

    def __init__(self, sentences, held):
        self.sentences = [s.split() for s in sentences if is_held(s, 6) == held]
        words = sorted({w for s in sentences for w in s.split() if re.fullmatch(r"[a-z']{2,12}", w)})
        self.words = [w for w in words if is_held(w, 6) == held]

    def text(self, rng, most):
        """Some words that stand beside each other, or that never did."""
        n = rng.randint(1, most)
        if rng.random() < 0.6:
            words = rng.choice(self.sentences)
            at = rng.randint(0, max(0, len(words) - n))
            return " ".join(words[at : at + n])
        return " ".join(rng.choice(self.words) for _ in range(n))


class Maker:
    """Draws dialogues; `held` ones are of templates and values that training never sees."""

    def __init__(self, seed, held, public):
        self.rng, self.held, self.public = random.Random(seed), held, public
        self.lexicon = Lexicon(public.sentences, held)
        self.cache = {}

    def pick(self, text):
        if text not in self.cache:
            self.cache[text] = templates(text, self.held)
        template = self.rng.choice(self.cache[text])
        some = lambda m: self.rng.choice(m[1].split(","))
        perhaps = lambda m: self.rng.choice(m[1].split(",") + [""])
        said = re.sub(r"\(([^()]*)\)", perhaps, re.sub(r"\[([^\[\]]*)\]", some, template))
        said = " ".join(said.split())
        if self.rng.random() < 0.3:
            for long, short in SHORTER:
                if self.rng.random() < 0.6 and f" {long} " in f" {said} ":
                    said = f" {said} ".replace(f" {long} ", f" {short} ", 1).strip()
        return said

    def value(self, values):
        return self.rng.choice([v for v in values if is_held(v, 6) == self.held] or values)

    def number(self, n):
        return str(n) if self.rng.random() < 0.5 else in_words(n, self.rng)

    def length(self, is_short):
        rng = self.rng
        unit = rng.choice(["second", "minute", "minute", "minute", "hour"])
        most = {"second": 120, "minute": 120, "hour": 48}[unit]
        n = rng.choice([rng.randint(1, most), rng.randint(1, most), rng.choice([1, 2, 3, 5, 10, 15, 20, 30, 45])])
        if is_short:
            return f"{self.number(n)}{rng.choice('  -')}{unit}", {unit: n}
        dice = rng.random()
        if dice < 0.1:
            return rng.choice(HALVES)
        if dice < 0.15:
            n = rng.randint(1, 12)
            larger, smaller = rng.choice([("hour", "minute"), ("minute", "second")])
            return f"{self.number(n)} and a half {larger}s", {larger: n, smaller: 30}
        if dice < 0.35:
            while True:
                larger, smaller = rng.choice([("hour", "minute"), ("minute", "second")])
                a, b = rng.randint(1, 12), rng.choice([rng.randint(1, 59), 5 * rng.randint(1, 11)])
                if is_held(f"{a}{larger}{b}", 6) == self.held:
                    one = ["an" if larger == "hour" else "a", "one", "1"]
                    first = rng.choice(one) if a == 1 else self.number(a)
                    joint = rng.choice([" and ", " and ", " "])
                    text = f"{first} {larger}{'s' * (a > 1)}{joint}{self.number(b)} {smaller}{'s' * (b > 1)}"
                    return text, {larger: a, smaller: b}
        if n > 1 and rng.random() < 0.08:
            return f"{n} {({'second': 'sec', 'minute': 'min', 'hour': 'hrs'})[unit]}", {unit: n}
        return f"{self.number(n)} {unit}{'s' * (n > 1)}", {unit: n}

    def sum(self):
        rng = self.rng
        while True:
            a, b = rng.randint(1, rng.choice([20, 100, 999])), rng.randint(1, rng.choice([12, 20, 100, 999]))
            if rng.random() < 0.04:
                a = 1000 * rng.randint(1, 20)
            if is_held(f"{a},{b}", 6) == self.held:
                break
        word, sign = rng.choice(SIGNS)
        if rng.random() < 0.12:
            return f"{self.number(min(a, 100))} percent of {self.number(b)}", f"{b}*{min(a, 100)}/100"
        if rng.random() < 0.06:
            a = f"{a}.{rng.randint(1, 99)}"
            return f"{a} {word} {b}", f"{a}{sign}{b}"
        if rng.random() < 0.25 and word != "and":
            return rng.choice([f"{a} {sign} {b}", f"{a}{sign}{b}"]), f"{a}{sign}{b}"
        return f"{self.number(a)} {word} {self.number(b)}", f"{a}{sign}{b}"

    def topic(self):
        rng = self.rng
        if rng.random() < 0.3:
            return self.value(P.TOPIC)
        return rng.choice(["", "", "the ", "my ", "a "]) + self.lexicon.text(rng, 4)

    def file(self):
        """As it is said, and its name."""
        rng = self.rng
        name = self.value(P.FILE) if rng.random() < 0.4 else rng.choice(self.lexicon.words).replace("'", "")
        if rng.random() < 0.25:
            name += rng.choice(["-", "_"]) + rng.choice(self.lexicon.words).replace("'", "")
        if rng.random() < 0.15:
            name += str(rng.randint(1, rng.choice([9, 99, 2040])))
        if rng.random() < 0.15:
            name = rng.choice(self.lexicon.words).replace("'", "") + "/" + name
        ending = rng.choice(ENDINGS)
        return f"{name}{' dot ' if rng.random() < 0.2 else '.'}{ending}", f"{name}.{ending}"

    def wish(self):
        """What is said, and the call it means."""
        rng = self.rng
        kind = rng.choices(list(KINDS), KINDS.values())[0]
        if kind in BARE:
            if kind in self.public.asked and rng.random() < 0.2 and not self.held:
                return rng.choice(self.public.asked[kind]), call(kind)
            return self.pick(PLAIN[kind]), call(kind)
        if kind == "timer":
            said = self.pick(P.TIMER)
            length, parts = self.length("{length1}" in said)
            return said.replace("{length1}", length).replace("{length}", length), call(kind, parts)
        if kind == "volume":
            n = rng.randint(0, 100)
            return self.pick(P.VOLUME).replace("{percent}", self.number(n)), call("volume", n)
        if kind == "calculator":
            said, sum_ = self.sum()
            return self.pick(P.SUM).replace("{sum}", said), call(kind, sum_)
        if kind == "say":
            words = self.value(P.WORDS) if rng.random() < 0.2 else self.lexicon.text(rng, 8)
            return self.pick(P.SAY).replace("{words}", words), call(kind, words)
        if kind == "docs.search":
            topic = self.topic()
            return self.pick(P.SEARCH).replace("{topic}", topic), call(kind, topic)
        said, name = self.file()
        return self.pick(P.READ).replace("{file}", said), call(kind, name)

    def unknown_wish(self):
        """What this model cannot know or do: by templates, or of a public set of real questions."""
        if self.rng.random() < 0.06:
            return self.noise(), P.DUNNO
        if self.rng.random() < 0.6:
            return self.rng.choice(self.public.unknown)
        answer = self.rng.choice([P.DUNNO, P.DUNNO, P.CANNOT])
        said = self.pick(P.UNKNOWN[answer])
        for slot, values in (("{adjective}", P.ADJECTIVE), ("{person}", P.PERSON)):
            said = said.replace(slot, self.value(values))
        while "{word}" in said:
            said = said.replace("{word}", self.rng.choice(self.lexicon.words), 1)
        while "{thing}" in said:
            is_known = self.rng.random() < 0.5
            thing = self.value(P.THING) if is_known else self.lexicon.text(self.rng, 3)
            said = said.replace("{thing}", thing, 1)
        return said, answer

    def noise(self):
        """Other alphabets, signs, one word over and over: what it cannot read it does not know."""
        rng = self.rng
        first = rng.choice([0x1F300, 0x1F600, 0x400, 0x4E00, 0xC0, 0x3B1, 0x21, 0x30, 0x61])
        letters = [chr(first + rng.randint(0, 25)) for _ in range(rng.choice([1, 3, 26]))]
        n = rng.randint(1, rng.choice([8, 22, 90]) // (1 + (first > 0x7F) + 2 * (first > 0xFFF)) + 1)
        start = rng.choice(["", "", "who is ", "what is ", "tell me about ", self.lexicon.text(rng, 2) + " "])
        return start + rng.choice(["", "", " "]).join(rng.choice(letters) for _ in range(n))

    def talk(self):
        if not self.held and self.rng.random() < 0.3:
            return self.rng.choice(self.public.talk)
        answer = self.rng.choice(list(P.TALK))
        return self.pick(P.TALK[answer]), answer

    def result(self):
        """What a tool said; to be said on."""
        rng = self.rng
        some = [
            f"It is {rng.randint(0, 23)}:{rng.randint(0, 59):02}.",
            f"{rng.randint(2, 20)} of {rng.randint(2, 20)} computers are here. All is well.",
            f"{rng.randint(1, 99999)}",
            f"{rng.randint(1, 999)}.{rng.randint(1, 99)}",
            "No timer is set.",
            "It is said.",
            f"Volume {rng.randint(0, 100)} percent.",
            f"A timer of {rng.randint(1, 59)} minutes has {rng.randint(1, 59)} seconds left.",
            f"{rng.randint(2, 59)} minutes, starting now.",
            f"Today is {rng.choice(DAYS)}, May {rng.randint(1, 31)}, {rng.randint(2025, 2040)}.",
        ]
        if rng.random() < 0.5:
            return rng.choice(some)
        text = ""
        for _ in range(rng.randint(1, 3)):
            part = self.lexicon.text(rng, 7)
            if rng.random() < 0.3:
                part = part.replace(" ", rng.choice([" ", " ", ", "]) + str(rng.randint(0, 999)) + " ", 1)
            if rng.random() < 0.2:
                part = part.title()
            text += part[:1].upper() + part[1:] + rng.choice([". ", ".  ", ": ", " - ", "! "])
        return " ".join(text.split())[:SAID_MAX].strip()

    def dialogue(self):
        """(prompt, answer, kind) as the model's own template writes them."""
        rng, dice = self.rng, self.rng.random()
        if dice < 0.53:
            said, wanted = self.wish()
            is_whole = json.loads(wanted)["tool"] not in ("say", "docs.search", "file.read")
            return f"{CHOOSE}{PERSON} {spoken(said, rng, is_whole)}{ANSWER}", wanted, "call"
        if dice < 0.59:
            said, _ = self.wish()
            told = self.result()
            if rng.random() < 0.25:
                return f"{CHOOSE}{PERSON} {plain(said)}{SAID} {told}{ANSWER}", NONE, "after"
            return f"{PERSON} {plain(said)}{SAID} {told}{ANSWER}", " " + told, "told"
        if dice < 0.62:
            said, wanted = self.wish()
            short = SHORTS.get(json.loads(wanted)["tool"], ASK_AGAIN)
            return f"{PERSON} {spoken(said, rng)}{ANSWER}", short, "short"
        said, answer = self.talk() if dice < 0.81 else self.unknown_wish()
        kind = "unknown" if dice >= 0.81 else "talk"
        if rng.random() < 0.3:
            return f"{CHOOSE}{PERSON} {spoken(said, rng)}{ANSWER}", NONE, "none"
        return f"{PERSON} {spoken(said, rng)}{ANSWER}", answer, kind


SAID_MAX = 120
HALVES = [
    ("half an hour", {"minute": 30}),
    ("half a minute", {"second": 30}),
    ("an hour and a half", {"hour": 1, "minute": 30}),
    ("a quarter of an hour", {"minute": 15}),
    ("three quarters of an hour", {"minute": 45}),
    ("an hour", {"hour": 1}),
    ("a minute", {"minute": 1}),
    ("a minute and a half", {"minute": 1, "second": 30}),
    ("a couple of minutes", {"minute": 2}),
    ("a couple of hours", {"hour": 2}),
    ("an hour and a quarter", {"hour": 1, "minute": 15}),
]
SIGNS = [("plus", "+"), ("minus", "-"), ("times", "*"), ("divided by", "/"), ("multiplied by", "*"), ("and", "+")]
# How often each is drawn.
KINDS = {
    "time": 1, "date": 1, "status": 2, "timers": 1.5, "timer": 6, "volume": 2, "calculator": 5,
    "say": 3, "docs.search": 2.5, "file.list": 1, "file.read": 2.5, "git.status": 1, "git.log": 1,
}  # fmt: skip
PLAIN = {
    "time": P.TIME, "date": P.DATE, "status": P.STATUS, "timers": P.TIMERS, "file.list": P.FILES,
    "git.status": P.CHANGES, "git.log": P.COMMITS,
}  # fmt: skip
SHORTER = [
    ("what is", "what's"), ("i am", "i'm"), ("do not", "don't"), ("is not", "isn't"), ("that is", "that's"),
    ("who is", "who's"), ("you are", "you're"), ("i would", "i'd"), ("are not", "aren't"), ("what is", "whats"),
]  # fmt: skip
BEFORE = "please|hey|duet|computer|now|so|well|hey duet|okay|um|ok duet|and|please can you|could you|i said".split("|")
AFTER = "please|now|for me|thanks|duet|right now".split("|")


def plain(text):
    """As the model's template writes what a person says."""
    text = text.lower().replace("’", "'").replace("%", " percent")
    text = re.sub(r'[?!,;"\\]', "", text.replace(". ", " ").replace(": ", " "))
    return " ".join(text.strip().rstrip(".:").split())


def spoken(said, rng, is_whole=True):
    """Words before it, and behind it where they cannot be taken for a part of what is to be copied."""
    if rng.random() < 0.1:
        said = rng.choice(BEFORE) + " " + said
    if rng.random() < 0.06 and is_whole:
        said += " " + rng.choice(AFTER)
    return plain(said)


# Of CLINC150, what a tool or a set answer is for; the rest is what this model cannot do.
CLINC_KNOWN = set(
    """alarm timer time date calculator change_volume greeting goodbye thank_you what_is_your_name
    who_made_you
are_you_a_bot what_can_i_ask_you tell_joke yes no maybe repeat who_do_you_work_for where_are_you_from cancel
timezone measurement_conversion reminder reminder_update how_old_are_you do_you_have_pets
what_are_your_hobbies fun_fact smart_home whisper_mode current_location share_location sync_device
change_speed""".split()
)
CLINC_DEEDS = set(
    """accept_reservations book_flight book_hotel calendar_update cancel_reservation car_rental change_accent
change_ai_name change_language change_user_name confirm_reservation freeze_account make_call next_song order
order_checks pay_bill pin_change play_music reset_settings restaurant_reservation schedule_maintenance
schedule_meeting shopping_list_update text todo_list_update transfer uber update_playlist find_phone
redeem_rewards report_fraud report_lost_card travel_notification pto_request new_card direct_deposit
insurance_change credit_limit_change flip_coin roll_dice""".split()
)


CLINC_TALK = {
    "greeting": "I am well, thank you. How can I help?",
    "goodbye": "Goodbye.",
    "thank_you": "You are welcome.",
    "what_is_your_name": "I am duet, a small voice on old computers in this house.",
    "who_made_you": "I was trained on this project's own computers by its own scripts.",
    "how_old_are_you": "I was trained on this project's own computers by its own scripts.",
    "who_do_you_work_for": "I was trained on this project's own computers by its own scripts.",
    "where_are_you_from": "I was trained on this project's own computers by its own scripts.",
    "are_you_a_bot": "I am a program, a very small language model on old computers.",
    "what_can_i_ask_you": (
        "I can tell the time and date, set timers, work sums out, set the volume, search your documents and say how the"
        " cluster is."
    ),
    "tell_joke": "Why did the node cross the network? To be on the other side.",
    "yes": "All right.",
    "no": "All right.",
    "maybe": "All right.",
}


class Public:
    """What is taken of CLINC150: questions to say no to, small talk, ways to ask for the time and the date, and words."""

    def __init__(self, path, parts):
        data = json.load(open(path))
        lines = [(plain(text), intent) for part in parts for text, intent in data[part]]
        lines = [(text, intent) for text, intent in lines if len(text.split()) <= 14]
        elsewhere = lambda text: re.search(r"\b(in|timezone|zone|tomorrow|for|days|weeks|year|of)\b", text)
        self.sentences = [re.sub(r"[^a-z' ]", "", text) for text, _ in lines]
        self.sentences = [" ".join(text.split()) for text in self.sentences if text.strip()]
        self.unknown, self.talk, self.asked = [], [], {"time": [], "date": []}
        for text, intent in lines:
            if intent in CLINC_TALK:
                is_hello = intent == "greeting" and not text.startswith(("how", "are"))
                self.talk.append((text, "Hello. What can I do for you?" if is_hello else CLINC_TALK[intent]))
            elif intent in self.asked and not elsewhere(text):
                self.asked[intent].append(text)
            elif intent in ("time", "timezone") and elsewhere(text):
                self.unknown.append((text, P.DUNNO))
            elif intent not in CLINC_KNOWN:
                self.unknown.append((text, P.CANNOT if intent in CLINC_DEEDS else P.DUNNO))


# What training sees of the public set; its test parts stay unseen.
TRAINED = ["train", "oos_train", "oos_val"]


if __name__ == "__main__":
    import sys

    for held in (False, True):
        maker = Maker(1, held, Public(sys.argv[1], TRAINED))
        for _ in range(30):
            print(held, *maker.dialogue(), sep="   ")
