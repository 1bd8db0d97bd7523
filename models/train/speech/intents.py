"""The product's English intents (agent/intents/en.toml) as a grammar for pocketsphinx (JSGF), and as
sentences drawn at random.

In a phrase (a|b) may be said and [a|b] must be; <number>, <length> and <clock> are spelled out here, and
phrases with
<rest> (anything to the end) are left out, since a grammar cannot hold them.
"""

import os
import re
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
PATH = os.path.join(HERE, "..", "..", "..", "agent", "intents", "en.toml")
# Without apostrophes intents are written; dictionaries have them.
SPELLED = {
    "whats": "what's",
    "todays": "today's",
    "dont": "don't",
    "nevermind": "never mind",
    "oclock": "o'clock",
    "oh": "o",
}


class Intents:
    def __init__(self, path=PATH):
        data = tomllib.load(open(path, "rb"))
        numbers = {w: n for w, n in data["numbers"].items() if w not in ("a", "an", "hundred")}
        ones, tens = (
            [w for w, n in numbers.items() if 0 < n < 10],
            [w for w, n in numbers.items() if n in range(20, 100, 10)],
        )
        length = data["length"]
        units = sorted(
            {
                w
                for u in ("seconds", "minutes", "hours", "days")
                for w in length[u]
                if len(w) > 4 or w == "day"
            }
            | {"hour", "days"}
        )
        clocks = [p for clock in data["clock"] for p in clock["say"]]
        self.rules = {
            "number": [*numbers, f"[{'|'.join(tens)}] [{'|'.join(ones)}]", "a hundred"],
            "unit": units,
            "length": [
                "<number> <unit>",
                "<number> <unit> and <number> <unit>",
                "[a|an] <unit>",
                *length["whole"],
            ],
            "clock": [re.sub(r"<number:\w+>", "<number>", p) for p in clocks],
            "command": [
                p
                for intent in data["intent"]
                for p in intent["say"]
                if "<rest" not in p and "<words" not in p
            ],
        }

    def draw(self, rng, rule="command"):
        """A sentence of the rule; brackets are resolved from the inside out."""
        text = rng.choice(self.rules[rule])
        while m := re.search(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]", text):
            inside = m[1] if m[1] is not None else m[2]
            words = inside.split("|") + ([""] if m[1] is not None else [])
            text = text[: m.start()] + rng.choice(words) + text[m.end() :]
        text = re.sub(r"<(\w+)>", lambda m: self.draw(rng, m[1]), text)
        return " ".join(SPELLED.get(w, w) for w in text.split())

    def jsgf(self):
        def rule(text):
            # JSGF has the brackets the other way round.
            swapped = text.translate(str.maketrans("()[]", "[]()"))
            return re.sub(r"[a-z][a-z']*(?![a-z']*>)", lambda m: SPELLED.get(m[0], m[0]), swapped)

        lines = [
            f"{'public ' * (name == 'command')}<{name}> = {' | '.join(map(rule, said))};"
            for name, said in self.rules.items()
        ]
        return "#JSGF V1.0;\ngrammar duet;\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    import random

    intents, rng = Intents(), random.Random(3)
    print(intents.jsgf()[:3000])
    for _ in range(12):
        print(intents.draw(rng))
