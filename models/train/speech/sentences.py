"""What is said in training: commands and small talk by templates, and short sentences of public text sets.

The words are fixed in words.txt, so that a later run hears the same language. `python sentences.py TEXTS`
writes it anew.
TEXTS is a folder with clinc150_data_full.json, ha-intents-en.tar.gz and chatterbot-english.tar.gz.
"""

import collections
import hashlib
import json
import os
import random
import re
import sys
import tarfile

from intents import Intents

HERE = os.path.dirname(os.path.abspath(__file__))
WORDS_MAX, N_WORDS, FREQUENCY_LEAST = 9, 1174, 3

SLOTS = {
    "room": "kitchen|bedroom|bathroom|living room|office|garage|hall|garden|basement|attic",
    "dev": "light|lights|lamp|fan|heater|radio|music|television|camera|heating|speaker|computer|printer",
    "onoff": "on|off",
    "num": "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
    "|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|a hundred|twenty five|thirty two|zero",
    "unit": "second|seconds|minute|minutes|hour|hours|days",
    "day": "today|tomorrow|tonight|on monday|on tuesday|on wednesday|on thursday|on friday|on saturday|on sunday"
    "|this week|in the morning|this evening|in the afternoon|at night|next month",
    "thing": "milk|bread|eggs|butter|cheese|coffee|tea|sugar|water|apples|rice|soap|onions|tomatoes|potatoes|chicken",
    "color": "red|green|blue|white|yellow|orange|warm|cold|brighter|darker",
    "open": "door|window|gate|blinds|curtains",
    "who": "my mother|my father|my brother|my sister|the doctor|my friend|john|anna|the office|my wife|my husband",
    "topic": "the weather|the time|the date|the news|the temperature|your name|the status|the volume|the forecast",
    "d": "zero|one|two|three|four|five|six|seven|eight|nine",
    "adj": "happy|sad|tired|hungry|bored|busy|fine|ready|sick|cold|sorry|late|right|wrong",
    "genre": "jazz|rock|classical music|a song|the next song|something quiet|the last album|the radio|some music",
    "animal": "dog|cat|horse|bird|fish",
    "place": "home|work|school|the station|the airport|the city|the shop|the bank|the kitchen",
    "node": "node|computer|machine|pc|worker|server",
    "part": "memory|processor|disk|network|fan|temperature|load|uptime|model|voice|microphone|speaker",
}
TEMPLATES = """
turn {onoff} the {dev}|turn {onoff} the {room} {dev}|turn the {room} {dev} {onoff}
switch {onoff} the {dev} in the {room}|please switch the {dev} {onoff}|set the {dev} to {num} percent
make the {room} light {color}|set the {room} to {num} degrees|dim the {room} lights|open the {room} {open}
close the {open}|is the {open} open|is the {room} {open} closed|lock the {room} door
set a timer for {num} {unit}|set a {num} minute timer|start a timer for {num} {unit}|cancel the timer
stop the alarm|wake me up at {num}|set an alarm for {num} {day}|how much time is left
remind me in {num} {unit}|set an alarm for half past {num}|what is {topic}|what's {topic}|tell me {topic}
what is the weather like {day}|will it rain {day}|do i need an umbrella {day}|how warm is it in the {room}
play {genre}|stop the music|pause|next song please|turn it up|turn it down|volume up|volume down
set the volume to {num}|volume {num} percent|louder please|a bit quieter|be quiet|stop talking|never mind
forget it|add {thing} to the shopping list|remove {thing} from my list|what is on my list|buy {num} {thing}
remind me to buy {thing}|call {who}|send a message to {who}|remind me to call {who} {day}
when is {who} coming|{d}|{d} {d}|{d} {d} {d}|{d} {d} {d} {d}|what is {num} plus {num}|{num} minus {num}
{num} times {num}|divide {num} by {num}|hello|hello computer|hey duet|good morning|good evening|good night
how are you|how are you {day}|i am {adj}|i feel very {adj}|thank you|thank you very much|thanks|goodbye
see you tomorrow|yes please|no thanks|yes|no|okay|sorry|maybe|of course|tell me a joke
tell me a story about a {animal}|do you like {thing}|do you have a {animal}|i like {genre}
my {animal} is {adj}|what do you think|who are you|what can you do|where are you|i do not know
say that again|repeat that please|can you help me|help|how far is {place}|how do i get to {place}
i am going to {place} {day}|when does the next train leave|which {node}s are online
how many {node}s are there|is every {node} healthy|how is the cluster|what is the cluster status
how much memory is free|how hot is the {node}|why was that so slow|restart the {node}|show me the {part}
what is the {part}|what time is it|what day is it|what is the date today|how long is left on the timer
list my timers|cancel all timers|remember that my {animal} is called john|what do you know about my {animal}
what did i tell you about {who}|forget that
"""
FLAT = [t.strip() for t in TEMPLATES.replace("\n", "|").split("|") if t.strip()]


