"""An inspection in three sentences for somebody who is no cryptographer: what holds, who signed, what is only said."""

from __future__ import annotations

from dataclasses import dataclass

from huref.common.rejection import CLAIMED
from huref.verifier.report.inspection import Failure, Inspection
from huref.verifier.verdict import Verdict

_KEY_DIGITS = 16
_FROM = "follows exactly from numbers that whoever made this bundle had fixed beforehand under the model id below; "
_NO_MODEL = "it does not show that these numbers are a model, or whose."
_ANSWERS = "the same numbers, run as a language model, give the {}; "


@dataclass(frozen=True)
class Summary:
    """One sentence each; `said` is empty where a bundle could not be read far enough to say anything."""

    holds: str
    signed: str
    said: str


def summary(found: Inspection) -> Summary:
    """The three sentences of a bundle, verified or not."""
    if found.failure is not None or found.verdict is None:
        unsigned = "No signature counts, because the bundle did not verify."
        said = f"Everything that the bundle says of itself, below under “{CLAIMED}”." if found.words else ""
        return Summary(_nothing_holds(found.failure), unsigned, said)
    return Summary(_holds(found.verdict), _signed(found.verdict), _said(found.verdict))


def _nothing_holds(failure: Failure | None) -> str:
    if failure is None or failure.kind == "Rejected":
        return "Nothing holds: this bundle failed a check, so neither its picture nor any of its claims is proven."
    reason = {
        "Damaged": "files of this bundle are missing or incomplete",
        "Unsupported": "this version of huref does not know this kind of bundle",
    }.get(failure.kind, "these files are no well-formed bundle")
    return f"Nothing was shown: {reason}, so nothing they claim is proven."


def _holds(verdict: Verdict) -> str:
    begin = "A mathematical proof, checked here, shows that"
    follows = f"{_FROM}{_answers(verdict)}{_NO_MODEL}"
    if verdict.picture.status != "matches":
        return f"{begin} this fingerprint {follows}"
    if verdict.picture.foreign:
        return f"{begin} the fingerprint behind this foreign generator's picture {follows}"
    return f"{begin} this picture {follows}"


def _answers(verdict: Verdict) -> str:
    if verdict.inference is None:
        return ""
    count, closed = len(verdict.inference.answers), verdict.inference.closed
    if count == 1:
        return _ANSWERS.format("answer below" + (", behind a prompt that is not shown" if closed else ""))
    hidden = f", {closed} of them behind prompts that are not shown" if closed else ""
    return _ANSWERS.format(f"{count} answers below{hidden}")


def _signed(verdict: Verdict) -> str:
    unknown = len(verdict.unknown_cosigners)
    extra = f" {unknown} more signed as auditors with keys that you did not name; they count for nothing."
    extra = extra if unknown else ""
    auditors = len(verdict.cosigners)
    checked = f" {auditors} of the auditors you named signed it too." if auditors else ""
    if verdict.signer is None:
        return f"No owner signed it.{checked}{extra}" if checked or extra else "Nobody."
    short = f"{verdict.signer[:_KEY_DIGITS]}…"
    if "signer" in verdict.expected:
        return f"The owner's key that you named ({short}).{checked}{extra}"
    return f"The owner's key {short}; whose key that is, you must know from elsewhere.{checked}{extra}"


def _said(verdict: Verdict) -> str:
    picture = "" if verdict.picture.status == "matches" else " The picture was not checked and is not shown."
    return f"The kind and size of the model and the files it came from. No proof reads these.{picture}"
