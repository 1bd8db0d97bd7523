"""Step 2: trains the model; attention loss, and CTC loss over phonemes that helps the encoder. Writes
W/model.pkl.

usage: train.py --work W --head GGML --seconds 3000 [--start GGML_MODEL] [--resume] [--worker K --workers N]
--start takes the weights of an earlier model of the same shape; without it all weights are random.
--resume goes on from W/state.pkl, which is written every two minutes. JAX takes an accelerator where there
is one.
Several workers, one for each core, hear different clips and every few seconds take the mean of their weights;
nobody waits for another. `train.sh` starts them.
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
# Parts of a thousand clips that a round hears.
ROUND_PARTS = 10
# Steps after which a worker takes the mean with the others.
MEAN_EVERY = 50


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


def orthogonal(g):
    """The matrix nearest to g whose singular values are about one: five Newton-Schulz steps (Muon)."""
    x = g if g.shape[0] <= g.shape[1] else g.T
    x = x / (jnp.sqrt((x**2).sum()) + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
    return x if g.shape[0] <= g.shape[1] else x.T


def is_inner(path, w):
    """Matrices between hidden layers; tables of rows and the phonemes' head are no such."""
    return w.ndim == 2 and not {"emb", "pos", "ctc"} & {getattr(key, "key", None) for key in path}


def make_update(heads, sinus):
    """Muon for the inner matrices, Adam for the rest; one rate serves both, as Muon's step is scaled to Adam's."""

    @jax.jit
    def update(p, m, v, step, rate, ctc_weight, *batch):
        (_, told), g = jax.value_and_grad(losses, has_aux=True)(p, heads, sinus, ctc_weight, *batch)
        norm = jnp.sqrt(sum((x**2).sum() for x in jax.tree.leaves(g)))
        g = jax.tree.map(lambda x: x / jnp.maximum(1, norm), g)
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.98 * a + 0.02 * b * b, v, g)
        c1, c2 = 1 - 0.9**step, 1 - 0.98**step

        def move(path, w, a, b, now):
            if is_inner(path, w):
                turn = 0.2 * max(w.shape) ** 0.5 * orthogonal(0.9 * a + 0.1 * now)
            else:
                turn = (a / c1) / (jnp.sqrt(b / c2) + 1e-8)
            return w - rate * (turn + 0.01 * w * (w.ndim > 1))

        return jax.tree_util.tree_map_with_path(move, p, m, v, g), m, v, told

    return update


class Others:
    """Workers beside this one, by files: each writes its weights, and takes the mean with what the others wrote last."""

    def __init__(self, folder, worker, n_workers):
        self.path = lambda k: os.path.join(folder, f"worker_{k}.pkl")
        self.worker, self.others = worker, [k for k in range(n_workers) if k != worker]
        self.seen = {k: self.written(k) for k in self.others}

    def written(self, k):
        return os.stat(self.path(k)).st_mtime_ns if os.path.exists(self.path(k)) else 0

    def mean(self, p):
        if not self.others:
            return p
        tmp = self.path(self.worker) + ".tmp"
        pickle.dump(jax.tree.map(np.asarray, p), open(tmp, "wb"))
        os.rename(tmp, self.path(self.worker))
        fresh = [k for k in self.others if self.written(k) > self.seen[k]]
        self.seen |= {k: self.written(k) for k in fresh}
        theirs = [pickle.load(open(self.path(k), "rb")) for k in fresh]
        return jax.tree.map(lambda *all: sum(all) / len(all), p, *theirs)


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
    cli.add_argument("--worker", type=int, default=0)
    cli.add_argument("--workers", type=int, default=1)
    args = cli.parse_args()
    to = lambda name: os.path.join(args.work, name)
    jax.config.update("jax_compilation_cache_dir", to("compiled"))
    rng = np.random.default_rng(5 + args.worker)
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
    others, is_first = Others(args.work, args.worker, args.workers), args.worker == 0
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
        clips = feed.load(args.work, "train_*", rng, ROUND_PARTS)
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
            if step % MEAN_EVERY == 0:
                p = others.mean(p)
            spent = time.time() - begun
            if step in (1, 5, 20) or step % 100 == 0:
                report(0)
            if is_first and spent > next_judged:
                report(40)
                next_judged = time.time() - begun + args.judge_every
            if is_first and spent > next_saved:
                save()
                next_saved = spent + 120
            if spent > args.seconds:
                break
    p = others.mean(p)
    if is_first:
        save()
        report(120)


if __name__ == "__main__":
    main()
