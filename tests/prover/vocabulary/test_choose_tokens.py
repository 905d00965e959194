"""What `--tokens` may name for `hardened-2`, and the bytes that go with every id."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from huref.circuits.fingerprint.profiles import HARDENED
from huref.common.errors import Malformed, UsageError
from huref.common.files.commitment_file import MAX_TOKENS
from huref.prover.checkpoint.checkpoint import open_checkpoint
from huref.prover.checkpoint.families import open_model
from huref.prover.run.fingerprint import find_tokens
from huref.prover.vocabulary.frequency import frequency_list_digest, word_list_counts
from huref.prover.vocabulary.selection import chosen
from huref.prover.vocabulary.tokens import TokensChosen, choose_tokens, load_vocabulary
from tests.support.tiny_models import VOCAB, build
from tests.support.tiny_tokenizer import common_words, write_tokenizer

WORDS = [word.encode() for word in common_words(VOCAB)]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with its own tokenizer, of as many ordinary tokens as rows."""
    return build("llama", tmp_path_factory.mktemp("tokens") / "llama")


@pytest.fixture
def bare(llama: Path, tmp_path: Path) -> Path:
    """The same model without a tokenizer."""
    folder = Path(shutil.copytree(llama, tmp_path / "bare"))
    (folder / "tokenizer.json").unlink()
    return folder


def choose(folder: Path, tokens: Path | None = None, rows: int = VOCAB) -> TokensChosen:
    return choose_tokens(open_checkpoint(folder), tokens, rows)


def listed(path: Path, ids: list[int]) -> Path:
    path.write_text("".join(f"{i}\n" for i in ids))
    return path


def written(path: Path, **content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def saved(path: Path, tokens: dict[str, int], special: str = "[UNK]") -> Path:
    """A tokenizer file."""
    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token=special))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(special, special=True)])
    tokenizer.save(str(path))
    return path


def test_the_rule(llama: Path) -> None:
    found = choose(llama)
    vocabulary = load_vocabulary(llama)
    assert vocabulary is not None
    again = chosen(vocabulary, word_list_counts(vocabulary.tokenizer, vocabulary.vocab_size))
    assert found.ids.tolist() == again.ids.tolist() and found.pieces == again.pieces
    assert found.pieces == tuple(WORDS[i] for i in found.ids.tolist()) and len(set(found.pieces)) >= 256
    assert (found.source, found.tokenizer_digest) == ("word-list", vocabulary.digest)
    assert found.frequency_digest == frequency_list_digest(None)


def test_ids_without_a_row_are_not_chosen(llama: Path) -> None:
    with pytest.raises(UsageError, match="beyond the 300 rows"):
        choose(llama, rows=300)


@pytest.mark.parametrize("folder", [False, True])
def test_a_tokenizer_of_ones_own(llama: Path, bare: Path, tmp_path: Path, folder: bool) -> None:
    place = tmp_path / "theirs"
    place.mkdir()
    shutil.copy(llama / "tokenizer.json", place)
    found, own = choose(bare, place if folder else place / "tokenizer.json"), choose(llama)
    assert found.ids.tolist() == own.ids.tolist() and found.pieces == own.pieces
    assert (found.source, found.tokenizer_digest) == ("word-list", own.tokenizer_digest)


def test_a_list_of_ids_takes_bytes_from_the_model(llama: Path, tmp_path: Path) -> None:
    ids = [300, 5, 17, 383]
    found = choose(llama, listed(tmp_path / "ids", ids))
    assert found.ids.tolist() == ids and found.pieces == tuple(WORDS[i] for i in ids)
    assert (found.source, found.frequency_digest) == ("file", None)
    assert found.tokenizer_digest == choose(llama).tokenizer_digest


def test_a_fingerprint_brings_its_bytes(llama: Path, bare: Path, tmp_path: Path) -> None:
    """No tokenizer is needed, and the model's own is not asked."""
    file = written(tmp_path / "f.json", token_ids=[9, 3], token_pieces=["00ff", "c3a9"])
    for folder in (llama, bare):
        found = choose(folder, file)
        assert found.ids.tolist() == [9, 3] and found.pieces == (b"\x00\xff", b"\xc3\xa9")
        assert (found.source, found.tokenizer_digest, found.frequency_digest) == ("file", None, None)


def test_a_fingerprint_without_bytes_is_a_list(llama: Path, tmp_path: Path) -> None:
    for content in ({"token_ids": [9, 3]}, {"token_ids": [9, 3], "token_pieces": None}):
        found = choose(llama, written(tmp_path / "f.json", **content))
        assert found.ids.tolist() == [9, 3] and found.pieces == (WORDS[9], WORDS[3])


@pytest.mark.parametrize(
    "pieces",
    [
        ["00"],
        ["00", "01", "02"],
        ["00", ""],
        ["00", "0"],
        ["00", "zz"],
        ["00", 3],
        ["00", None],
        7,
        {},
        "0001",
    ],
)
def test_bytes_that_are_none(llama: Path, tmp_path: Path, pieces: Any) -> None:
    with pytest.raises(Malformed, match="token_pieces"):
        choose(llama, written(tmp_path / "f.json", token_ids=[9, 3], token_pieces=pieces))


