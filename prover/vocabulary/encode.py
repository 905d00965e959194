"""Text to the token ids that a checkpoint's own tokenizer gives, and back. Chat templates are no part of this.

The tokenizer's post-processor says whether a text begins with a token of its own (BOS); for a GGUF file and a
SentencePiece model, which have none, `add_bos_token` says it (gguf_tokenizer.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from huref.common.errors import UsageError
from huref.common.text import shorten
from huref.prover.checkpoint.checkpoint import Checkpoint
from huref.prover.vocabulary.tokens import own_vocabulary

_ANCHOR = "\n"


@dataclass(frozen=True)
class TextCoder:
    """A tokenizer for a model whose embedding has `rows` rows (None: not known)."""

    tokenizer: Tokenizer
    rows: int | None

    @classmethod
    def of(cls, place: Checkpoint | str | Path, rows: int | None = None) -> TextCoder:
        """The tokenizer of a checkpoint, or of a folder or tokenizer file without weights.

        Raises:
            UsageError: there is none, or it is another model's. Other `HurefError`s: it cannot be read.
        """
        path = place.path if isinstance(place, Checkpoint) else Path(place)
        return cls(
            own_vocabulary(place if isinstance(place, Checkpoint) else path, path, rows).tokenizer, rows
        )

    def encode(self, text: str) -> list[int]:
        """Ids of a text, with what the tokenizer puts around one.

        Raises:
            UsageError: the text has no tokens, or one without an embedding.
        """
        return self._checked(self.tokenizer.encode(text).ids, text)

    def continued(self, prompt: str, answer: str) -> tuple[list[int], int]:
        """Ids of a prompt and the answer behind it, and where the answer begins.

        The prompt's ids are those of `encode(prompt)`, as a server has them before it answers; the answer is cut as in
        the running text where that leaves them alone.

        Raises:
            UsageError: as `encode`, of either.
        """
        begun, joint = self.encode(prompt), self.encode(prompt + answer)
        if len(joint) > len(begun) and joint[: len(begun)] == begun:
            return joint, len(begun)
        anchor, anchored = (self._bare(text) for text in (_ANCHOR, _ANCHOR + answer))
        behind = anchored[len(anchor) :] if anchored[: len(anchor)] == anchor else self._bare(answer)
        return begun + self._checked(behind, answer), len(begun)

    def told(self, prompt: str, ids: Sequence[int], first: int) -> str | None:
        """The text of the answer `ids[first:]` behind `prompt`; None where it is not cut into these ids again."""
        try:
            text = self.decode(ids[first:])
            return text if self.continued(prompt, text) == (list(ids), first) else None
        except UsageError:
            return None

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens spelled out.

        Raises:
            UsageError: an id that is no token.
        """
        strange = [i for i in ids if self.tokenizer.id_to_token(i) is None]
        if strange:
            raise UsageError(f"{strange[0]} is no token of this tokenizer")
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))

    def _bare(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def _checked(self, ids: list[int], text: str) -> list[int]:
        if not ids:
            raise UsageError(f"{shorten(repr(text), 60)} has no tokens")
        if self.rows is not None and max(ids) >= self.rows:
            token = self.tokenizer.id_to_token(max(ids))
            raise UsageError(f"the token {token!r} has no row in the embedding of {self.rows}")
        return ids


def encode(place: Checkpoint | str | Path, text: str) -> list[int]:
    """Token ids of a text by the tokenizer of a checkpoint or folder. Raises as `TextCoder`."""
    return TextCoder.of(place).encode(text)


def decode(place: Checkpoint | str | Path, ids: Sequence[int]) -> str:
    """Text of token ids by the tokenizer of a checkpoint or folder. Raises as `TextCoder`."""
    return TextCoder.of(place).decode(ids)