def plain(text):
    """Small letters and apostrophes; None where a figure or another sign would have to be spoken."""
    text = re.sub(r"[.,?!;:\"]+", " ", text.lower().replace("’", "'")).replace("-", " ")
    words = " ".join(text.split())
    return words if re.fullmatch(r"[a-z' ]+", words) else None


def public(folder):
    """Two lists of sentences: what may be trained, and the test part of CLINC150, which never is."""
    clinc = json.load(open(os.path.join(folder, "clinc150_data_full.json")))
    train = [s for part in ("train", "val", "oos_train", "oos_val") for s, _ in clinc[part]]
    test = [s for part in ("test", "oos_test") for s, _ in clinc[part]]
    for name in ("ha-intents-en.tar.gz", "chatterbot-english.tar.gz"):
        with tarfile.open(os.path.join(folder, name)) as tar:
            for member in sorted(
                (m for m in tar if m.isfile() and m.name.endswith((".yaml", ".yml"))), key=lambda m: m.name
            ):
                for line in tar.extractfile(member).read().decode("utf8", "replace").splitlines():
                    train.append(re.sub(r"^[\s\-]*(sentences:)?[\s\"'-]*|[\"']\s*$", "", line))
    keep = lambda lines: sorted({p for p in map(plain, lines) if p and 2 <= len(p.split()) <= WORDS_MAX})
    return keep(train), keep(test)


def of_templates():
    words = set()
    for text in FLAT + list(SLOTS.values()):
        words.update(re.sub(r"\{\w+\}|\|", " ", text).split())
    words.update(name + "s" for name in SLOTS["node"].split("|"))
    rng, intents = random.Random(1), Intents()
    for _ in range(6000):
        words.update(intents.draw(rng).split())
    return words


def words():
    return open(os.path.join(HERE, "words.txt")).read().split()


def is_held_out(text):
    """A stable tenth of all sentences with three words or more is never trained."""
    return len(text.split()) >= 3 and int(hashlib.sha256(text.encode()).hexdigest(), 16) % 10 == 0


class Chain:
    """Sentences that nobody wrote: each word follows the two before it as it does somewhere in the public texts."""

    def __init__(self, sentences):
        self.after = collections.defaultdict(list)
        for words in map(str.split, sentences):
            for a, b, c in zip(["", "", *words], ["", *words], [*words, ""]):
                self.after[a, b].append(c)

    def draw(self, rng):
        a, b, out = "", "", []
        while len(out) <= WORDS_MAX:
            a, b = b, rng.choice(self.after[a, b])
            if not b:
                break
            out.append(b)
        return " ".join(out)


class Source:
    """Draws sentences. In training: commands by templates and by the product's own intents, what people said by
    the public texts and by a chain of them, and a few words in no order. In a test: commands and what people said,
    half and half, all of it held out."""

    TRAINING = {"command": 0.25, "intent": 0.12, "talk": 0.25, "chain": 0.25, "words": 0.13}
    TEST = {"command": 0.5, "talk": 0.5}

    def __init__(self, folder, rng, is_test):
        known = set(words())
        train, test = public(folder)
        fits = lambda lines: [s for s in lines if known.issuperset(s.split())]
        self.words, self.rng, self.is_test = words(), rng, is_test
        self.public, self.never = fits(test if is_test else train), set(test)
        self.asked = set()  # A test asks nothing twice.
        self.intents, self.chain = Intents(), Chain(self.public)

    def draw(self):
        """Which kind comes first, so that what is held out does not change their shares."""
        shares = self.TEST if self.is_test else self.TRAINING
        kind = self.rng.choices(list(shares), list(shares.values()))[0]
        while True:
            text = self.of(kind)
            if len(text.split()) <= WORDS_MAX and self.may(kind, text):
                self.asked.add(text)
                return text

    def of(self, kind):
        if kind == "command":
            fill = lambda m: self.rng.choice(SLOTS[m[1]].split("|"))
            return re.sub(r"\{(\w+)\}", fill, self.rng.choice(FLAT))
        if kind == "intent":
            return self.intents.draw(self.rng)
        if kind == "talk":
            return self.rng.choice(self.public)
        if kind == "chain":
            return self.chain.draw(self.rng)
        return " ".join(self.rng.choices(self.words, k=self.rng.randint(1, 4)))

    def may(self, kind, text):
        if self.is_test:
            return text not in self.asked and (kind == "talk" or is_held_out(text))
        return bool(text) and (kind == "words" or not is_held_out(text) and text not in self.never)


if __name__ == "__main__":
    count = collections.Counter(w for s in public(sys.argv[1])[0] for w in s.split())
    chosen = of_templates()
    for word, n in count.most_common():
        if len(chosen) < N_WORDS and n >= FREQUENCY_LEAST and re.fullmatch(r"[a-z]+('[a-z]+)?", word):
            chosen.add(word)
    open(os.path.join(HERE, "words.txt"), "w").write("\n".join(sorted(chosen)) + "\n")
    known = [s for s in public(sys.argv[1])[0] if chosen.issuperset(s.split())]
    print(len(chosen), "words", len(FLAT), "templates", len(known), "public sentences in these words")
