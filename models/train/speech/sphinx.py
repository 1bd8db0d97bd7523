"""The second engine, measured: pocketsphinx with the intents as its grammar, and with rejection of what is
not in it.

usage: sphinx.py --work W [--n 50]
W is synth.py's folder. Clips of commands are spoken once into W/commands_*.npz; what is outside of the
grammar is the sentences of W's test sets. As in the product (agent/src/hear/sphinx), any row of sounds may be
said beside a command, and where that fits better the clip is refused.
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
# No English word begins so.
NOISE = "zz"
DIGITS = "zero one two three four five six seven eight nine".split()


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
    """What was heard in each clip."""
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
        out[m[2]] = m[1].strip()
    return out


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--work", required=True)
    cli.add_argument("--n", type=int, default=50)
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
    grammar = Intents().jsgf().replace("public <command>", "<command>")
    lines = [line.split() for line in open(MODEL + "/cmudict-en-us.dict")]
    wanted = set(re.findall(r"[a-z][a-z']*", re.sub(r"<\w+>|#.*|grammar duet;", "", grammar)))
    missing = sorted(wanted - {word.split("(")[0] for word, *_ in lines})
    assert not missing, f"not in the dictionary: {missing}"
    sounds = sorted({sound for _, *said in lines for sound in said})
    with open(os.path.join(folder, "dict"), "w") as file:
        wanted |= set(DIGITS)
        file.writelines(" ".join(line) + "\n" for line in lines if line[0].split("(")[0] in wanted)
        file.writelines(f"{NOISE}{sound.lower()} {sound}\n" for sound in sounds)
    noise = f"<noise> = {' | '.join(NOISE + sound.lower() for sound in sounds)};\n"
    write = lambda name, text: open(os.path.join(folder, name), "w").write(text)
    write("duet.gram", f"{grammar}{noise}public <said> = <command> | <noise>+;\n")
    # Digits have a grammar of their own, as a question for a number would.
    write("digits.gram", f"#JSGF V1.0;\ngrammar d;\npublic <d> = ({'|'.join(DIGITS)})+;\n")
    names = sorted(c for c in clips if not c.startswith("digit"))
    before = os.times()
    heard = run(folder, names, ["-jsgf", os.path.join(folder, "duet.gram")])
    spent = os.times().children_user - before.children_user
    print(f"{len(names)} clips, {spent / len(names):.2f} s of processor each, beside starting")
    heard |= run(folder, sorted(set(clips) - set(names)), ["-jsgf", os.path.join(folder, "digits.gram")])
    for name, part in sets.items():
        words = {c: [w for w in heard.get(c, "").split()] for c, _ in part}
        taken = [(c, t) for c, (_, t, _) in part if words[c] and not any(w.startswith(NOISE) for w in words[c])]
        right = sum(words[c] == t.split() for c, t in taken)
        n_errors = sum(edits(words[c], t.split()) for c, t in taken)
        n_words = sum(len(t.split()) for _, t in taken)
        print(
            f"{name}: {len(part)} clips, taken {len(taken) / len(part):.2f}, taken and right"
            f" {right / len(part):.2f}, word errors of those taken {n_errors / max(1, n_words):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
