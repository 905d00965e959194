"""The fixed texts that units are calibrated on: prose, code, numbers, other languages, a conversation.

What counts is the spread of values, not the sense. The first token of a text has by far the largest values of all
(docs/inference.md §5), whichever it is, so a few texts begin with the tokenizer's own marks.
"""

from __future__ import annotations

from huref.prover.vocabulary.tokenizer import Vocabulary

_LONGEST, _MARKS, _BEHIND_MARK = 64, 4, 12
"""Tokens of a text at most; marks that a text begins with; tokens behind one."""

TEXTS = (
    "The harbour was quiet before dawn. Two boats lay at the long pier, and behind them the first light fell on wet "
    "stones. Nobody had told the captain that the letter was already on its way to the city, or who had written it.",
    "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n    return total / len(values)"
    "\n\n\nprint(mean([3, 5, 8.25]))  # 5.416666",
    "Question: What is the boiling point of water at sea level?\nAnswer: 100 degrees Celsius, or 212 degrees Fahrenheit"
    ".\n\nQuestion: Who wrote Romeo and Juliet?\nAnswer: William Shakespeare.",
    "In 1969, 12 people out of 3,450 (0.35%) voted against § 7; see https://example.org/report?id=42 [pp. 118-121].",
    "Das Wetter ist heute schön. La bibliothèque est fermée. ¿Dónde está la estación? Привет, мир! 今天天气很好。",
    '{"name": "Ada", "roles": ["admin", "editor"], "active": true, "visits": 1024}\n| a | b |\n|---|---|\n| 1 | 2 |',
)


def calibration_texts(vocabulary: Vocabulary, vocab: int) -> list[list[int]]:
    """The texts as token ids below `vocab`, with the tokenizer's own begin of text; empty ones are left out."""
    tokenizer = vocabulary.tokenizer
    texts = [tokenizer.encode(text).ids[:_LONGEST] for text in TEXTS]
    marks = sorted(i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special)[:_MARKS]
    plain = tokenizer.encode(TEXTS[0], add_special_tokens=False).ids[:_BEHIND_MARK]
    texts += [[mark, *plain] for mark in marks]
    known = ([i for i in text if i < vocab] for text in texts)
    return [text for text in known if text]
