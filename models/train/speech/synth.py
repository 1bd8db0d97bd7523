"""Step 1: speaks sentences with the voices of several programs; adds real digits. Writes npz files of clips.

usage: synth.py --texts DIR --digits DIR --out W [--train 9000 --test 120]
Needs espeak-ng, flite, festival with festvox-kdlpc16k and festvox-us-slt-hts; hibari (PyPI) where it is
installed.
Training is written in parts of 1,000 clips, so that training can begin with the first; parts that are there
stay.
Test sets, all of sentences that are never trained:
  seen     voices that are trained
  newvoice espeak-ng variants that are never trained
  slt      flite's slt, a speaker who is never trained, by a program that is
  hts      festival's slt of the HTS kind: speaker and kind of synthesis are never trained
  digits   a real speaker, theo, who is never trained
"""

import argparse
import glob
import os
import random
import subprocess
import tempfile

import numpy as np
import soundfile
from scipy.signal import resample_poly
from sentences import Source, public

ACCENTS = ["en-us", "en-us", "en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland"]
VARIANTS = (
    "|+m1|+m2|+m3|+m4|+m5|+m6|+m8|+f1|+f2|+f3|+f5|+linda|+adam|+max|+john|+Annie|+Alicia|+Gene"
    "|+Lee|+belinda|+robert|+anika|+travis|+edward"
).split("|")
NEW_VARIANTS = ["+f4", "+m7", "+steph", "+Andy", "+caleb", "+Andrea"]
RATE, PLACE, PLACES_MAX, PART = 16000, 320, 190, 1000
TMP = os.path.join(tempfile.mkdtemp(), "x.wav")


