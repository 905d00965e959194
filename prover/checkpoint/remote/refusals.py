"""What a server's refusal means to the one who asked, and what helps."""

from __future__ import annotations

from collections.abc import Mapping

from huref.common.errors import Damaged, HurefError, InputOutputError

OFFLINE = "offline mode is on (HF_HUB_OFFLINE), and this is not in the cache"
_TOKEN = "for a private model set HF_TOKEN, or log in with: hf auth login"
_GATED = "ask for access on the model's page, then set HF_TOKEN to a token of that account"


def refusal(status: int, url: str, headers: Mapping[str, str]) -> HurefError:
    """The error for an HTTP status that is no success."""
    code = headers.get("X-Error-Code", "")
    if code == "GatedRepo" or status == 403:
        return InputOutputError(f"{url}: the server refuses access ({status})", hint=_GATED)
    if status == 401:
        return InputOutputError(
            f"{url}: the server wants to know who asks (401), or there is no such model", hint=_TOKEN
        )
    if status in (404, 410):
        return InputOutputError(
            f"{url}: not there ({status})", hint=f"check the name and the revision; {_TOKEN}"
        )
    if status == 416:
        return Damaged(f"{url}: shorter than was stated: the file changed", hint="start again")
    if status == 429:
        return InputOutputError(
            f"{url}: too many requests (429)", hint="wait, or set HF_TOKEN for a higher limit"
        )
    return InputOutputError(f"{url}: the server answers {status}", hint="try again later; what came is kept")
