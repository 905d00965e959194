"""The technical part of the page, folded: statement, layers, soundness, messages, opened positions, files."""

from __future__ import annotations

from itertools import groupby

from huref.common.files import bundle as form
from huref.verifier.report.elements import code, facts, folded, items, table, text
from huref.verifier.report.inspection import Inspection, LayerView
from huref.verifier.report.transcripts import Message, ProofView

_OTHERS = {form.RANGE: "the range proof", form.INFERENCE_PROOF: "the proof of inference"}


def technical(found: Inspection) -> str:
    """Folded sections under headings of level 3; empty where nothing could be read."""
    parts = [_statement(found), _geometry(found.proof), _layers(found), _ledger(found.proof)]
    parts += [_transcript(found.proof), _positions(found.proof)]
    for other in found.others:
        of = f" of {_OTHERS[other.file]}"
        parts += [_geometry(other, of), _ledger(other, of), _transcript(other, of), _positions(other, of)]
    return "".join([*parts, _files(found)])


def _statement(found: Inspection) -> str:
    if not found.words:
        return ""
    lists = ""
    if found.statement is not None:
        v = found.statement.v
        lists = folded("the vector v", f"{len(v)} integers", f"<p>{code(', '.join(map(str, v)))}</p>")
    if found.directory is not None:
        ids = ", ".join(map(str, found.directory.tokens.ids))
        lists += folded("token ids", f"{found.directory.k}, most frequent first", f"<p>{code(ids)}</p>")
    return folded("Statement, as the bundle says it", "", items(found.words) + lists, level=3)


def _geometry(found: ProofView, of: str = "") -> str:
    if not found.geometry:
        return ""
    rows = [(name, text(size)) for name, size in found.geometry.items()]
    return folded(f"Sizes{of}", "of the commitment and the proof", facts(rows), level=3)


def _layers(found: Inspection) -> str:
    if not found.layers:
        return ""
    inner = "".join(_layer(layer) for layer in found.layers)
    return folded("Layers", f"{len(found.layers)} rounded steps of the recipe", inner, level=3)


def _layer(layer: LayerView) -> str:
    fine = "none (shift 0)" if layer.calibration[1] is None else f"{layer.calibration[1]:,}"
    rows = [
        ("accumulator", layer.formula),
        ("static bound of |accumulator|", f"{layer.static_bound:,}"),
        ("canonical shift", f"{layer.shift}"),
        ("calibration sum at the shift, and one below", f"{layer.calibration[0]:,} and {fine}"),
        ("clamped to", f"[{layer.clamp[0]}, {layer.clamp[1]}]"),
        ("clamp table covers quotients in", f"[−{layer.table_height}, {layer.table_height})"),
        ("looked up as", ", ".join(layer.claims)),
    ]
    about = f"{layer.formula}, {layer.rows} × {layer.cols}"
    return folded(layer.name, about, facts((name, text(said)) for name, said in rows))


def _ledger(found: ProofView, of: str = "") -> str:
    if found.security is None:
        return ""
    rows = [
        (
            f"{'▶ ' if term == found.security.binding else ''}{term.label}",
            term.formula,
            f"{term.error_bits:.1f}",
            str(term.grinding or ""),
            f"{term.bits:.1f}",
        )
        for term in sorted(found.security.terms, key=lambda term: term.bits)
    ]
    shown = table(
        f"Soundness ledger{of}", ("round", "error", "bits", "grinding", "total"), rows, numbers=(2, 3, 4)
    )
    binding = found.security.binding.label
    about = f"{found.security.bits:.1f} provable bits, set by {binding}"
    return folded(f"Soundness ledger{of}", about, shown, level=3)


def _transcript(found: ProofView, of: str = "") -> str:
    if not found.messages:
        return ""
    parts = []
    for group, run in groupby(found.messages, key=lambda message: message.label.split(".")[0]):
        messages = list(run)
        sent = sum(message.size for message in messages if message.kind == "absorb")
        heads = ("direction", "label", "bytes", "begins with")
        inner = table(f"Messages of {group}", heads, [_message_row(one) for one in messages], numbers=(2,))
        parts.append(folded(group, f"{len(messages)} events, {sent:,} bytes absorbed", inner))
    about = f"{len(found.messages):,} events, in order"
    return folded(f"Messages and challenges{of}", about, "".join(parts), level=3)


def _message_row(message: Message) -> tuple[str, ...]:
    arrow = "prover sends →" if message.kind == "absorb" else "← challenge"
    return arrow, message.label, f"{message.size:,}", message.preview + ("…" if message.size > 16 else "")


def _positions(found: ProofView, of: str = "") -> str:
    parts = [
        folded(name, f"{len(values)} code points", f"<p>{code(', '.join(map(str, values)))}</p>")
        for name, values in found.positions.items()
    ]
    return folded(f"Opened positions{of}", "", "".join(parts), level=3) if parts else ""


def _files(found: Inspection) -> str:
    rows = [(name, f"{size:,} bytes") for name, size in found.files.items()]
    if found.verdict is not None:
        spent = ((name, round(seconds * 1000)) for name, seconds in found.verdict.seconds.items())
        rows += [(name, f"{shown} ms") for name, shown in spent if shown]  # what there is not takes no time
    return (
        folded("Files and time", "", facts((name, text(said)) for name, said in rows), level=3)
        if rows
        else ""
    )
