"""Dialogues of the product's own kind: what is said, and the call or the answer that is right.

Held out: templates by a hash of their text; values by a hash of the value (sums, texts, files, topics,
lengths of two
units). A length of one unit is a thing to know by heart: its numbers are all trained, but in no held-out
template.
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
UNITS = {"second": 1, "minute": 60, "hour": 3600}
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
CHOOSE, PERSON, SAID, ANSWER, END = "<|choose|>", "<|person|>", "<|said|>", "<|answer|>", "<|end|>"


def is_held(text, one_in=8):
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % one_in == 0


def in_words(n):
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (" " + ONES[n % 10] if n % 10 else "")
    return f"{ONES[n // 100]} hundred" + (" " + in_words(n % 100) if n % 100 else "")


def call(tool, **arguments):
    return json.dumps({"tool": tool, "arguments": arguments}, separators=(",", ":"))


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
ASK_AGAIN = "My tools can do that. Please ask again for a tool."


def templates(text, held):
    """Those that are, or are not, held out; where a hash holds none, the last is held out."""
    every = [t.strip() for t in text.replace("\n", "|").split("|") if t.strip()]
    kept = [t for t in every if is_held(t) == held]
    last = every[-1]
    if not any(is_held(t) for t in every):
        kept = [last] if held else [t for t in every if t != last]
    return kept


class Maker:
    """Draws dialogues; `held` ones are of templates and values that training never sees."""

    def __init__(self, seed, held, unknown=()):
        self.rng, self.held, self.unknown = random.Random(seed), held, list(unknown)
        self.cache = {}

    def pick(self, text):
        if text not in self.cache:
            self.cache[text] = templates(text, self.held)
        template = self.rng.choice(self.cache[text])
        some = lambda m: self.rng.choice(m[1].split(","))
        perhaps = lambda m: self.rng.choice(m[1].split(",") + [""])
        said = re.sub(r"\(([^()]*)\)", perhaps, re.sub(r"\[([^\[\]]*)\]", some, template))
        return " ".join(said.split())

    def value(self, values):
        return self.rng.choice([v for v in values if is_held(v, 6) == self.held] or values)

    def number(self, n):
        return str(n) if self.rng.random() < 0.5 else in_words(n)

    def length(self, is_short):
        rng = self.rng
        unit = rng.choice(["second", "minute", "minute", "minute", "hour"])
        most = {"second": 120, "minute": 120, "hour": 24}[unit]
        n = rng.choice([rng.randint(1, most), rng.choice([1, 2, 3, 5, 10, 15, 20, 30, 45])])
        n = min(n, most)
        if is_short:
            return f"{self.number(n)} {unit}", n * UNITS[unit]
        dice = rng.random()
        if dice < 0.12:
            halves = [
                ("half an hour", 1800),
                ("half a minute", 30),
                ("an hour and a half", 5400),
                ("a quarter of an hour", 900),
                ("three quarters of an hour", 2700),
                ("an hour", 3600),
                ("a minute", 60),
                ("two and a half minutes", 150),
                ("one and a half hours", 5400),
            ]
            return rng.choice(halves)
        if dice < 0.3:
            while True:
                large, small = rng.choice([("hour", "minute"), ("minute", "second")])
                a, b = rng.randint(1, 5), rng.choice([5, 10, 15, 20, 30, 40, 45, 50])
                if is_held(f"{a}{large}{b}", 6) == self.held:
                    text = f"{self.number(a)} {large}{'s' * (a > 1)} and {self.number(b)} {small}s"
                    return text, a * UNITS[large] + b * UNITS[small]
        return f"{self.number(n)} {unit}{'s' * (n > 1)}", n * UNITS[unit]

    def sum(self):
        rng = self.rng
        while True:
            a, b = rng.randint(1, rng.choice([20, 100, 999])), rng.randint(1, rng.choice([12, 20, 100, 999]))
            if is_held(f"{a},{b}", 6) == self.held:
                break
        word, sign = rng.choice(
            [
                ("plus", "+"),
                ("minus", "-"),
                ("times", "*"),
                ("divided by", "/"),
                ("multiplied by", "*"),
                ("and", "+"),
            ]
        )
        if rng.random() < 0.12:
            return f"{self.number(min(a, 100))} percent of {self.number(b)}", f"{b}*{min(a, 100)}/100"
        if rng.random() < 0.25 and word != "and":
            return f"{a} {sign} {b}", f"{a}{sign}{b}"
        return f"{self.number(a)} {word} {self.number(b)}", f"{a}{sign}{b}"

    def wish(self):
        """What is said, and the call it means."""
        kind = self.rng.choice(
            [
                "time",
                "date",
                "status",
                "status",
                "timers",
                "timer",
                "timer",
                "timer",
                "volume",
                "sum",
                "sum",
                "say",
                "search",
                "files",
                "read",
                "changes",
                "commits",
            ]
        )
        plain = {
            "time": (P.TIME, "time"),
            "date": (P.DATE, "date"),
            "status": (P.STATUS, "status"),
            "timers": (P.TIMERS, "timers"),
            "files": (P.FILES, "file.list"),
            "changes": (P.CHANGES, "git.status"),
            "commits": (P.COMMITS, "git.log"),
        }
        if kind in plain:
            text, tool = plain[kind]
            return self.pick(text), call(tool)
        if kind == "timer":
            said = self.pick(P.TIMER)
            length, seconds = self.length("{length1}" in said)
            return said.replace("{length1}", length).replace("{length}", length), call(
                "timer", seconds=seconds
            )
        if kind == "volume":
            n = self.rng.randint(0, 100)
            return self.pick(P.VOLUME).replace("{percent}", self.number(n)), call("volume", percent=n)
        if kind == "sum":
            said, sum_ = self.sum()
            return self.pick(P.SUM).replace("{sum}", said), call("calculator", sum=sum_)
        if kind == "say":
            words = self.value(P.WORDS)
            return self.pick(P.SAY).replace("{words}", words), call("say", text=words)
        if kind == "search":
            topic = self.value(P.TOPIC)
            return self.pick(P.SEARCH).replace("{topic}", topic), call("docs.search", query=topic)
        name = self.value(P.FILE) + self.rng.choice([".txt", ".md"])
        return self.pick(P.READ).replace("{file}", name), call("file.read", path=name)

    def unknown_wish(self):
        """What this model cannot know or do: by templates, or of a public set of real questions."""
        if self.unknown and self.rng.random() < 0.6:
            return self.rng.choice(self.unknown)
        answer = self.rng.choice([P.DUNNO, P.DUNNO, P.CANNOT])
        said = self.pick(P.UNKNOWN[answer])
        for slot, values in (("{thing}", P.THING), ("{adjective}", P.ADJECTIVE), ("{person}", P.PERSON)):
            while slot in said:
                said = said.replace(slot, self.value(values), 1)
        return said, answer

    def talk(self):
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
        return rng.choice(some)

    def dialogue(self):
        """(prompt, answer, kind) as the model's own template writes them."""
        rng, dice = self.rng, self.rng.random()
        if dice < 0.52:
            said, wanted = self.wish()
            return f"{CHOOSE}{PERSON} {polite(said, rng)}{ANSWER}", wanted, "call"
        if dice < 0.60:
            said, _ = self.wish()
            told = self.result()
            if rng.random() < 0.3:
                return f"{CHOOSE}{PERSON} {said}{SAID} {told}{ANSWER}", NONE, "after"
            return f"{PERSON} {said}{SAID} {told}{ANSWER}", told, "told"
        if dice < 0.64:
            said, wanted = self.wish()
            short = SHORT.get(json.loads(wanted)["tool"])
            return (
                f"{PERSON} {polite(said, rng)}{ANSWER}",
                f"Say it in short words, such as: {short}." if short else ASK_AGAIN,
                "short",
            )
        said, answer = self.talk() if dice < 0.79 else self.unknown_wish()
        kind = "unknown" if dice >= 0.79 else "talk"
        if rng.random() < 0.25:
            return f"{CHOOSE}{PERSON} {polite(said, rng)}{ANSWER}", NONE, "none"
        return f"{PERSON} {polite(said, rng)}{ANSWER}", answer, kind


def polite(said, rng):
    if rng.random() < 0.08:
        said = (
            rng.choice(["please ", "hey ", "duet ", "computer ", "now ", "so ", "well ", "hey duet "]) + said
        )
    if rng.random() < 0.06:
        said += rng.choice([" please", " now", " for me", " thanks"])
    return said


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


def plain(text):
    return " ".join(re.sub(r"[?!.,;:\"]+", " ", text.lower().replace("’", "'")).split())


def clinc(path, parts):
    """(said, answer) of what this model must say no to; sentences of out-of-scope parts are all questions."""
    data, out = json.load(open(path)), []
    for part in parts:
        for text, intent in data[part]:
            if intent not in CLINC_KNOWN and len(text.split()) <= 12:
                out.append((plain(text), P.CANNOT if intent in CLINC_DEEDS else P.DUNNO))
    return out


if __name__ == "__main__":
    for held in (False, True):
        maker = Maker(1, held)
        for _ in range(14):
            print(held, *maker.dialogue(), sep="   ")
