"""The directory against what follows from it: each rule with the case that only this rule refuses."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import Any

import pytest

from huref.circuits import commitment, whole
from huref.circuits.commitment import check_resources, compile_directory, inference_facts, knobs_for
from huref.circuits.fingerprint.hardened.constants import FEWEST_TOKENS
from huref.common.errors import HurefError, Malformed, Rejected, Unsupported
from huref.common.files.commitment_file import Directory
from tests import ROOT
from tests.support.fields import Place, changed

VECTORS = ROOT / "tests/vectors/bundles"
GOOD: dict[str, Any]
PAPER: dict[str, Any]
GOOD, PAPER = (
    json.loads((VECTORS / f"{name}.huref/commitment.json").read_bytes())["directory"]
    for name in ("signed", "paper")
)
VOCAB, K, TOKENS = GOOD["shape"]["vocab"], GOOD["k"], GOOD["tokens"]
DIGESTS = {"tokenizer_digest": "0" * 64, "frequency_digest": "1" * 64}


def compiled(content: Any) -> Any:
    return compile_directory(Directory.read(content, "directory"))


def refused(content: Any) -> HurefError:
    with pytest.raises(HurefError) as caught:
        compiled(content)
    return caught.value


def tokens(**change: Any) -> dict[str, Any]:
    return changed(GOOD, ("tokens",), lambda before: {**before, **change})


@pytest.mark.parametrize("content", [GOOD, PAPER], ids=["hardened", "paper"])
def test_the_directories_themselves_compile(content: dict[str, Any]) -> None:
    assert [weight.name for weight in compiled(content).committed] == [t["name"] for t in content["tensors"]]
    assert knobs_for(Directory.read(content, "directory")).proofs == content["proofs"]


def test_an_unknown_profile_or_a_short_name() -> None:
    for name in ("hardened", "hardened-9", "Hardened-1"):
        error = refused({**GOOD, "profile": name})
        assert isinstance(error, Unsupported) and "directory.profile" in error.message


@pytest.mark.parametrize("k", [1, FEWEST_TOKENS - 1])
def test_a_fingerprint_has_enough_tokens(k: int) -> None:
    error = refused({**tokens(ids=TOKENS["ids"][:k], pieces=TOKENS["pieces"][:k]), "k": k})
    assert isinstance(error, Malformed) and error.message.startswith("directory.k")
    enough = {"ids": TOKENS["ids"][:FEWEST_TOKENS], "pieces": TOKENS["pieces"][:FEWEST_TOKENS]}
    assert compiled({**tokens(**enough), "k": FEWEST_TOKENS})


@pytest.mark.parametrize(("k", "message"), [(32, "directory.k"), (63, "directory.k"), (65, "directory.p")])
def test_how_many_tokens_paper_has(k: int, message: str) -> None:
    error = refused(changed({**PAPER, "k": k}, ("tokens", "ids"), list(range(k))))
    assert isinstance(error, Malformed) and error.message.startswith(message)


def test_more_tokens_go_with_more_blocks() -> None:
    """P is the one for K, not any that there is: 32 up to 511 tokens, 64 from there on."""
    more = {"ids": list(range(512)), "pieces": [f"{n:04x}" for n in range(512)]}
    assert compiled({**tokens(**more), "k": 512, "p": 64})
    error = refused({**tokens(**more), "k": 512, "p": 32})
    assert isinstance(error, Malformed) and error.message.startswith("directory.p: 512 tokens")


def test_blocks_are_those_that_go_with_the_tokens() -> None:
    for content in (GOOD, PAPER):
        for p in (content["p"] // 2, content["p"] * 2, 1):
            error = refused({**content, "p": p})
            assert isinstance(error, Malformed) and error.message.startswith("directory.p:")


def test_ids_are_different_and_as_many_as_said() -> None:
    ids = GOOD["tokens"]["ids"]
    for wrong in ([*ids, ids[0]], [*ids[1:], ids[1]], ids[1:], []):
        error = refused(tokens(ids=wrong))
        assert isinstance(error, Malformed) and f"{K} different ids are needed" in error.message


def test_ids_lie_in_the_vocabulary() -> None:
    rest = [i for i in TOKENS["ids"] if i != VOCAB - 1][: K - 1]
    assert compiled(tokens(ids=[*rest, VOCAB - 1]))
    error = refused(tokens(ids=[*rest, VOCAB]))
    assert isinstance(error, Malformed) and f"outside the vocabulary of {VOCAB}" in error.message


PIECES: list[tuple[str, Any]] = [
    ("missing", lambda all_: all_[:-1]),
    ("extra", lambda all_: [*all_, "00ff00ff"]),
    ("none of them", lambda _: []),
    ("repeated", lambda all_: [*all_[:-1], all_[0]]),
    ("extra and repeated", lambda all_: [*all_, all_[0]]),
]


@pytest.mark.parametrize("change", [change for _, change in PIECES], ids=[name for name, _ in PIECES])
def test_every_token_has_bytes_of_its_own(change: Any) -> None:
    error = refused(changed(GOOD, ("tokens", "pieces"), change))
    assert isinstance(error, Malformed)
    assert error.message == f"directory.tokens.pieces: the bytes of {K} different tokens are needed"


@pytest.mark.parametrize("piece", ["", "0", "0g", "FF", "00" * 1025, None, 7])
def test_bytes_are_spelled_in_one_way(piece: Any) -> None:
    error = refused(changed(GOOD, ("tokens", "pieces", 3), piece))
    assert isinstance(error, Malformed) and error.message.startswith("directory.tokens.pieces")
    assert compiled(changed(GOOD, ("tokens", "pieces", 3), "00" * 1024))


def test_bytes_are_there_exactly_where_the_profile_reads_them() -> None:
    error = refused(tokens(pieces=None))
    assert isinstance(error, Malformed) and "directory.tokens.pieces: do not go with" in error.message
    for pieces in ([], [f"{n:04x}" for n in range(PAPER["k"])]):
        error = refused(changed(PAPER, ("tokens", "pieces"), pieces))
        assert isinstance(error, Malformed) and "directory.tokens.pieces: do not go with" in error.message


def test_paper_answers_no_challenge() -> None:
    challenge = bytes(range(32))
    assert compiled(GOOD) != compile_directory(Directory.read(GOOD, "directory"), challenge)
    with pytest.raises(Malformed, match="answers no challenges"):
        compile_directory(Directory.read(PAPER, "directory"), challenge)


def test_a_source_is_one_of_three() -> None:
    error = refused(tokens(source="id-order"))
    assert isinstance(error, Malformed) and error.message.startswith("directory.tokens.source")


@pytest.mark.parametrize("content", [GOOD, PAPER], ids=["hardened", "paper"])
@pytest.mark.parametrize("source", ["word-list", "corpus", "file"])
@pytest.mark.parametrize("given", [(), ("tokenizer_digest",), ("frequency_digest",), tuple(DIGESTS)])
def test_digests_are_where_the_source_has_them(
    content: dict[str, Any], source: str, given: tuple[str, ...]
) -> None:
    """A list of ids has the tokenizer's digest where bytes were read from it."""
    said = {name: DIGESTS[name] if name in given else None for name in DIGESTS}
    content = changed(content, ("tokens",), lambda before: {**before, "source": source, **said})
    allowed = (
        [tuple(DIGESTS)] if source != "file" else [(), ("tokenizer_digest",)][: 1 + (content["p"] < 256)]
    )
    if given in allowed:
        assert compiled(content)
    else:
        error = refused(content)
        assert isinstance(error, Malformed) and f"source {source} goes with other digests" in error.message


