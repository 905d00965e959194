"""Changes of a bundle's statement and of its directory, each with what the check that stops it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from huref.common.algebra.field import P
from tests.support.forge import Json

Changes = dict[str, tuple[Callable[[Json], object], str]]


def _set(name: str, value: object) -> Callable[[Json], None]:
    return lambda statement: statement.update({name: value})


def set_all(change: Json) -> Callable[[Json], None]:
    return lambda statement: statement.update(change)


def set_shape(**change: object) -> Callable[[Json], None]:
    return lambda statement: statement["shape"].update(change)


def _bare_shape(**change: object) -> Callable[[Json], None]:
    """Another shape, without the inference program that would be the first to refuse it."""
    return lambda directory: directory.update(shape={**directory["shape"], **change}, inference=None)


def _tokens(**change: object) -> Callable[[Json], None]:
    return lambda statement: statement["tokens"].update(change)


def _v(index: int, change: int) -> Callable[[Json], None]:
    def apply(statement: Json) -> None:
        statement["v"][index] += change

    return apply


def _entry(field: str, key: str | int, change: Callable[[Any], object], *more: int) -> Callable[[Json], None]:
    """Change statement[field][key], or an element of it."""

    def apply(statement: Json) -> None:
        place, last = statement[field], key
        for index in more:
            place, last = place[last], index
        place[last] = change(place[last])

    return apply


def _swap(entries: list[Any]) -> None:
    entries[0], entries[1] = entries[1], entries[0]


def _swap_ids(directory: Json) -> None:
    _swap(directory["tokens"]["ids"])


PROOF = ""
"""Marks changes that only the proof can refute: some check of the proof itself fails."""

_IDS, _PIECES = "Malformed: directory.tokens.ids", "Malformed: directory.tokens.pieces"
_SUMS, _ROWS = "calibration_sums", "ud.multipliers"


def _e(index: int, change: int) -> Callable[[Json], None]:
    """Change an output, and the entry of v that it is a part of."""

    def apply(statement: Json) -> None:
        statement["e"][index] += change
        statement["v"][index // 8] += change

    return apply


def _entry_of_p(statement: Json) -> None:
    """An output just below p."""
    _e(3, P - 1 - int(statement["e"][3]))(statement)


def _fewer_alive(statement: Json) -> None:
    """A neuron less that is alive, at the octave."""
    counts = statement["caps"][_ROWS]
    counts[1], counts[2] = counts[1] - 1, counts[2] - 1


def _fewer_above(statement: Json) -> None:
    """One neuron less above the median's octave, which stays where it is."""
    statement["caps"][_ROWS][3] -= 1


