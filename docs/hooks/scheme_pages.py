"""A page for each scheme, made from its card, its roles, its options, `conf/scheme` and the committed results."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import scheme_options
import scheme_results
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from omegaconf import OmegaConf

from ppbench import profiles
from ppbench.registry import SCHEMES
from ppbench.report.table import markdown_table
from ppbench.scheme import Role, Scheme

_FOLDER = "schemes"
_STAGES = ("setup", "train", "offline", "online", "serve")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name the pages in the navigation."""
    pages: list[Any] = [{SCHEMES.load(name).card.title: f"{_FOLDER}/{name}.md"} for name in SCHEMES.names()]
    assert config.nav is not None
    config.nav.append({"Schemes": pages})
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Make them."""
    for name in SCHEMES.names():
        content = "\n\n".join([*_page(SCHEMES.load(name)), ""])
        files.append(File.generated(config, f"{_FOLDER}/{name}.md", content=content))
    return files


def _page(scheme: type[Scheme]) -> Iterator[str]:
    yield f"# {scheme.card.title}"
    yield f"`ppbench run scheme={scheme.name}`: {scheme.title}"
    yield _table(("card", ""), [*_card(scheme)])
    yield "## What each party does"
    for name, role in scheme.roles.items():
        yield f"**{name}**: {_first_paragraph(role)}"
        yield "\n".join(f"- `{stage}`: {_first_paragraph(getattr(role, stage))}" for stage in _stages(role))
    if options := [*scheme_options.rows(scheme)]:
        yield "## Options"
        yield "On the command line, each is `scheme.OPTION=VALUE`."
        yield _table(scheme_options.HEADER, options)
    if variants := [*_variants(scheme)]:
        yield "## Variants"
        yield _table(("variant", "options", "what it is"), variants)
    if labels := scheme_results.labels(scheme.name):
        yield "## The paper's labels, measured"
        yield _table([*scheme_results.LABELS], labels)
        yield "Thresholds, and why some differ: [what was measured](../results.md#the-papers-labels-measured)."
    yield "## Measured"
    yield (
        "Medians over jobs that differ in their seed alone. Per sample: CPU time and TCP payload; per participant: "
        "setup and training. [What the columns count](../reading.md); "
        "[what measured each folder](../../results/README.md)."
    )
    for folder, (header, rows) in scheme_results.measured(scheme.name):
        yield f"### {folder}"
        yield _table(header, rows, scheme_results.N_TEXTS)
        yield f"All columns: [summary.csv](../../results/{folder}/summary.csv)"


def _card(scheme: type[Scheme]) -> Iterator[tuple[str, str]]:
    card = scheme.card
    yield "source", card.source
    yield "protects", card.protects
    yield "guarantee", card.guarantee
    yield "task", str(card.task)
    yield "in the paper's figure 1", " / ".join(card.taxonomy)
    yield "the paper's computation", card.computation or "not given"
    yield "the paper's communication", card.communication or "not given"
    yield "participants", "several, of one coordinator" if card.several_participants else "one"
    yield "a participant that drops out", "is tolerated" if card.tolerates_dropouts else "ends the job"
    yield "bytes", "the same for the same job" if card.deterministic_bytes else "not the same from run to run"
    yield "answers", "follow from the seed" if card.seeded_answers else "depend on the operating system's randomness"
    yield "arithmetic of the participant", card.arithmetic
    if scheme.requires:
        yield "needs", ", ".join(f"`{need}`" for need in scheme.requires.values())


def _stages(role: type[Role[Any]]) -> list[str]:
    return [stage for stage in _STAGES if role.takes_part_in(stage)]


def _variants(scheme: type[Scheme]) -> Iterator[tuple[str, ...]]:
    for name, path in profiles.files_of("scheme").items():
        base, chosen = _resolved(name)
        if base == scheme.name:
            comment = " ".join(line.lstrip("# ") for line in path.read_text().splitlines() if line.startswith("#"))
            yield f"`scheme={name}`", ", ".join(f"`{key}={value}`" for key, value in chosen.items()), comment


def _resolved(name: str) -> tuple[str, dict[str, Any]]:
    """The scheme that a name in `conf/scheme` starts from, and all options that are chosen on the way."""
    files = profiles.files_of("scheme")
    if name not in files:
        return name, {}
    content = OmegaConf.to_container(OmegaConf.load(files[name]))
    assert isinstance(content, dict)
    (start,) = (entry for entry in content.pop("defaults") if entry != "_self_")
    base, chosen = _resolved(start)
    return base, {**chosen, **{str(key): value for key, value in content.items()}}


def _first_paragraph(described: Any) -> str:
    return " ".join((inspect.getdoc(described) or "").partition("\n\n")[0].split())


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], n_text_columns: int | None = None) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(markdown_table(header, cells, len(header) if n_text_columns is None else n_text_columns))
