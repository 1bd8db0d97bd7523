"""A small embedding of our own, for comparison: a vector for each word and each three letters, added up.

usage: own.py --texts DIR [--steps 1500]
Two sentences of one intent of CLINC150 are pulled together, others of the batch pushed away. The intents that
compare.py asks for are never trained, so this is measured on things of which it was told nothing.
"""

import argparse
import json
import os
import random
import zlib

import numpy as np
import scipy.sparse
from compare import Weighed, asked_and_archive, letters, report, words

BUCKETS, WIDTH, BATCH, SHARPNESS = 8192, 96, 96, 12.0


def parts(text):
    return words(text) + letters(text)


def features(texts, weight):
    rows, columns, values = [], [], []
    for row, text in enumerate(texts):
        for part in parts(text):
            rows.append(row)
            columns.append(zlib.crc32(part.encode()) % BUCKETS)
            # What was never seen weighs as much as what was seen once.
            values.append(weight.get(part, max(weight.values())))
    return scipy.sparse.csr_matrix((values, (rows, columns)), (len(texts), BUCKETS), dtype=np.float32)


def unit(x):
    return x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-9)


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--texts", required=True)
    cli.add_argument("--steps", type=int, default=1500)
    args = cli.parse_args()
    data = json.load(open(os.path.join(args.texts, "clinc150_data_full.json")))
    intents, archive, asked = asked_and_archive(data, 60, 240)
    of_intent = {}
    for text, intent in data["train"]:
        if intent not in intents:
            of_intent.setdefault(intent, []).append(text)
    known, rng = sorted(of_intent), random.Random(3)
    every = [text for intent in known for text in of_intent[intent]]
    weight = Weighed(parts, every).weight
    at = {text: i for i, text in enumerate(every)}
    x = features(every, weight)
    table = np.random.default_rng(1).normal(size=(BUCKETS, WIDTH)).astype(np.float32) * 0.1
    m, v = np.zeros_like(table), np.zeros_like(table)
    for step in range(1, args.steps + 1):
        chosen = rng.sample(known, min(BATCH, len(known)))
        pairs = [rng.sample(of_intent[intent], 2) for intent in chosen]
        sides = [x[[at[pair[k]] for pair in pairs]] for k in (0, 1)]
        raw = [side @ table for side in sides]
        a, b = unit(raw[0]), unit(raw[1])
        odds = np.exp(SHARPNESS * (a @ b.T - 1))
        pull = SHARPNESS * (odds / odds.sum(1, keepdims=True) - np.eye(len(a))) / len(a)
        slope = 0
        for side, one, of, gradient in ((sides[0], a, raw[0], pull @ b), (sides[1], b, raw[1], pull.T @ a)):
            along = (gradient * one).sum(1, keepdims=True)
            slope = slope + side.T @ ((gradient - along * one) / np.linalg.norm(of, axis=1, keepdims=True))
        m, v = 0.9 * m + 0.1 * slope, 0.99 * v + 0.01 * slope * slope
        rate = 0.01 * (1 - step / args.steps)
        table -= (rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.99**step)) + 1e-8)).astype(np.float32)
        if step in (1, args.steps):
            print(
                f"step {step}: {np.mean(odds.argmax(1) == np.arange(len(a))):.2f} of the pairs find each other"
            )
    texts = [text for text, _ in asked]
    cosines = unit(features(texts, weight) @ table) @ unit(features(archive, weight) @ table).T
    report(f"own, {BUCKETS} x {WIDTH}", cosines, asked, intents)
    search = Weighed(words, archive)
    blended = [row + search.scores(text) / 20 for row, text in zip(cosines, texts)]
    report("own and words", blended, asked, intents)


if __name__ == "__main__":
    main()
