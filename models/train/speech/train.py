"""Step 2: trains the model; attention loss, and CTC loss over phonemes that helps the encoder. Writes
W/model.pkl.

usage: train.py --work W --head GGML --seconds 3000 [--start GGML_MODEL] [--resume]
--start takes the weights of an earlier model of the same shape; without it all weights are random.
--resume goes on from W/state.pkl, which is written every two minutes. JAX takes an accelerator where there
is one.
"""

import argparse
import json
import os
import pickle
import subprocess
import time

import feed
import ggml
import jax
import jax.numpy as jnp
import model as M
import numpy as np
from score import edits
from sentences import words

TOKENS_MAX, PHONES_MAX = 18, 72


class Words:
    """Words as tokens of whisper's vocabulary, and as phonemes of espeak-ng."""

    def __init__(self, tokens):
        self.words = words()
        known = {t: i for i, t in enumerate(tokens)}
        self.spelled = {w: self.spell(w, known) for w in self.words}
        self.used = sorted({t for s in self.spelled.values() for t in s} | {M.EOT, M.SOT, M.NO_TIMESTAMPS})
        self.row = {t: i for i, t in enumerate(self.used)}
        self.piece = {self.row[t]: tokens[t].decode("utf8", "replace") for t in self.used if t < M.EOT}
        asked = subprocess.run(
            ["espeak-ng", "-q", "--ipa", "-v", "en-us"],
            input="\n\n".join(self.words) + "\n",
            capture_output=True,
            check=True,
            text=True,
        )
        lines = [line for line in asked.stdout.split("\n") if line.strip()]
        assert len(lines) == len(self.words), "espeak-ng says one line a word"
        self.sound = {w: [c for c in line if c.isalpha() and c != "ː"] for w, line in zip(self.words, lines)}
        self.phones = ["<blank>", "|"] + sorted({c for s in self.sound.values() for c in s})
        self.phone = {c: i for i, c in enumerate(self.phones)}

    @staticmethod
    def spell(word, known):
        """' word' as few tokens as possible; the longest known piece first."""
        rest, out = (" " + word).encode(), []
        while rest:
            k = next(k for k in range(len(rest), 0, -1) if rest[:k] in known)
            out.append(known[rest[:k]])
            rest = rest[k:]
        return out

    def targets(self, text):
        """What goes in, what comes out, and the phonemes; None for a text that is too long."""
        ids = [self.row[t] for w in text.split() for t in self.spelled[w]]
        x = [self.row[M.SOT], self.row[M.NO_TIMESTAMPS], *ids]
        y = [-1, *ids, self.row[M.EOT]]
        phones = [1] + [i for w in text.split() for i in [self.phone[c] for c in self.sound[w]] + [1]]
        if len(x) > TOKENS_MAX or len(phones) > PHONES_MAX:
            return None
        pad = TOKENS_MAX - len(x)
        return x + [self.row[M.EOT]] * pad, y + [-1] * pad, phones + [0] * (PHONES_MAX - len(phones))


def losses(p, heads, sinus, ctc_weight, mel, x, y, phones, frames):
    audio = M.encode(p, mel, heads, sinus)
    logits = M.decode(p, x, audio, heads)
    known = y >= 0
    logp = jax.nn.log_softmax(logits, -1)
    at = -jnp.take_along_axis(logp, jnp.maximum(y, 0)[..., None], -1)[..., 0]
    smooth = -logp[..., :-1].mean(-1)
    att = ((0.95 * at + 0.05 * smooth) * known).sum() / known.sum()
    # A weight of nothing is known when it is compiled, and leaves it out.
    ctc = M.ctc_loss(M.linear(audio, p["ctc"]), phones, frames).mean() if ctc_weight is not None else 0.0
    hits = ((logits.argmax(-1) == y) & known).sum() / known.sum()
    return att if ctc_weight is None else att + ctc_weight * ctc, jnp.stack([att, ctc, hits])


def make_update(heads, sinus):
    @jax.jit
    def update(p, m, v, step, rate, ctc_weight, *batch):
        (_, told), g = jax.value_and_grad(losses, has_aux=True)(p, heads, sinus, ctc_weight, *batch)
        norm = jnp.sqrt(sum((x**2).sum() for x in jax.tree.leaves(g)))
        g = jax.tree.map(lambda x: x / jnp.maximum(1, norm), g)
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.98 * a + 0.02 * b * b, v, g)
        c1, c2 = 1 - 0.9**step, 1 - 0.98**step
        move = lambda w, a, b: w - rate * ((a / c1) / (jnp.sqrt(b / c2) + 1e-8) + 0.01 * w * (w.ndim > 1))
        return jax.tree.map(move, p, m, v), m, v, told

    return update


