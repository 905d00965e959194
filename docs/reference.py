"""What the site's build does beside mkdocs: two reference pages from the code, and links that a site can follow.

The command line's page comes from the commands themselves, the library's from signatures and docstrings. A link of a
page to a file outside docs/ becomes the file's name, and a page named in code style becomes a link to it.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import posixpath
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = Path(__file__).parent
WIDTH = 80
"""Letters of a signature that are shown in one line."""
LIBRARY = {
    "huref.verifier": ("verify", "Verdict", "inspect", "Inspection"),
    "huref.prover": ("commit", "prove", "Options", "Proved"),
    "huref.common.errors": ("HurefError", "Malformed", "Damaged", "Unsupported", "Rejected", "UsageError",
                            "InputOutputError", "ProverError", "ExitCode"),
}  # fmt: skip
"""What users import, in the order of the page."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages; called by mkdocs."""
    for name, content in {"command-line": command_line(), "python": library()}.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Adapt a page that is also read in the repository; called by mkdocs."""
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.M | re.S)
    return "".join(part if part.startswith("```") else _adapted(part, page.file.src_uri) for part in parts)


def on_page_content(html: str, **_: Any) -> str:
    """A corner of a table is no heading; called by mkdocs."""
    return re.sub(r"<th([^>]*)></th>", r"<td\1></td>", html)


def on_post_page(output: str, **_: Any) -> str:
    """Name the theme's search dialog for screen readers; called by mkdocs."""
    dialog = 'data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')


def on_post_template(output_content: str, **_: Any) -> str:
    """The same for the page of a missing address; called by mkdocs."""
    return on_post_page(output_content)


def _adapted(text: str, place: str) -> str:
    folder = posixpath.dirname(place)
    text = re.sub(r"\[([^\]]+)\]\((?:\.\./)+(benchmarks/[^)]+)\)", lambda m: _named(m[1], m[2]), text)
    pages = "|".join(sorted(path.name for path in DOCS.glob("*.md")))
    to_root = posixpath.relpath(".", folder) if folder else "."
    text = re.sub(
        rf"`docs/({pages})`", lambda m: f"[{m[1]}]({posixpath.normpath(f'{to_root}/{m[1]}')})", text
    )
    return re.sub(
        r"^(?!\s|- |\d+\. |\||#|>)(.+)\n(?=- |1\. )", r"\1\n\n", text, flags=re.M
    )  # a list begins a block


def _named(said: str, file: str) -> str:
    return f"`{file}`" if said == file else f"{said} (`{file}`)"


def command_line() -> str:
    """The page of all commands, subcommands too."""
    import typer

    from huref.common.cli import app, register

    register(app)
    root = typer.main.get_command(app)
    intro = "Made from the commands themselves. [On the terminal](../terminal.md) has exit codes and the environment."
    return "\n".join(["# Command line", "", intro, "", *_command(root, "huref", None, 2)])


def _command(command: Any, name: str, above: Any, level: int) -> Iterator[str]:
    context = command.make_context(name.split()[-1], [], parent=above, resilient_parsing=True)
    yield from (f"{'#' * level} {name}", "", escape(inspect.cleandoc(command.help or ""), quote=False), "")
    yield from ("```text", " ".join([name, *command.collect_usage_pieces(context)]), "```", "")
    rows = [row for row in (one.get_help_record(context) for one in command.get_params(context)) if row]
    if rows:
        yield from ("| argument or option | effect |", "|---|---|")
        yield from (f"| `{_cell(first)}` | {_cell(escape(second, quote=False))} |" for first, second in rows)
        yield ""
    for child in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from _command(
            command.get_command(context, child), f"{name} {child}", context, min(level + 1, 4)
        )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def library() -> str:
    """The page of what users import."""
    lines = ["# Python", "", "Made from signatures and docstrings. All of it is typed.", ""]
    for module, names in LIBRARY.items():
        place = importlib.import_module(module)
        lines += [f"## {module}", "", *_said(place), ""]
        for name in names:
            lines += _documented(getattr(place, name), name)
    return "\n".join(lines)


def _documented(thing: Any, name: str) -> Iterator[str]:
    yield from (f"### {name}", "")
    if not inspect.isclass(thing):
        yield from ("```python", f"{name}{_signature(thing)}", "```", "")
    yield from _said(thing)
    yield ""
    if dataclasses.is_dataclass(thing):
        yield from (f"- `{field.name}: {field.type}`{_default(field)}" for field in dataclasses.fields(thing))
        yield ""
    for member, value in vars(thing).items() if inspect.isclass(thing) else ():
        shown = value.fget if isinstance(value, property) else value
        if member.startswith("_") or not inspect.isfunction(shown) or not inspect.getdoc(shown):
            continue
        yield from (f"#### {name}.{member}", "")
        if not isinstance(value, property):
            yield from ("```python", f"{member}{_signature(shown)}", "```", "")
        yield from _said(shown)
        yield ""


def _signature(function: Any) -> str:
    """As Python writes it, a parameter a line where it is long; annotations are strings and lose their quotes."""
    found = inspect.signature(function)
    kept = [one for one in found.parameters.values() if one.name != "self"]
    plain = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(found.replace(parameters=kept)))
    if len(plain) <= WIDTH:
        return plain
    inner, result = plain[1:].rsplit(")", 1)
    lines = re.split(r", (?=\*|\w+: )", inner)
    return "(\n" + "".join(f"    {line},\n" for line in lines) + f"){result}"


def _default(field: dataclasses.Field[Any]) -> str:
    plain = field.default is not dataclasses.MISSING and not isinstance(field.default, property)
    return f" = `{field.default!r}`" if plain else ""


def _said(thing: Any) -> Iterator[str]:
    """The docstring; sections such as "Raises:" become lists."""
    text = escape(inspect.getdoc(thing) or "", quote=False)
    for part in re.split(r"^((?:Args|Raises|Returns):\n(?:    .*\n?|\n)+)", text, flags=re.M):
        head, colon, body = part.partition(":\n")
        if not colon or head not in ("Args", "Raises", "Returns"):
            yield part
            continue
        entries = re.sub(r"^    (?=[\w, ]+: )", "- ", body, flags=re.M)
        yield f"**{head}**\n\n{entries if head != 'Returns' else inspect.cleandoc(body)}\n"
