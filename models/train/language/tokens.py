"""The vocabulary: pieces of words learned by sentencepiece from our own dialogues, with bytes for all
else."""

import os
import sys

import sentencepiece
from dialogues import ANSWER, CHOOSE, END, PERSON, SAID, Maker, clinc

N_TOKENS = 1280
MARKS = [CHOOSE, PERSON, SAID, ANSWER, END]
# GGUF's kinds of token: normal, unknown, control, byte.
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def learn(texts, work):
    maker, path = (
        Maker(0, False, clinc(os.path.join(texts, "clinc150_data_full.json"), ["train"])),
        os.path.join(work, "text.txt"),
    )
    with open(path, "w") as out:
        for _ in range(12_000):
            prompt, answer, _ = maker.dialogue()
            for mark in MARKS:
                prompt = prompt.replace(mark, "\n")
            out.write(prompt + "\n" + answer + "\n")
    sentencepiece.SentencePieceTrainer.train(
        input=path,
        model_prefix=os.path.join(work, "tokens"),
        vocab_size=N_TOKENS,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        control_symbols=MARKS,
        character_coverage=1.0,
        minloglevel=2,
    )


def load(work):
    return sentencepiece.SentencePieceProcessor(model_file=os.path.join(work, "tokens.model"))


def pieces(book):
    kind = lambda i: (
        UNKNOWN
        if book.is_unknown(i)
        else BYTE
        if book.is_byte(i)
        else CONTROL
        if book.is_control(i)
        else NORMAL
    )
    return [(book.id_to_piece(i), book.get_score(i), kind(i)) for i in range(book.get_piece_size())]


def encode(book, text):
    """Marks as marks, and what is between as words."""
    ids, rest = [book.bos_id()], text
    while rest:
        at, mark = min(((rest.find(m), m) for m in MARKS if m in rest), default=(len(rest), ""))
        ids += book.encode(rest[:at])
        if mark:
            ids.append(book.piece_to_id(mark))
        rest = rest[at + len(mark) :]
    return ids


if __name__ == "__main__":
    learn(sys.argv[1], sys.argv[2])
    book = load(sys.argv[2])
    print(
        book.get_piece_size(),
        "tokens;",
        [
            book.id_to_piece(i)
            for i in encode(
                book,
                f"{CHOOSE}{PERSON} set a timer for 25 minutes{ANSWER}"
                + '{"tool":"timer","arguments":{"seconds":1500}}'
                + END,
            )
        ],
    )
