"""The second engine, measured: pocketsphinx with the intents as its grammar, and with rejection of what is
not in it.

usage: sphinx.py --work W [--n 50] [--free]
W is synth.py's folder. Clips of commands are spoken once into W/commands_*.npz; what is outside of the
grammar is the
public sentences of W's test sets. A clip is refused where the grammar fits its sound badly: its score for each 10 ms.
With --free the score of free phonemes is taken off before, which is fairer and costs ten times the time.
The limit is chosen on every second clip and reported on the others.
Also writes W/clips/*.wav with W/clips/transcripts.tsv, so that a whisper model can be measured on the same
clips.
"""

import argparse
import os
import random
import re
import subprocess
import tempfile

import feed
import numpy as np
import soundfile
import synth
from intents import Intents
from score import edits

MODEL = "/usr/share/pocketsphinx/model/en-us"


def commands(work, n):
    """Commands by voices that no model of ours was trained with."""
    hts = None
    for name in ("newvoice", "slt", "hts"):
        path = os.path.join(work, f"commands_{name}.npz")
        if os.path.exists(path):
            continue
        rng, items, intents = random.Random(name), [], Intents()
        hts = hts or synth.Festival("voice_cmu_us_slt_arctic_hts")
        speak = {
            "newvoice": lambda t: synth.espeak(t, rng, synth.NEW_VARIANTS),
            "slt": lambda t: synth.flite(t, rng, ["slt"]),
            "hts": lambda t: hts(t, rng),
        }[name]
        while len(items) < n:
            text = intents.draw(rng)
            pcm = synth.trim(speak(text))
            if 2400 <= len(pcm) <= synth.PLACES_MAX * synth.PLACE:
                items.append((pcm, text, name))
        synth.save(path, items)


def run(folder, names, more):
    """Hypothesis and score of each clip."""
    control, told = os.path.join(folder, "control"), os.path.join(folder, "told")
    open(control, "w").write("\n".join(names) + "\n")
    command = [
        "pocketsphinx_batch",
        "-hmm",
        MODEL + "/en-us",
        "-dict",
        os.path.join(folder, "dict"),
        "-cepdir",
        folder,
        "-cepext",
        ".wav",
        "-adcin",
        "yes",
        "-adchdr",
        "44",
        "-ctl",
        control,
        "-hyp",
        told,
        "-logfn",
        os.path.join(folder, "log"),
        *more,
    ]
    subprocess.run(command, check=True)
    out = {}
    for line in open(told):
        m = re.match(r"(.*?) ?\((\S+) (-?\d+)\)$", line.strip())
        out[m[2]] = (m[1].strip(), int(m[3]))
    return out


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--work", required=True)
    cli.add_argument("--n", type=int, default=50)
    cli.add_argument("--free", action="store_true")
    args = cli.parse_args()
    commands(args.work, args.n)
    folder = os.path.join(args.work, "clips")
    os.makedirs(folder, exist_ok=True)
    clips, sets = {}, {}
    for name in ("newvoice", "slt", "hts"):
        inside = feed.load(args.work, f"commands_{name}")[: args.n]
        outside = [c for c in feed.load(args.work, name) if len(c[1].split()) >= 4][: args.n]
        sets["commands " + name] = [(f"in_{name}_{i:03}", c) for i, c in enumerate(inside)]
        sets["outside " + name] = [(f"out_{name}_{i:03}", c) for i, c in enumerate(outside)]
    # They are sorted by digit, so some of each.
    real = feed.load(args.work, "digits")
    sets["digits, a real person"] = [
        (f"digit_{i:03}", c) for i, c in enumerate(real[:: max(1, len(real) // args.n)])
    ]
    for part in sets.values():
        for clip, (pcm, text, _) in part:
            clips[clip] = text
            quiet = np.zeros(3200, np.int16)
            soundfile.write(
                os.path.join(folder, clip + ".wav"), np.concatenate([quiet, pcm // 2, quiet]), 16000
            )
    open(os.path.join(folder, "transcripts.tsv"), "w").write(
        "".join(f"{c}.wav\t{t}\tours\tsynthetic\n" for c, t in clips.items())
    )
    grammar = Intents().jsgf()
    known = {line.split()[0].split("(")[0] for line in open(MODEL + "/cmudict-en-us.dict")}
    missing = sorted(
        {w for w in re.findall(r"[a-z][a-z']*", re.sub(r"<\w+>|#.*|grammar duet;|public", "", grammar))}
        - known
    )
    assert not missing, f"not in the dictionary: {missing}"
    os.path.exists(os.path.join(folder, "dict")) or os.symlink(
        MODEL + "/cmudict-en-us.dict", os.path.join(folder, "dict")
    )
    open(os.path.join(folder, "duet.gram"), "w").write(grammar)
    names = sorted(clips)
    heard = run(folder, names, ["-jsgf", os.path.join(folder, "duet.gram")])
    # Digits have a grammar of their own, as a question for a number would.
    digits = "#JSGF V1.0;\ngrammar d;\npublic <d> = (zero|one|two|three|four|five|six|seven|eight|nine)+;\n"
    open(os.path.join(folder, "digits.gram"), "w").write(digits)
    heard |= run(
        folder, [c for c in names if c.startswith("digit")], ["-jsgf", os.path.join(folder, "digits.gram")]
    )
    phones = ["-allphone", MODEL + "/en-us-phone.lm.bin", "-beam", "1e-20", "-pbeam", "1e-20", "-lw", "2.0"]
    free = run(folder, names, phones) if args.free else {}
    frames = lambda c: soundfile.info(os.path.join(folder, c + ".wav")).frames / 160
    badness = lambda c: (free.get(c, ("", 0))[1] - heard[c][1]) / frames(c)
    worse = {c: badness(c) if heard.get(c, ("",))[0] else 1e9 for c in names}
    tuned = [(worse[c], c.startswith("in")) for c in names[::2] if not c.startswith("digit")]
    wrong = lambda limit: sum((w > limit) == is_inside for w, is_inside in tuned)
    limit = min(sorted({w for w, _ in tuned}), key=wrong)
    print(f"{len(names)} clips, limit {limit:.1f} for each 10 ms")
    for name, part in sets.items():
        rest = [p for p in part if p[0] in set(names[1::2])]
        n_errors = sum(edits(heard.get(c, ("",))[0].split(), t.split()) for c, (_, t, _) in part)
        whole = sum(heard.get(c, ("",))[0].split() == t.split() for c, (_, t, _) in part)
        taken = sum(worse[c] <= limit for c, _ in rest)
        taken_right = sum(worse[c] <= limit and heard[c][0].split() == t.split() for c, (_, t, _) in rest)
        n_words = sum(len(t.split()) for _, (_, t, _) in part)
        print(
            f"{name}: {len(part)} clips, word errors {n_errors / n_words:.3f}, whole {whole / len(part):.2f},"
            f" taken {taken / len(rest):.2f}, taken and right {taken_right / len(rest):.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
