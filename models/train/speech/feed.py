"""Clips as the model hears them: spoiled as a home spoils them, as pictures of the window that the product
would take."""

import glob
import os

import model as M
import numpy as np
from scipy.signal import fftconvolve

# The product's own rule for this model (agent/src/hear/window.rs): a third of a second of silence behind,
# rounded up; here to fewer lengths. Each place costs the same, so a short window is time saved.
MARGIN, WINDOWS = 16, (64, 80, 96, 112, 128, 160, 192, 256)


def load(folder, name, rng=None, n_parts=None):
    """All clips, or those of some parts by chance, as synthesis may still be adding to them; real voices always."""
    paths, clips = sorted(glob.glob(os.path.join(folder, name + ".npz"))), []
    if n_parts and len(paths) > n_parts:
        real = [path for path in paths if path.endswith("_digits.npz")]
        made = [path for path in paths if path not in real]
        paths = [*rng.choice(made, n_parts, replace=False), *real]
    for path in paths:
        z = np.load(path)
        ends = z["ends"]
        pcm = z["pcm"]
        starts = np.concatenate([[0], ends[:-1]])
        clips += [(pcm[a:b], str(t), str(v)) for a, b, t, v in zip(starts, ends, z["text"], z["voice"])]
    return clips


def window(n_samples):
    need = -(-n_samples // M.SAMPLES_PER_CTX) + MARGIN
    return next((c for c in WINDOWS if need <= c), None)


def telephone(x, rng):
    spectrum = np.fft.rfft(x)
    hertz = np.fft.rfftfreq(len(x), 1 / 16000)
    spectrum[(hertz < rng.uniform(200, 400)) | (hertz > rng.uniform(3000, 3800))] = 0
    return np.fft.irfft(spectrum, len(x)).astype(np.float32)


def spoil(pcm, rng, hard):
    """Speed, silence around, a room, a telephone, noise, level. `hard` is 0 to 1. Returns sound and an
    equaliser curve."""
    speed = rng.uniform(1 - 0.15 * hard, 1 + 0.2 * hard)
    n = int(len(pcm) / speed)
    x = np.interp(np.arange(n) * speed, np.arange(len(pcm)), pcm).astype(np.float32) / 32768
    x = np.concatenate(
        [np.zeros(rng.integers(0, 4000), np.float32), x, np.zeros(rng.integers(400, 4000), np.float32)]
    )
    if rng.random() < 0.35 * hard:
        tail = int(rng.uniform(0.03, 0.25) * 16000)
        room = (
            rng.normal(size=tail).astype(np.float32)
            * np.exp(-5 * np.arange(tail) / tail)
            * rng.uniform(0.02, 0.12)
        )
        room[0] = 1
        x = fftconvolve(x, room)[: len(x)].astype(np.float32)
    if rng.random() < 0.12 * hard:
        x = telephone(x, rng)
    noise = rng.normal(size=len(x)).astype(np.float32)
    if rng.random() < 0.5:
        noise = np.convolve(noise, np.ones(rng.integers(2, 12), np.float32), "same")
    snr = rng.uniform(30 - 25 * hard, 45)
    x = x + noise * (np.sqrt((x**2).mean() / (noise**2).mean()) * 10 ** (-snr / 20)).astype(np.float32)
    x *= 10 ** rng.uniform(-1.3, 0) / max(1e-4, np.abs(x).max())
    curve = np.interp(np.arange(80), np.linspace(0, 79, 5), rng.normal(size=5) * 0.35 * hard).astype(
        np.float32
    )
    return x, curve


def patch(mel, n_used, rng, hard):
    """Hides bands and a moment (SpecAugment)."""
    if rng.random() > hard:
        return mel
    mean = mel.mean()
    for _ in range(2):
        width = rng.integers(0, 10)
        first = rng.integers(0, 80 - width)
        mel[:, first : first + width] = mean
    width = rng.integers(0, 12)
    first = rng.integers(0, max(1, n_used - width))
    mel[first : first + width] = mean
    return mel


def batches(clips, targets, filters, size, rng, hard):
    """One round over the clips, batches of one window each; `hard` is asked for every clip."""
    waiting = {c: [] for c in WINDOWS}
    for i in rng.permutation(len(clips)):
        pcm, text, _ = clips[i]
        want, how = targets(text), hard()
        if want is None:
            continue
        x, curve = spoil(pcm, rng, how)
        ctx = window(len(x))
        if ctx is None or 2.1 * np.count_nonzero(want[2]) > ctx:
            continue
        # A second try of the product hears a longer silence.
        if rng.random() < 0.08:
            ctx = next((c for c in WINDOWS if c > ctx), ctx)
        mel = patch(M.log_mel(x, ctx, filters, curve), len(x) // M.HOP, rng, how)
        waiting[ctx].append((mel, *want, ctx))
        if len(waiting[ctx]) == size:
            batch, waiting[ctx] = waiting[ctx], []
            yield [np.array(c, np.float32 if k == 0 else np.int32) for k, c in enumerate(zip(*batch))]
