"""Finds what is alike: words alone, letters alone and MiniLM, measured on the same sentences; nothing is
trained here.

usage: compare.py --texts DIR [--url http://127.0.0.1:8098] [--intents 60 --n 240]
A small archive has one sentence of each of some intents of CLINC150; for other sentences of these intents,
is the one
of the same intent found first, or among the first five? The archive is of the validation part, the questions
are of
the test part. For MiniLM start rpc-worker with it at the URL; without --url only the other two are measured.
"""

import argparse
import collections
import json
import math
import os
import random
import re
import time
import urllib.request

import numpy as np


def words(text):
    return re.findall(r"[a-z0-9']+", text.lower())


def letters(text):
    """Three letters in a row, with the borders of words."""
    return [f" {w} "[i : i + 3] for w in words(text) for i in range(len(w))]


class Weighed:
    """BM25 over whatever `parts` makes of a text."""

    def __init__(self, parts, archive):
        self.parts, self.counts = parts, [collections.Counter(parts(text)) for text in archive]
        seen = collections.Counter(part for count in self.counts for part in count)
        n = len(archive)
        self.weight = {part: math.log(1 + (n - k + 0.5) / (k + 0.5)) for part, k in seen.items()}
        self.mean = sum(sum(c.values()) for c in self.counts) / n

    def scores(self, text):
        asked = self.parts(text)
        out = []
        for count in self.counts:
            long = 0.25 + 0.75 * sum(count.values()) / self.mean
            out.append(
                sum(self.weight[p] * count[p] * 2.2 / (count[p] + 1.2 * long) for p in asked if p in count)
            )
        return np.array(out)


def embedded(url, texts):
    out = []
    for at in range(0, len(texts), 16):
        body = json.dumps({"model": "local", "input": texts[at : at + 16]}).encode()
        request = urllib.request.Request(url + "/v1/embeddings", body, {"content-type": "application/json"})
        told = json.load(urllib.request.urlopen(request, timeout=300))["data"]
        out += [one["embedding"] for one in sorted(told, key=lambda one: one["index"])]
    out = np.array(out, np.float32)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def asked_and_archive(data, n_intents, n_asked):
    """The same intents and sentences for whoever compares."""
    rng = random.Random(5)
    intents = sorted(rng.sample(sorted({intent for _, intent in data["val"]}), n_intents))
    archive = [next(text for text, intent in data["val"] if intent == wanted) for wanted in intents]
    return (
        intents,
        archive,
        rng.sample([one for one in map(tuple, data["test"]) if one[1] in intents], n_asked),
    )


def report(name, scores, asked, intents):
    places = []
    for (_, intent), row in zip(asked, scores):
        at = intents.index(intent)
        # Whoever scores the same stands before: words alone often know nothing at all.
        places.append(int((row > row[at]).sum() + (row == row[at]).sum() - 1))
    places = np.array(places)
    print(f"{name}: first {np.mean(places == 0):.3f}, among five {np.mean(places < 5):.3f}", flush=True)


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--texts", required=True)
    cli.add_argument("--url")
    cli.add_argument("--intents", type=int, default=60)
    cli.add_argument("--n", type=int, default=240)
    args = cli.parse_args()
    data = json.load(open(os.path.join(args.texts, "clinc150_data_full.json")))
    intents, archive, asked = asked_and_archive(data, args.intents, args.n)
    texts = [text for text, _ in asked]
    for name, parts in (("words alone", words), ("letters alone", letters)):
        search = Weighed(parts, archive)
        report(name, [search.scores(text) for text in texts], asked, intents)
    if args.url:
        begun = time.time()
        cosines = embedded(args.url, texts) @ embedded(args.url, archive).T
        print(f"{len(archive) + len(asked)} sentences embedded in {time.time() - begun:.0f} s")
        report("the model", cosines, asked, intents)
        search = Weighed(words, archive)
        blended = [row + search.scores(text) / 20 for row, text in zip(cosines, texts)]
        report("the model and words", blended, asked, intents)


if __name__ == "__main__":
    main()
