"""Trains the language model on dialogues that are drawn anew for every batch. Writes W/model.gguf and
W/log.jsonl.

usage: train.py --texts DIR --work W --seconds 1500 [--resume]
W must hold tokens.model (tokens.py). State is kept every minute. JAX takes an accelerator where there is one.
Matrices learn by Muon (momentum made orthogonal), which needs about half the dialogues of Adam; the rest by
Adam.
"""

import argparse
import json
import os
import pickle
import time

import jax
import jax.numpy as jnp
import model as M
import numpy as np
import tokens
from dialogues import Maker

ROW, ROWS, PROMPT_WEIGHT = 112, 15, 0.05


def loss(p, ids, group, weight):
    logp = jax.nn.log_softmax(M.logits(p, ids[:, :-1], group[:, :-1]), -1)
    at = jnp.take_along_axis(logp, ids[:, 1:, None], -1)[..., 0]
    hits = (logp.argmax(-1) == ids[:, 1:]) & (weight[:, 1:] == 1)
    told = hits.sum() / (weight[:, 1:] == 1).sum()
    return -(at * weight[:, 1:]).sum() / weight[:, 1:].sum(), told


def orthogonal(g):
    """Newton-Schulz, five rounds, for a stack of matrices; the numbers are Muon's."""
    x = (g / (jnp.sqrt((g**2).sum((-2, -1), keepdims=True)) + 1e-7)).astype(M.FAST)
    is_tall = g.shape[-2] > g.shape[-1]
    x = x.swapaxes(-2, -1) if is_tall else x
    for _ in range(5):
        a = x @ x.swapaxes(-2, -1)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    x = x.swapaxes(-2, -1) if is_tall else x
    return x.astype(g.dtype) * max(1, g.shape[-1] / g.shape[-2]) ** 0.5


@jax.jit
def update(p, m, v, step, rate, *batch):
    """`rate` is 1 at its peak and falls."""
    (value, told), g = jax.value_and_grad(loss, has_aux=True)(p, *batch)

    def move(w, g, m, v):
        if w.ndim == 3:
            m = 0.95 * m + g
            return w - 0.004 * rate * orthogonal(g + 0.95 * m), m, v
        m, v = 0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g * g
        return w - 2e-3 * rate * (m / (1 - 0.9**step)) / (jnp.sqrt(v / (1 - 0.98**step)) + 1e-8), m, v

    moved = jax.tree.map(move, p, g, m, v)
    pick = lambda i: jax.tree.map(lambda three: three[i], moved, is_leaf=lambda x: isinstance(x, tuple))
    return pick(0), pick(1), pick(2), jnp.stack([value, told])


def batches(maker, book):
    """Rows filled with whole dialogues one after the other."""
    rows, row = [], ([], [], [])
    while True:
        prompt, answer, _ = maker.dialogue()
        start, ids = tokens.dialogue(book, prompt, answer)
        if len(start) + len(ids) > ROW:
            continue
        if len(row[0]) + len(start) + len(ids) > ROW:
            pad = ROW - len(row[0])
            rows.append((row[0] + [0] * pad, row[1] + [-1] * pad, row[2] + [0.0] * pad))
            row = ([], [], [])
        group = row[1][-1] + 1 if row[1] else 0
        row[0].extend(start + ids)
        row[1].extend([group] * (len(start) + len(ids)))
        # The first token of all follows nothing of its own dialogue.
        row[2].extend([0.0] + [PROMPT_WEIGHT] * (len(start) - 1) + [1.0] * len(ids))
        if len(rows) == ROWS:
            batch, rows = rows, []
            yield tuple(np.array([r[k] for r in batch], np.float32 if k == 2 else np.int32) for k in range(3))


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--texts", required=True)
    cli.add_argument("--work", required=True)
    cli.add_argument("--seconds", type=float, default=1500)
    cli.add_argument("--resume", action="store_true")
    args = cli.parse_args()
    to, book = lambda name: os.path.join(args.work, name), tokens.load(args.work)
    jax.config.update("jax_compilation_cache_dir", to("compiled"))
    known = tokens.public(args.texts)
    p = jax.tree.map(jnp.asarray, M.init(np.random.default_rng(7), len(tokens.pieces(book))))
    m = v = jax.tree.map(jnp.zeros_like, p)
    step, spent = 0, 0.0
    if args.resume and os.path.exists(to("state.pkl")):
        p, m, v, step, spent = pickle.load(open(to("state.pkl"), "rb"))
    feed, held = batches(Maker(1000 + step, False, known), book), batches(Maker(2, True, known), book)
    look = jax.jit(lambda p, *batch: jnp.stack(loss(p, *batch)))
    print("parameters", sum(x.size for x in jax.tree.leaves(p)), flush=True)
    begun, saved, recent = time.time() - spent, spent, []

    def save():
        plain = lambda tree: jax.tree.map(np.asarray, tree)
        pickle.dump((plain(p), plain(m), plain(v), step, spent), open(to("state.tmp"), "wb"))
        os.rename(to("state.tmp"), to("state.pkl"))
        M.write(to("model.gguf"), plain(p), tokens.pieces(book))

    while spent < args.seconds:
        share = spent / args.seconds
        rate = min(1, (step + 1) / 30) * min(1, max(0.02, 1.5 * (1 - share)))
        step += 1
        p, m, v, told = update(p, m, v, float(step), float(rate), *next(feed))
        recent.append(np.asarray(told))
        spent = time.time() - begun
        if step in (1, 20, 50) or step % 50 == 0:
            unseen = np.mean([np.asarray(look(p, *next(held))) for _ in range(4)], 0)
            now = np.mean(recent[-50:], 0)
            line = {
                "s": round(spent),
                "cpu_s": round(time.process_time()),
                "step": step,
                "loss": round(float(now[0]), 4),
                "token": round(float(now[1]), 4),
                "held_loss": round(float(unseen[0]), 4),
                "held_token": round(float(unseen[1]), 4),
            }
            print(json.dumps(line), flush=True)
            open(to("log.jsonl"), "a").write(json.dumps(line) + "\n")
        if spent - saved > 60:
            save()
            saved = spent
    save()


if __name__ == "__main__":
    main()
