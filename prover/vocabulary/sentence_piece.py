"""`tokenizer.model` of SentencePiece: its pieces, scores and types are what a GGUF file keeps as well."""

from __future__ import annotations

from pathlib import Path

from huref.common.errors import Malformed, Unsupported
from huref.prover.vocabulary.gguf_tokenizer import gguf_vocabulary
from huref.prover.vocabulary.tokenizer import Vocabulary

_UNIGRAM, _BPE = 1, 2
_KINDS = {_UNIGRAM: "t5", _BPE: "llama"}


def read_sentence_piece(path: Path) -> Vocabulary:
    """Raises `Malformed` for another file, `Unsupported` for models of words or characters."""
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]  # generated code
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError:
        raise Malformed(f"{path}: not a SentencePiece model") from None
    if not model.pieces:
        raise Malformed(f"{path}: a SentencePiece model without pieces")
    kind = model.trainer_spec.model_type
    if kind not in _KINDS:
        raise Unsupported(
            f"{path}: a SentencePiece model of words or characters",
            hint="give the token list with --tokens FILE instead",
        )
    content = {
        "model": _KINDS[kind],
        "tokens": [piece.piece for piece in model.pieces],
        "scores": [piece.score for piece in model.pieces],
        "token_type": [piece.type for piece in model.pieces],
        "add_space_prefix": model.normalizer_spec.add_dummy_prefix,
    }
    found = gguf_vocabulary({f"tokenizer.ggml.{key}": value for key, value in content.items()})
    assert found is not None  # it has tokens
    return found