@pytest.mark.parametrize("count", [0, 5, 7])
@pytest.mark.parametrize("content", [GOOD, PAPER], ids=["hardened", "paper"])
def test_there_are_six_term_weights(content: dict[str, Any], count: int) -> None:
    error = refused({**content, "term_weights": [1] * count})
    assert isinstance(error, Malformed) and "6 integers are needed" in error.message


def test_term_weights_are_free_in_paper_alone() -> None:
    assert compiled({**PAPER, "term_weights": [127, 0, 5, 1, 2, 3]})
    error = refused({**GOOD, "term_weights": [1, 1, 1, 1, 1, 2]})
    assert isinstance(error, Malformed) and "all are 1 in profile" in error.message


def test_a_shape_without_a_program() -> None:
    error = refused(changed(GOOD, ("shape", "hidden"), 1 << 24))
    assert isinstance(error, Malformed) and error.message.startswith("directory: no such program")


DERIVED: list[tuple[str, Place, Any]] = [
    ("random_rows", ("random_rows",), lambda rows: rows + 1),
    ("width", ("width",), lambda width: 2 * width),
    ("tensors", ("tensors",), lambda all_: all_[:-1]),
    ("tensors", ("tensors",), lambda all_: [all_[1], all_[0], *all_[2:]]),
    *(("tensors", ("tensors", 1, name), lambda x: x + 1) for name in ("rows", "cols", "bits", "start")),
    ("tensors", ("tensors", 1, "name"), "other"),
]


@pytest.mark.parametrize(("name", "place", "value"), DERIVED)
def test_what_follows_is_recomputed(name: str, place: Place, value: Any) -> None:
    error = refused(changed(GOOD, place, value))
    assert isinstance(error, Rejected) and error.path == f"directory.{name}"
    assert error.expected and error.got and len(error.expected) <= 200 and len(error.got) <= 200


