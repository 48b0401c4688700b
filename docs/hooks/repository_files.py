"""Makes pages' links to the rest of the repository work in the site: what they lead to is put into it.

On GitHub `../results/he/summary.csv` is a file beside `docs`; in the site, which begins with what is in `docs`, it is
`results/he/summary.csv`. Pages that come into it this way may link further.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
_DOCS = "docs/"
_CODE = re.compile(r"(^```.*?^```$|`[^`]*`)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")

log = logging.getLogger("mkdocs.hooks")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what pages link to outside of `docs`, and what that links to in turn."""
    to_read = list(files.documentation_pages())
    while to_read:
        page = to_read.pop()
        for target in sorted(_targets(page)):
            if target.startswith(_DOCS) or target in files.src_uris:
                continue
            if not (ROOT / target).is_file():
                log.warning("%s links to %s, which is no file of the repository", page.src_uri, target)
                continue
            added = File.generated(config, target, abs_src_path=str(ROOT / target))
            files.append(added)
            if added.is_documentation_page():
                to_read.append(added)
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Links as they are in the site."""
    begin = posixpath.dirname(page.file.src_uri) or "."

    def in_site(link: re.Match[str]) -> str:
        return posixpath.relpath(_in_repository(page.file, link[1]).removeprefix(_DOCS), begin)

    return "".join(part if part.startswith("`") else _LINK.sub(in_site, part) for part in _CODE.split(markdown))


def _targets(page: File) -> set[str]:
    return {_in_repository(page, link) for link in _LINK.findall(_CODE.sub("", page.content_string))}


def _in_repository(page: File, link: str) -> str:
    """Where a link of a page leads, from the root of the repository; what is generated stands in `docs`."""
    source = page.abs_src_path
    own = _DOCS + page.src_uri if source is None else Path(source).relative_to(ROOT).as_posix()
    return posixpath.normpath(posixpath.join(posixpath.dirname(own), link))
