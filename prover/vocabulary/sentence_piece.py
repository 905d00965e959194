"""`tokenizer.model` of SentencePiece: its pieces, scores and types are what a GGUF file keeps as well."""

from __future__ import annotations

from pathlib import Path

from huref.common.errors import Malformed, Unsupported
from huref.prover.checkpoint.formats.json_file import read_object
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
        "add_bos_token": _adds_begin(path.with_name("tokenizer_config.json")),
        "bos_token_id": model.trainer_spec.bos_id if model.trainer_spec.bos_id >= 0 else None,
    }
    found = gguf_vocabulary({f"tokenizer.ggml.{key}": value for key, value in content.items()})
    assert found is not None  # it has tokens
    return found


def _adds_begin(config: Path) -> bool | None:
    """`add_bos_token` of a tokenizer_config.json, which for `transformers` is what decides; None if nothing is said."""
    said = read_object(config).get("add_bos_token") if config.is_file() else None
    return said if isinstance(said, bool) else None