FACTS = ("inference",)
LAYER = (*FACTS, "layers", 1)
FFN, LAYERS = GOOD["shape"]["ffn"], GOOD["shape"]["layers"]
BAD_FACTS: list[tuple[Place, Any, str]] = [
    ((*FACTS, "activation"), "relu", "activation: not known"),
    ((*FACTS, "epsilon"), "0.1.2", "epsilon: expected"),
    ((*LAYER, "theta"), 1 << 41, "layers[1].theta: expected"),
    ((*FACTS, "score_square"), 2, "score_square: expected"),
    ((*FACTS, "score_cap"), 257, "score_cap: expected"),
    ((*FACTS, "logit_cap"), 0, "logit_cap: no field without a cap"),
    ((*FACTS, "shifts"), [0, 21], "shifts: expected"),
    ((*FACTS, "logits"), 41, "logits: expected a unit"),
    ((*FACTS, "layers"), lambda layers: layers * 1025, "layers: more than 1024"),
    (
        (*FACTS, "layers"),
        lambda layers: layers[:-1],
        f"no such program: inference: units of {LAYERS - 1} layers",
    ),
    ((*LAYER, "gate"), True, "layers[1].gate: expected a unit"),
    ((*LAYER, "gate"), -41, "layers[1].gate: expected a unit"),
    ((*LAYER, "stream"), [13], "layers[1]: expected 2 integers"),
    ((*LAYER, "stream"), [40, 13], "no such program: l1.o: these units need a negative shift"),
    ((*LAYER, "query_shift"), 40, "no such program: l1.scores: these units need a negative shift"),
    ((*LAYER, "up_outliers"), [[FFN, 1]], f"layers[1].up_outliers: a row beyond the {FFN} neurons"),
    ((*LAYER, "product_outliers"), [[FFN, 1]], f"layers[1].product_outliers: a row beyond the {FFN} neurons"),
    ((*LAYER, "up_outliers"), [[3, 21]], "layers[1].up_outliers: expected ascending"),
    ((*LAYER, "up_outliers"), [[1 << 24, 1]], "layers[1].up_outliers: expected ascending"),
    ((*LAYER, "up_outliers"), [[row, 1] for row in range(257)], "layers[1].up_outliers: more than 256"),
    ((*LAYER, "product_outliers"), [[3, 20]], "no such program: l1.down_low: the accumulator may exceed p/2"),
    (LAYER, {}, "layers[1]: missing or unknown fields"),
    (
        (*LAYER, "raw_query"),
        1,
        "no such program: inference.layers[1].raw_query: this layout has no use for it",
    ),
]


@pytest.mark.parametrize(("place", "value", "message"), BAD_FACTS, ids=[case[2] for case in BAD_FACTS])
def test_facts_of_inference_are_those_of_a_program(place: Place, value: Any, message: str) -> None:
    error = refused(changed(GOOD, place, value))
    assert isinstance(error, Malformed) and f"directory.inference{_dot(message)}" in error.message, error


def _dot(message: str) -> str:
    """The rest of a message: a path goes on, a reason follows a colon."""
    return f": {message}" if message.startswith("no such program") else f".{message}"


def test_facts_of_inference_pass_through_the_directory() -> None:
    facts = inference_facts(Directory.read(GOOD, "directory"))
    assert facts is not None and facts.to_dict() == GOOD["inference"]
    assert inference_facts(Directory.read(PAPER, "directory")) is None
    assert compiled({**GOOD, "inference": None})


def test_facts_lie_beside_a_whole_model_with_a_program() -> None:
    error = refused({**PAPER, "inference": GOOD["inference"]})
    assert isinstance(error, Malformed)
    assert error.message == "directory.inference: profile paper-1 commits to no whole model"
    shape = {**GOOD["shape"], "norm_position": "post"}
    error = refused({**GOOD, "shape": shape})
    assert isinstance(error, Unsupported) and error.message.startswith("directory.inference:")
    assert compiled({**GOOD, "shape": shape, "inference": None})


def _program(weights: list[tuple[int, int]], sites: list[tuple[int, int]]) -> Any:
    return SimpleNamespace(
        committed=[SimpleNamespace(rows=r, cols=c) for r, c in weights],
        sites=[SimpleNamespace(rows=r, cols=c) for r, c in sites],
    )


def test_resources_are_capped_each_by_itself() -> None:
    """Sums of weights, and the widest site; the caps themselves are still allowed."""
    most, widest = commitment.MAX_COMMITTED, commitment.MAX_ACTIVATION
    half = (most >> 17, 1 << 16)
    check_resources(_program([half, half], [(1, 1), (widest >> 10, 1 << 10)]))
    for program in (
        _program([half, half, (1, 1)], [(1, 1)]),
        _program([(1, 1)], [((widest >> 10) + 1, 1 << 10), (1, 1)]),
        _program([(1, 1)], [(1, 1), (widest + 1, 1)]),
    ):
        with pytest.raises(Unsupported, match=r"directory\.shape"):
            check_resources(program)


def test_the_caps_hold_for_a_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitment, "MAX_COMMITTED", 1000)
    assert isinstance(refused(GOOD), Unsupported)


def test_a_hostile_number_of_layers_is_refused_before_its_tensors_are_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(_: Any) -> Any:
        raise RuntimeError("all tensors were listed")

    content = copy.deepcopy(GOOD)
    assert compile_directory(Directory.read(content, "directory")).ranged
    monkeypatch.setattr(whole, "committed_tensors", never)
    content["shape"]["layers"] = whole.MAX_LAYERS + 1
    with pytest.raises(Malformed, match="layers"):
        compile_directory(Directory.read(content, "directory"))
