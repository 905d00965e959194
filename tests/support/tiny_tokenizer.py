"""A tokenizer for a tiny model: its ids are the commonest English words, most frequent first."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from wordfreq import get_frequency_list


@cache
def common_words(count: int) -> tuple[str, ...]:
    """Plain words by falling frequency, those of one band in the list's order."""
    bands = get_frequency_list("en", "large")
    words = dict.fromkeys(word for band in bands for word in band if word.isascii() and word.isalpha())
    return tuple(words)[:count]


def write_tokenizer(folder: Path, vocab: int) -> None:
    """tokenizer.json with `vocab` ordinary tokens and, behind them, a special one without an embedding."""
    ids = {word: i for i, word in enumerate(common_words(vocab))}
    tokenizer = Tokenizer(models.WordLevel({**ids, "[UNK]": len(ids)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken("[UNK]", special=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
