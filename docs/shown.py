"""Hooks of the documentation's site: shows pages whose files are outside docs/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
#: Pages that are files of their own elsewhere in the repository.
SHOWN = {"changelog.md": "CHANGELOG.md", "sandbox.md": "apps/sandbox/README.md"}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The text of a page."""
    path = page.file.src_uri
    if path in SHOWN:
        markdown = (ROOT / SHOWN[path]).read_text(encoding="utf-8")
    markdown = markdown.replace("](docs/", "](")
    for here, source in SHOWN.items():
        markdown = markdown.replace(f"](../{source})", f"]({here})")
    return markdown