STATEMENT: Changes = {
    "format": (_set("format", "huref-statement/2"), "Malformed: statement.format"),
    "protocol": (_set("protocol", "huref/proof/2"), "Malformed: statement.protocol"),
    "kind": (_set("kind", "inference"), "Malformed: statement.kind"),
    "challenge": (_set("challenge", "0" * 64), PROOF),
    "challenge too short": (_set("challenge", "0" * 62), "Malformed: statement.challenge"),
    "generator": (_set("generator", "0" * 64), PROOF),
    "e plus one": (_e(0, 1), PROOF),
    "e minus one": (_e(4095, -1), PROOF),
    "two outputs of one entry of v": (lambda s: (_e(8, 1)(s), _e(9, -1)(s)), PROOF),
    "e plus p": (_e(3, P), "Malformed: "),  # from p on it is refused as such, below p by its bound
    "e minus p": (_e(3, -P), "Malformed: "),
    "e plus 2p": (_e(3, 2 * P), "Malformed: statement.e"),
    "e beyond its bound": (_entry_of_p, "Malformed: v must be"),
    "e of 4095 numbers": (lambda s: s["e"].pop(), "Malformed: statement.e"),
    "e as text": (_entry("e", 0, lambda _: "1"), "Malformed: statement.e"),
    "e as float": (_entry("e", 0, lambda _: 1.0), "Malformed: statement.e"),
    "e as boolean": (_entry("e", 0, lambda _: True), "Malformed: statement.e"),
    "e left out": (_set("e", None), "Malformed: statement.e"),
    "v plus one": (_v(0, 1), "statement.v"),
    "v minus one": (_v(511, -1), "statement.v"),
    "v plus p": (_v(3, P), "statement.v"),
    "v of 511 numbers": (lambda s: s["v"].pop(), "Malformed: statement.v"),
    "v as text": (_entry("v", 0, lambda _: "1"), "Malformed: statement.v"),
    "v as float": (_entry("v", 0, lambda _: 1.0), "Malformed: statement.v"),
    "v as boolean": (_entry("v", 0, lambda _: True), "Malformed: statement.v"),
    "shift up": (_entry("shifts", "qk", lambda x: x + 1), PROOF),
    "shift down": (_entry("shifts", "qk", lambda x: x - 1), PROOF),
    "shift of 31": (_entry("shifts", "ys", lambda _: 31), "Malformed: statement.shifts"),
    "shift of 30": (_entry("shifts", "ys", lambda _: 30), "Malformed: ys: no sound clamp table"),
    "shift missing": (lambda s: s["shifts"].pop("ys"), "Malformed: shifts and calibration"),
    "shift of nothing": (lambda s: s["shifts"].update(zz=1), "Malformed: shifts and calibration"),
    "calibration sum": (_entry(_SUMS, "ys", lambda x: x - 1, 0), PROOF),
    "finer calibration sum": (_entry(_SUMS, "ys", lambda x: x + 1, 1), PROOF),
    "calibration sum too large": (_entry(_SUMS, "ys", lambda _: 10**9, 0), "Malformed: ys: calibration sum"),
    "finer sum left out": (_entry(_SUMS, "ys", lambda _: None, 1), "Malformed: ys: a finer"),
    "first sum left out": (_entry(_SUMS, "ys", lambda _: None, 0), "Malformed: statement.calibration_sums"),
    "octave up": (_entry("caps", _ROWS, lambda x: x + 1, 0), PROOF),
    "octave down": (_entry("caps", _ROWS, lambda x: x - 1, 0), PROOF),
    "octave absurd": (_entry("caps", _ROWS, lambda _: 10**6, 0), f"Malformed: {_ROWS}: octave"),
    "neurons that are alive": (_fewer_alive, PROOF),
    "neurons at the octave": (_entry("caps", _ROWS, lambda x: x - 1, 2), PROOF),
    "neurons above it": (_fewer_above, PROOF),
    "more neurons than there are": (_entry("caps", _ROWS, lambda _: 10**6, 1), f"Malformed: {_ROWS}: counts"),
    "more above than at": (_entry("caps", _ROWS, lambda _: 264, 3), f"Malformed: {_ROWS}: "),
    "no median": (_entry("caps", _ROWS, lambda _: 1, 2), f"Malformed: {_ROWS}: "),
    "cap missing": (lambda s: s["caps"].pop(_ROWS), "Malformed: caps and ratios"),
    "cap of nothing": (lambda s: s["caps"].update(zz=[0, 1, 1, 0]), "Malformed: caps and ratios"),
    "cap of three numbers": (lambda s: s["caps"][_ROWS].pop(), "Malformed: statement.caps"),
    "ratio's first sum": (_entry("ratios", "ud", lambda x: x + 1, 0), PROOF),
    "ratio's second sum": (_entry("ratios", "ys1", lambda x: x - 1, 1), PROOF),
    "ratio's sum beyond p/2": (_entry("ratios", "ys2", lambda _: P, 0), "Malformed: ys2: the sums of a ratio"),
    "ratio's square negative": (_entry("ratios", "ys2", lambda _: -1, 1), "Malformed: ys2: the sums of a ratio"),
    "ratio missing": (lambda s: s["ratios"].pop("ud"), "Malformed: caps and ratios"),
    "ratio of nothing": (lambda s: s["ratios"].update(zz=[0, 1]), "Malformed: caps and ratios"),
    "ratio of one number": (lambda s: s["ratios"]["ud"].pop(), "Malformed: statement.ratios"),
    "field missing": (lambda s: s.pop("shifts"), "Malformed: statement.shifts"),
    "field added": (_set("comment", "hello"), "Malformed: statement.comment"),
}  # fmt: skip
DIRECTORY: Changes = {
    "format": (_set("format", "huref-directory/2"), "Malformed: commitment.json.directory.format"),
    "protocol": (_set("protocol", "huref/proof/2"), "Malformed: commitment.json.directory.protocol"),
    "profile unknown": (_set("profile", "hardened-9"), "Unsupported: directory.profile"),
    "profile by its short name": (_set("profile", "hardened"), "Unsupported: directory.profile"),
    "profile of the paper": (_set("profile", "paper-1"), "Malformed: statement.e"),
    "k": (lambda d: d.update(k=d["k"] - 1), _IDS),
    "k too small": (_set("k", 2), "Malformed: directory.k"),
    "k huge": (_set("k", 1 << 40), "Malformed: commitment.json.directory.k"),
    "p": (_set("p", 16), "Malformed: directory.p"),
    "token repeated": (lambda d: _tokens(ids=[*d["tokens"]["ids"][:-1], d["tokens"]["ids"][0]])(d), _IDS),
    "token outside": (_entry("tokens", "ids", lambda _: 10**9, 0), _IDS),
    "token negative": (_entry("tokens", "ids", lambda _: -1, 0), "Malformed: commitment.json.directory.tokens.ids"),
    "tokens in another order": (_swap_ids, PROOF),
    "another token's bytes": (lambda d: _swap(d["tokens"]["pieces"]), PROOF),
    "bytes of no token": (_entry("tokens", "pieces", lambda _: "00ff" * 9, 7), PROOF),
    "bytes missing": (lambda d: d["tokens"]["pieces"].pop(), _PIECES),
    "bytes too many": (lambda d: d["tokens"]["pieces"].append("00ff" * 9), _PIECES),
    "bytes repeated": (lambda d: _tokens(pieces=[*d["tokens"]["pieces"][:-1], d["tokens"]["pieces"][0]])(d), _PIECES),
    "bytes left out": (_tokens(pieces=None), _PIECES),
    "no bytes": (_entry("tokens", "pieces", lambda _: "", 0), "Malformed: commitment.json.directory.tokens.pieces"),
    "token source": (_tokens(source="corpus"), PROOF),
    "token source with digests": (_tokens(source="file"), "Malformed: directory.tokens"),
    "token source without digests": (_tokens(tokenizer_digest=None, frequency_digest=None),
                                     "Malformed: directory.tokens"),
    "tokenizer digest": (_tokens(source="word-list", tokenizer_digest="0" * 64, frequency_digest="1" * 64), PROOF),
    "term weights": (_set("term_weights", [1, 1, 1, 1, 1, 2]), "Malformed: directory.term_weights"),
    "term weights missing": (_set("term_weights", [1, 1, 1, 1, 1]), "Malformed: directory.term_weights"),
    "security": (_set("security", 128), "directory.random_rows"),
    "security lower": (_set("security", 40), "Malformed: commitment.json.directory.security"),
    "proofs": (_set("proofs", 1), "directory.random_rows"),
    "random rows": (lambda d: d.update(random_rows=d["random_rows"] - 1), "directory.random_rows"),
    "width": (_set("width", 512), "directory.width"),
    "tensor left out": (lambda d: d["tensors"].pop(), "directory.tensors"),
    "owner": (_set("owner", "0" * 96), PROOF),
    "divisor of the scores": (_entry("inference", "score_square", lambda x: x + 1), PROOF),
    "capped logits": (lambda d: d["inference"].update(logit_cap=30), PROOF),
    "capped scores": (lambda d: d["inference"].update(score_cap=50), PROOF),
    "unit of the logits": (_entry("inference", "logits", lambda x: x - 1), PROOF),
    "facts of inference left out": (_set("inference", None), PROOF),
    "unit out of range": (_entry("inference", "logits", lambda _: 41), "Malformed: directory.inference.logits"),
    "facts of no program": (_entry("inference", "embedding", lambda _: -1), "Malformed: directory.inference"),
    "owner no key": (_set("owner", "0"), "Malformed: commitment.json.directory.owner"),
    "field missing": (lambda d: d.pop("p"), "Malformed: commitment.json.directory.p"),
    "field added": (_set("comment", "hello"), "Malformed: commitment.json.directory.comment"),
    "shape.family": (set_shape(family="other"), PROOF),
    "shape.hidden": (set_shape(hidden=32), "Malformed: ys"),
    "shape.ffn": (_bare_shape(ffn=44), "Malformed: ud.multipliers"),
    "shape.vocab": (set_shape(vocab=10**6), PROOF),
    "shape.layers": (set_shape(layers=2), "Malformed: "),
    "shape.heads": (set_shape(heads=3), "Malformed: shape"),
    "shape.kv_heads": (set_shape(kv_heads=4), "Malformed: ks"),
    "shape.head_dim": (set_shape(head_dim=8, rotary_dim=8), "Malformed: qk.multipliers"),
    "shape.gated": (_bare_shape(gated=False), PROOF),
    "shape.norm": (_bare_shape(norm="layer"), PROOF),
    "shape.norm_position": (_bare_shape(norm_position="post"), PROOF),
    "shape.qk_norm": (_bare_shape(qk_norm=True), PROOF),
    "shape.rotary": (set_shape(rotary="interleaved"), PROOF),
    "shape unknown": (set_shape(experts=8), "Malformed: shape"),
    "shape absurd": (set_shape(hidden=1 << 24), "Malformed: directory: no such program"),
    "shape exhausting": (set_shape(ffn=1_000_000, hidden=20000), "Unsupported: directory.shape"),
}  # fmt: skip