def test_a_list_that_names_what_is_no_token(llama: Path, tmp_path: Path) -> None:
    """A special one, or a row that the tokenizer knows nothing of."""
    words = {word: i for i, word in enumerate(common_words(VOCAB)) if i not in (7, 11)}
    saved(llama.parent / "other.json", {**words, "[UNK]": 11})
    folder = Path(shutil.copytree(llama, tmp_path / "model"))
    shutil.copy(llama.parent / "other.json", folder / "tokenizer.json")
    assert choose(folder, listed(tmp_path / "good", [6, 8])).pieces == (WORDS[6], WORDS[8])
    for wrong in (7, 11):
        with pytest.raises(UsageError, match=f"id {wrong} is no ordinary token"):
            choose(folder, listed(tmp_path / "ids", [6, wrong, 8]))


def test_two_tokens_with_the_same_bytes(llama: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "f.json", token_ids=[9, 3, 4], token_pieces=["aa", "bb", "aa"])
    with pytest.raises(UsageError, match="the same bytes"):
        choose(llama, file)


def test_two_rows_of_a_vocabulary_with_the_same_bytes(tmp_path: Path, llama: Path) -> None:
    """As in vocabularies that spell a byte twice: a list may name one of them."""
    folder = Path(shutil.copytree(llama, tmp_path / "model"))
    (folder / "tokenizer.json").unlink()
    vocabulary = {**{word: i for i, word in enumerate((*"0123", "[UNK]", "cat", "dog"))}, "<0x41>": 7, "A": 8}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True, unk_token="[UNK]"))
    tokenizer.decoder = _byte_fallback()
    tokenizer.save(str(folder / "tokenizer.json"))
    assert choose(folder, listed(tmp_path / "one", [7, 5])).pieces == (b"A", b"cat")
    with pytest.raises(UsageError, match="the same bytes"):
        choose(folder, listed(tmp_path / "both", [7, 8]))


def _byte_fallback() -> Any:
    from tokenizers import decoders

    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])


def test_without_a_tokenizer(bare: Path, tmp_path: Path) -> None:
    for tokens in (None, listed(tmp_path / "ids", [1, 2])):
        with pytest.raises(UsageError, match="has no tokenizer") as caught:
            choose(bare, tokens)
        assert caught.value.hint and "--tokens" in caught.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="has no tokenizer"):
        choose(bare, tmp_path / "empty")


def test_a_tokenizer_of_another_model(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "larger").mkdir()
    write_tokenizer(tmp_path / "larger", VOCAB + 9)
    with pytest.raises(UsageError, match="9 ordinary tokens beyond the 384 rows"):
        choose(llama, tmp_path / "larger")


def test_lists_are_in_the_vocabulary_and_name_every_id_once(llama: Path, tmp_path: Path) -> None:
    for ids, message in (([1, VOCAB], "outside the vocabulary"), ([4, 5, 4], "occurs twice")):
        with pytest.raises(Malformed, match=message):
            choose(llama, listed(tmp_path / "ids", ids))
        with pytest.raises(Malformed, match=message):
            choose(
                llama,
                written(tmp_path / "f.json", token_ids=ids, token_pieces=["aa", "bb", "cc"][: len(ids)]),
            )


def test_sizes_follow_from_the_tokens(llama: Path, tmp_path: Path) -> None:
    model = open_model(llama)
    found, k, p = find_tokens(model, HARDENED, None, None, None)
    assert k == len(found.ids) == len(found.token_bytes) and p == 32
    for sizes in ((k, None), (None, 32)):
        with pytest.raises(UsageError, match="K and P follow from the vocabulary"):
            find_tokens(model, HARDENED, None, *sizes)
    with pytest.raises(UsageError, match="at least 256"):
        find_tokens(model, HARDENED, listed(tmp_path / "ids", list(range(255))), None, None)
    assert find_tokens(model, HARDENED, listed(tmp_path / "ids", list(range(256))), None, None)[1:] == (
        256,
        32,
    )


def test_what_no_directory_can_hold_is_refused(tmp_path: Path, llama: Path) -> None:
    """Bytes beyond 1024, and more tokens than a directory lists."""
    model = open_model(llama)
    pieces = [f"{n:04x}" for n in range(299)] + ["ab" * 1025]
    file = written(tmp_path / "f.json", token_ids=list(range(300)), token_pieces=pieces)
    with pytest.raises(Malformed, match="tokens"):
        find_tokens(model, HARDENED, file, None, None)
    ids = np.arange(MAX_TOKENS + 1).tolist()
    file = written(tmp_path / "f.json", token_ids=ids, token_pieces=[f"{n:08x}" for n in ids])
    large = open_model(build("llama", tmp_path / "large", vocab_size=MAX_TOKENS + 9, num_hidden_layers=1))
    with pytest.raises(Malformed, match="tokens"):
        find_tokens(large, HARDENED, file, None, None)
