"""The verifier's end of a proof: every message is whole and in its one form, and the proof ends with the last one."""

from __future__ import annotations

import numpy as np
import pytest

from huref.common.algebra.field import K_BYTES, P
from huref.common.algebra.kscalar import KS
from huref.common.argument.hidden import DUMMY_TRIPLES, Form, PadSpace
from huref.common.argument.transcript import Transcript, grinding_holds
from huref.common.errors import Malformed, Rejected
from huref.verifier.argument.channel import VerifierChannel

ELEMENT = (7).to_bytes(4, "little") + bytes(K_BYTES - 4)


def reader(proof: bytes, pads: PadSpace | None = None) -> VerifierChannel:
    return VerifierChannel(Transcript(), proof, pads)


def test_a_message_is_read_whole_or_not_at_all() -> None:
    channel = reader(b"abcd")
    assert channel.take("one", 3) == b"abc"
    with pytest.raises(Malformed, match="proof is truncated in two: 2 bytes expected, 1 left"):
        channel.take("two", 2)
    assert channel.take("two", 1) == b"d"
    with pytest.raises(Malformed, match="truncated in three: 1 bytes expected, 0 left"):
        channel.take("three", 1)


def test_what_is_read_is_absorbed_under_its_label() -> None:
    """Challenges depend on every byte and every label, and on nothing behind the messages that were read."""

    def drawn(proof: bytes, label: str) -> KS:
        channel = reader(proof)
        channel.take(label, 2)
        return channel.challenge("c")

    assert drawn(b"ab", "one") == drawn(b"abzz", "one")
    assert len({drawn(*case) for case in ((b"ab", "one"), (b"ac", "one"), (b"ab", "two"))}) == 3


@pytest.mark.parametrize("limb", range(5))
def test_elements_have_one_form(limb: int) -> None:
    good = reader(ELEMENT)
    assert good.public("m", 1) == [KS(7)]
    data = bytearray(ELEMENT)
    data[4 * limb : 4 * limb + 4] = P.to_bytes(4, "little")
    for read in (VerifierChannel.public, VerifierChannel.hidden, VerifierChannel.array):
        with pytest.raises(Malformed):
            read(reader(bytes(data)), "m", 1)
    data[4 * limb : 4 * limb + 4] = (P - 1).to_bytes(4, "little")
    assert np.count_nonzero(reader(bytes(data)).array("m", 1) == P - 1) == 1


def test_each_hidden_value_and_product_has_pads_of_its_own() -> None:
    channel = reader(ELEMENT * 7, PadSpace(3, 8))
    forms = [*channel.hidden("a", 2), *channel.hidden("b", 1)]
    assert [set(form.pads) for form in forms] == [{0}, {1}, {2}]
    x, y, xy = channel.hidden_product("p")
    assert (set(x.pads), set(y.pads), set(xy.pads)) == ({3}, {11}, {3, 11, 19})
    assert (x.const, y.const, xy.const) == (KS(7), KS(7), KS(49)) and xy.pads == {
        11: KS(7),
        3: KS(7),
        19: KS(1),
    }
    x, y, xy = channel.hidden_product("p")
    assert set(xy.pads) == {4, 12, 20}


def test_a_constraint_is_checked_at_once_or_collected() -> None:
    plain = reader(b"")
    plain.assert_zero("here", Form.public(KS(0)))
    plain.assert_equal("here", Form.public(KS(5)), Form.public(KS(5)))
    for fails in (
        lambda: plain.assert_zero("here", Form.public(KS(1))),
        lambda: plain.assert_equal("here", Form.public(KS(5)), Form.public(KS(6))),
    ):
        with pytest.raises(Rejected) as caught:
            fails()
        assert caught.value.path == "here"
    hidden = reader(b"", PadSpace(1, 8))
    hidden.assert_equal("there", Form(KS(5), {0: KS(1)}), Form(KS(2), {0: KS(3)}))
    assert [(form.const, form.pads) for form in hidden.constraints] == [(KS(3), {0: KS(1) - KS(3)})]


def test_work_is_checked_against_the_transcript_so_far() -> None:
    def ground(first: bytes, nonce: int, bits: int) -> None:
        channel = reader(first + nonce.to_bytes(8, "little"))
        channel.take("m", 1)
        channel.grind("g", bits)

    transcript = Transcript()
    transcript.absorb("m", b"x")
    seed = transcript.grinding_seed("g.seed")
    holds = [nonce for nonce in range(200) if grinding_holds(seed, nonce, 4)]
    ground(b"x", holds[0], 4)
    wrong = next(nonce for nonce in range(200) if nonce not in holds)
    for first, nonce, bits in ((b"x", wrong, 4), (b"x", holds[0], 60)):
        with pytest.raises(Rejected) as caught:
            ground(first, nonce, bits)
        assert caught.value.path == "g.nonce"
    refused = 0
    for nonce in holds:
        try:
            ground(b"y", nonce, 4)
        except Rejected:
            refused += 1
    assert refused >= len(holds) // 2, "work for another transcript is no work"


@pytest.mark.parametrize("pads", [None, PadSpace(0, DUMMY_TRIPLES)])
def test_nothing_follows_the_last_message(pads: PadSpace | None) -> None:
    reader(b"", pads).finish()
    with pytest.raises(Malformed, match="2 trailing bytes after the proof"):
        reader(b"ab", pads).finish()


def test_an_argument_uses_exactly_the_pads_laid_out_for_it() -> None:
    """A layout that counts otherwise is a bug of ours, not a fault of the proof: it is never reported as one."""

    def used(singles: int, products: int, space: PadSpace) -> None:
        channel = reader(ELEMENT * (singles + 2 * products), space)
        channel.hidden("m", singles)
        for _ in range(products):
            channel.hidden_product("p")
        channel.finish()

    used(2, 8 - DUMMY_TRIPLES, PadSpace(2, 8))
    for singles, products in ((1, 1), (3, 1), (2, 8 - DUMMY_TRIPLES + 1)):
        with pytest.raises(RuntimeError, match="count of pads"):
            used(singles, products, PadSpace(2, 8))
