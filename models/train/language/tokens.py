"""The vocabulary: pieces of words learned by sentencepiece from our own dialogues and a public set's sentences, bytes for
all else, and what never changes in an answer as one piece each: the frames of calls, the answers known by heart."""

import os
import sys

import sentencepiece
from dialogues import ANSWER, CHOOSE, END, PERSON, SAID, TRAINED, WHOLE, Maker, Public

N_TOKENS = 2052
MARKS = [CHOOSE, PERSON, SAID, ANSWER, END]
# GGUF's kinds of token: normal, unknown, control, byte.
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def public(texts, parts=TRAINED):
    return Public(os.path.join(texts, "clinc150_data_full.json"), parts)


def learn(texts, work):
    known = public(texts)
    maker, path = Maker(0, False, known), os.path.join(work, "text.txt")
    with open(path, "w") as out:
        for _ in range(16_000):
            prompt, answer, kind = maker.dialogue()
            for mark in MARKS:
                prompt = prompt.replace(mark, "\n")
            out.write(prompt + "\n")
            if kind == "told":
                out.write(answer + "\n")
        # As in a call: each begins with a space.
        out.writelines(f" {text}\n" for text in known.sentences)
    sentencepiece.SentencePieceTrainer.train(
        input=path,
        model_prefix=os.path.join(work, "tokens"),
        vocab_size=N_TOKENS - len(WHOLE),
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
    """Text, score and kind of each; a whole answer's score is so low that no text a person says becomes one."""
    kind = lambda i: (
        UNKNOWN
        if book.is_unknown(i)
        else BYTE
        if book.is_byte(i)
        else CONTROL
        if book.is_control(i)
        else NORMAL
    )
    learned = [(book.id_to_piece(i), book.get_score(i), kind(i)) for i in range(book.get_piece_size())]
    return learned + [(text.replace(" ", "▁"), -1e6 - i, NORMAL) for i, text in enumerate(WHOLE)]


def encode(book, text, wholes=()):
    """Marks as marks, wholes as wholes, and what is between as words."""
    ids = []
    while text:
        found = [(text.find(m), -len(m), m) for m in (*MARKS, *wholes) if m in text]
        at, _, mark = min(found, default=(len(text), 0, ""))
        ids += book.encode(text[:at])
        if mark:
            ids.append(book.get_piece_size() + WHOLE.index(mark) if mark in WHOLE else book.piece_to_id(mark))
        text = text[at + len(mark) :]
    return ids


def dialogue(book, prompt, answer):
    return [book.bos_id(), *encode(book, prompt)], encode(book, answer + END, WHOLE)


if __name__ == "__main__":
    learn(sys.argv[1], sys.argv[2])
    book = load(sys.argv[2])
    names = [text for text, _, _ in pieces(book)]
    maker = Maker(5, False, public(sys.argv[1]))
    for _ in range(12):
        start, rest = dialogue(book, *maker.dialogue()[:2])
        print(len(start), [names[i] for i in start], len(rest), [names[i] for i in rest])
    n = [len(sum(dialogue(book, *maker.dialogue()[:2]), [])) for _ in range(2000)]
    print(len(names), "tokens; a dialogue has", sum(n) / len(n), "of them and at most", max(n))