def to16k(pcm, rate):
    g = np.gcd(rate, RATE)
    return pcm if rate == RATE else resample_poly(pcm, RATE // g, rate // g)


def trim(pcm):
    loud = np.nonzero(np.abs(pcm) > 0.01 * max(1e-6, np.abs(pcm).max()))[0]
    return pcm[max(0, loud[0] - 320) : loud[-1] + 800] if len(loud) else pcm[:0]


def spoken(command):
    subprocess.run(command, check=True, capture_output=True)
    return to16k(*soundfile.read(TMP, dtype="float32"))


def espeak(text, rng, variants=VARIANTS):
    voice = rng.choice(ACCENTS) + rng.choice(variants)
    return spoken(
        [
            "espeak-ng",
            "-v",
            voice,
            "-s",
            str(rng.randint(140, 210)),
            "-p",
            str(rng.randint(20, 80)),
            "-w",
            TMP,
            text,
        ]
    )


def flite(text, rng, voices=("awb", "rms", "kal16")):
    voice = rng.choice(voices)
    command = [
        "flite",
        "-voice",
        voice,
        "--setf",
        f"duration_stretch={rng.uniform(0.75, 1.15):.2f}",
        "-t",
        text,
        "-o",
        TMP,
    ]
    if voice != "awb" and rng.random() < 0.6:
        mean = 180 if voice == "slt" else 105
        command[3:3] = ["--setf", f"int_f0_target_mean={mean * rng.uniform(0.85, 1.5):.0f}"]
    return spoken(command)


class Festival:
    """One process that speaks one sentence after the other."""

    def __init__(self, voice):
        self.run = subprocess.Popen(
            ["festival", "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.run.stdin.write(f"({voice})\n")

    def __call__(self, text, rng):
        stretch = rng.uniform(0.8, 1.15)
        self.run.stdin.write(f"(Parameter.set 'Duration_Stretch {stretch:.2f})\n")
        self.run.stdin.write(
            f'(utt.save.wave (utt.synth (Utterance Text "{text}")) "{TMP}" \'riff)\n'
            '(print "spoken")\n(fflush nil)\n'
        )
        self.run.stdin.flush()
        while "spoken" not in (line := self.run.stdout.readline()):
            assert line, "festival ended; are its voices installed?"
        return to16k(*soundfile.read(TMP, dtype="float32"))


def hibari():
    try:
        from hibari import Hibari
    except ImportError:
        print("hibari is not installed; its voice is left out")
        return None
    voice = Hibari()
    return lambda text, rng: resample_poly(
        voice(text, speed=rng.uniform(0.85, 1.25), seed=rng.randint(0, 999)), 2, 3
    )


def save(path, items):
    pcm = [(p / max(1e-4, np.abs(p).max()) * 30000).astype(np.int16) for p, _, _ in items]
    ends, seconds = np.cumsum([len(p) for p in pcm]), sum(map(len, pcm)) / RATE
    np.savez(
        path + ".tmp.npz",
        pcm=np.concatenate(pcm),
        ends=ends,
        text=[t for _, t, _ in items],
        voice=[v for _, _, v in items],
    )
    os.rename(path + ".tmp.npz", path)
    print(os.path.basename(path), len(items), f"clips, mean {seconds / len(items):.2f} s", flush=True)


def draw(n, source, voices, rng):
    """voices: (name, weight, speak) each."""
    items = []
    while len(items) < n:
        name, _, speak = rng.choices(voices, [v[1] for v in voices])[0]
        text = source.draw()
        pcm = trim(speak(text, rng))
        if 2400 <= len(pcm) <= PLACES_MAX * PLACE:
            items.append((pcm, text, name))
    return items


def write_clips(folder, sets):
    """The test sets as files, commands apart from talk, for `agent transcribe` and score.py."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "transcripts.tsv"), "w") as tsv:
        for name, (path, said) in sets.items():
            z = np.load(path)
            starts = np.concatenate([[0], z["ends"][:-1]])
            for k, (a, b, text) in enumerate(zip(starts, z["ends"], z["text"])):
                kind = "real" if name == "digits" else "talk" if text in said else "commands"
                clip = f"{name}-{kind}_{k:03}.wav"
                soundfile.write(os.path.join(folder, clip), z["pcm"][a:b] // 2, RATE, subtype="PCM_16")
                tsv.write(f"{clip}\t{text}\n")


def digits(folder, speakers):
    names = "zero one two three four five six seven eight nine".split()
    paths = [
        p
        for p in sorted(glob.glob(os.path.join(folder, "*.wav")))
        if os.path.basename(p).split("_")[1] in speakers
    ]
    read = lambda p: trim(to16k(*soundfile.read(p, dtype="float32")))
    return [
        (read(p), names[int(os.path.basename(p)[0])], "real " + os.path.basename(p).split("_")[1])
        for p in paths
    ]


def main():
    cli = argparse.ArgumentParser()
    for name in ("--texts", "--digits", "--out"):
        cli.add_argument(name, required=True)
    cli.add_argument("--train", type=int, default=9000)
    cli.add_argument("--test", type=int, default=120)
    args = cli.parse_args()
    os.makedirs(args.out, exist_ok=True)
    to = lambda name: os.path.join(args.out, name + ".npz")
    voices = [("espeak", 0.5, espeak), ("flite", 0.25, flite), ("ked", 0.08, Festival("voice_ked_diphone"))]
    neural = hibari()
    voices += [("hibari", 0.17, neural)] if neural else []
    tests = {
        "seen": voices,
        "newvoice": [("espeak new", 1, lambda t, r: espeak(t, r, NEW_VARIANTS))],
        "slt": [("flite slt", 1, lambda t, r: flite(t, r, ["slt"]))],
        "hts": [("festival hts", 1, Festival("voice_cmu_us_slt_arctic_hts"))],
    }
    if not os.path.exists(to("digits")):
        save(to("digits"), digits(args.digits, ["theo"])[::2])
        save(to("train_digits"), digits(args.digits, ["george", "jackson"]))
    rng = random.Random(11)
    for name, of in tests.items():
        if not os.path.exists(to(name)):
            save(to(name), draw(args.test, Source(args.texts, rng, True), of, rng))
    said = set(public(args.texts)[1])
    write_clips(os.path.join(args.out, "held-out"), {name: (to(name), said) for name in [*tests, "digits"]})
    for part in range(args.train // PART):
        rng = random.Random(100 + part)
        if not os.path.exists(to(f"train_{part:02}")):
            save(to(f"train_{part:02}"), draw(PART, Source(args.texts, rng, False), voices, rng))


if __name__ == "__main__":
    main()
