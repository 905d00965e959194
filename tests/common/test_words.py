"""Six words for a fingerprint: the pinned list, and which words a name gives."""

from __future__ import annotations

import hashlib

import pytest

from huref.common import words
from huref.common.errors import Malformed
from huref.common.words import six_words, word_fingerprint, word_list


def test_the_list_is_usable() -> None:
    found = word_list()
    assert len(found) == len(set(found)) == 2048
    assert list(found) == sorted(found)
    assert all(3 <= len(word) <= 7 and word.isascii() and word.isalpha() and word.islower() for word in found)


def test_words_are_the_first_bits_of_the_name() -> None:
    found = word_list()
    assert six_words("0" * 64) == " ".join([found[0]] * 6)
    assert six_words("f" * 64) == " ".join([found[-1]] * 6)
    for seed in range(50):
        name = hashlib.sha256(bytes([seed])).hexdigest()
        bits = bin(int(name, 16))[2:].zfill(256)
        places = [found.index(word) for word in six_words(name).split()]
        assert "".join(f"{place:011b}" for place in places) == bits[:66]


def test_the_last_bit_that_counts() -> None:
    name = "0" * 16 + "4" + "0" * 47
    assert six_words(name).split()[:5] == [word_list()[0]] * 5
    assert six_words(name).split()[5] == word_list()[1]
    assert six_words("0" * 16 + "3" + "f" * 47) == six_words("0" * 64)


@pytest.mark.parametrize("name", ["", "0" * 63, "G" * 64, "A" * 64, "0" * 64 + "\n", "0" * 65])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(Malformed, match="64"):
        six_words(name)


def test_an_altered_list_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    word_list.cache_clear()
    monkeypatch.setattr(words, "LIST_SHA256", "0" * 64)
    with pytest.raises(Malformed, match="pinned"):
        six_words("0" * 64)
    word_list.cache_clear()


def test_words_stand_for_the_vector_under_the_model_id() -> None:
    """Another vector, another model id, or none: other words; computed here a second time."""
    name, one, two = "a" * 64, "b" * 64, "c" * 64
    for model_id in (one, two, None):
        lines = f"huref/words/1\n{model_id or 'vector'}\n{name}"
        assert word_fingerprint(name, model_id) == six_words(hashlib.sha256(lines.encode()).hexdigest())
    found = [
        word_fingerprint(*what) for what in ((name, one), (name, two), (name, None), (one, name), (two, one))
    ]
    assert len(set(found)) == len(found) and six_words(name) not in found