class Judge:
    def __init__(self, book, heads, sinus, filters):
        self.book, self.filters = book, filters
        self.encode = jax.jit(lambda p, mel: M.encode(p, mel, heads, sinus))
        self.decode = jax.jit(lambda p, x, audio: M.decode(p, x, audio, heads).argmax(-1))

    def word_errors(self, p, clips):
        n_errors = n_words = 0
        end = self.book.row[M.EOT]
        clips = sorted(clips, key=lambda clip: len(clip[0]))
        for at in range(0, len(clips), 20):
            part = clips[at : at + 20]
            window = feed.window(1600 + len(part[-1][0])) or feed.WINDOWS[-1]
            sound = lambda pcm: np.concatenate([np.zeros(1600, np.float32), pcm.astype(np.float32) / 65536])
            mel = np.stack(
                [
                    M.log_mel(sound(pcm), window, self.filters)
                    for pcm, _, _ in part + part[:1] * (20 - len(part))
                ]
            )
            audio = self.encode(p, mel)
            x = np.full((20, TOKENS_MAX), end, np.int32)
            x[:, 0], x[:, 1] = self.book.row[M.SOT], self.book.row[M.NO_TIMESTAMPS]
            for k in range(2, TOKENS_MAX):
                x[:, k] = np.asarray(self.decode(p, x, audio))[:, k - 1]
            for ids, (_, text, _) in zip(x[:, 2:], part):
                said = list(ids[: list(ids).index(end)]) if end in ids else list(ids)
                got = "".join(self.book.piece.get(t, "") for t in said).split()
                n_errors, n_words = n_errors + edits(got, text.split()), n_words + len(text.split())
        return round(n_errors / n_words, 3)


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--work", required=True)
    cli.add_argument("--head", required=True)
    cli.add_argument("--seconds", type=float, default=3000)
    cli.add_argument("--state", type=int, default=128)
    cli.add_argument("--heads", type=int, default=4)
    cli.add_argument("--batch", type=int, default=16)
    cli.add_argument("--rate", type=float, default=1e-3)
    cli.add_argument(
        "--ctc", type=float, default=0.5, help="0 leaves the phonemes away, for a short continuation"
    )
    cli.add_argument("--hard", type=float, default=1.0, help="how spoiled clips get; less where time is short")
    cli.add_argument("--judge-every", type=float, default=500)
    cli.add_argument("--start")
    cli.add_argument("--resume", action="store_true")
    args = cli.parse_args()
    to = lambda name: os.path.join(args.work, name)
    jax.config.update("jax_compilation_cache_dir", to("compiled"))
    rng = np.random.default_rng(5)
    filters, tokens, _ = M.ggml_head(args.head)
    book, sinus = Words(tokens), M.sinusoids(1500, args.state)
    update, judge = make_update(args.heads, sinus), Judge(book, args.heads, sinus, filters)
    tests = {name: feed.load(args.work, name) for name in ("seen", "newvoice", "slt", "hts", "digits")}
    p = M.init(rng, args.state, len(book.used) + 1, len(book.phones), None if args.start else args.heads)
    p = ggml.start_from(args.start, p, book.used) if args.start else p
    p = jax.tree.map(jnp.asarray, p)
    m = v = jax.tree.map(jnp.zeros_like, p)
    step, n_clips, spent = 0, 0, 0.0
    if args.resume and os.path.exists(to("state.pkl")):
        p, m, v, step, n_clips, spent = pickle.load(open(to("state.pkl"), "rb"))
    print(
        "words",
        len(book.words),
        "tokens",
        len(book.used),
        "phones",
        len(book.phones),
        "parameters",
        sum(x.size for x in jax.tree.leaves(p)),
        flush=True,
    )
    recent, begun, next_judged, next_saved = [], time.time() - spent, spent + args.judge_every, spent + 120

    def save():
        plain = lambda tree: jax.tree.map(np.asarray, tree)
        for name, what in (
            ("state", (plain(p), plain(m), plain(v), step, n_clips, spent)),
            ("model", {"p": plain(p), "used": book.used, "heads": args.heads}),
        ):
            pickle.dump(what, open(to(name + ".tmp"), "wb"))
            os.rename(to(name + ".tmp"), to(name + ".pkl"))

    def report(n):
        att, ctc, hit = np.mean(np.array(recent[-100:]), 0)
        line = {
            "s": round(spent),
            "step": step,
            "clips": n_clips,
            "att": round(float(att), 3),
            "ctc": round(float(ctc), 3),
            "hit": round(float(hit), 3),
        }
        if n:
            line["word_errors"] = {name: judge.word_errors(p, clips[:n]) for name, clips in tests.items()}
        print(json.dumps(line), flush=True)
        open(to("log.jsonl"), "a").write(json.dumps(line) + "\n")

    # An earlier model hears already; random weights need soft clips first.
    rising = lambda: 0.3 + spent / 300 if args.start else spent / args.seconds / 0.3
    hard = lambda: min(args.hard, rising())
    while spent < args.seconds:
        clips = feed.load(args.work, "train_*")
        for batch in feed.batches(clips, book.targets, filters, args.batch, rng, hard):
            share = spent / args.seconds
            rate = args.rate * min(1, (step + 1) / 150) * max(0.02, 0.5 * (1 + np.cos(np.pi * share)))
            step, n_clips = step + 1, n_clips + args.batch
            p, m, v, told = update(
                p,
                m,
                v,
                float(step),
                float(rate),
                float(args.ctc * (1.2 - share)) if args.ctc else None,
                *batch,
            )
            recent.append(np.asarray(told))
            spent = time.time() - begun
            if step in (1, 5, 20) or step % 100 == 0:
                report(0)
            if spent > next_judged:
                report(40)
                next_judged = time.time() - begun + args.judge_every
            if spent > next_saved:
                save()
                next_saved = spent + 120
            if spent > args.seconds:
                break
    save()
    report(120)


if __name__ == "__main__":
    main()
