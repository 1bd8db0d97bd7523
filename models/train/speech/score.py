"""Word errors of what `agent transcribe` printed, against W/clips/transcripts.tsv, for each set of clips.

usage: cd W/clips && agent transcribe --model MODEL *.wav > heard.txt; python score.py W/clips heard.txt
"""

import collections
import os
import re
import sys


def edits(a, b):
    d = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, d[0] = d[0], i
        for j, y in enumerate(b, 1):
            last, d[j] = d[j], min(d[j] + 1, d[j - 1] + 1, last + (x != y))
    return d[-1]


def plain(text):
    return re.sub(r"[^a-z' ]", " ", text.lower()).split()


def main():
    folder, heard = sys.argv[1], open(sys.argv[2]).read()
    said = dict(line.split("\t")[:2] for line in open(os.path.join(folder, "transcripts.tsv")))
    sets = collections.defaultdict(lambda: [0, 0, 0, 0])
    for clip, got in re.findall(r"^\S*?([^/\s]+\.wav): ?(.*)$", heard, re.M):
        if clip not in said:
            continue
        want, got = plain(said[clip]), plain(got)
        one = sets[clip.rsplit("_", 1)[0]]
        for k, more in enumerate((1, edits(got, want), len(want), got == want)):
            one[k] += more
    for name, (n, n_errors, n_words, whole) in sorted(sets.items()):
        print(f"{name}: {n} clips, word errors {n_errors / n_words:.3f}, whole {whole / n:.2f}")


if __name__ == "__main__":
    main()
