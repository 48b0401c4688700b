"""What a scheme's section of the page shows: what each stage took, every repetition, and where it was measured."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from ppbench.page.command import command
from ppbench.records import JobRecord, Provenance, Stage
from ppbench.report.groups import Group
from ppbench.report.origin import origin
from ppbench.scheme import COORDINATOR, PARTICIPANT, Role, Scheme, SchemeCard
from ppbench.selection import THIRD_PARTY, Selection

MOST_POINTS = 120
"""Of a strip plot."""
_PARTS = (PARTICIPANT, COORDINATOR, THIRD_PARTY)
_STAGES = tuple(stage for stage in get_args(Stage) if stage not in ("model", "prepare", "job"))
_METHODS = ("setup", "train", "offline", "online", "serve")
_FIGURES = ("cpu_s", "wall_s", "payload_bytes_sent", "payload_bytes_received", "messages_sent")
_STRIPS = (
    ("online", "cpu_s", PARTICIPANT),
    ("online", "cpu_s", COORDINATOR),
    ("train", "cpu_s", PARTICIPANT),
)


def scheme_words(scheme: type[Scheme] | None) -> dict[str, Any] | None:
    """The card, and what each role does in its own words; None for a scheme that is not installed here."""
    if scheme is None:
        return None
    card: SchemeCard = scheme.card
    return {
        "title": card.title,
        "source": card.source,
        "protects": card.protects,
        "guarantee": card.guarantee,
        "taxonomy": card.taxonomy,
        "roles": {name: _does(role) for name, role in scheme.roles.items()},
    }


def details(group: Group) -> dict[str, Any]:
    """Of a group that was measured: its stages as medians of its first job, repetitions of all its jobs."""
    job = group.measured[0]
    select = Selection(job.records)
    return {
        "stages": list(_stages(select)),
        "strips": [strip for strip in (*_strips(group.measured), _latencies(group.measured)) if strip["points"]],
        "dropouts": [line for one in group.measured for line in one.dropouts],
        "seeds": [one.seed for one in group.measured],
        "origin": origin([job]),
        "provenance": _provenance(job.provenance),
        "command": command(job),
        "job": job.folder,
    }


def _does(role: type[Role[Any]]) -> dict[str, str]:
    """`role` and the stages that it takes part in -> the first paragraph of what they say."""
    told = {"role": role.__dict__.get("__doc__")}
    told |= {name: getattr(role, name).__doc__ for name in _METHODS if role.takes_part_in(name)}
    return {name: _first_paragraph(text or "") for name, text in told.items()}


def _first_paragraph(text: str) -> str:
    return " ".join(inspect.cleandoc(text).partition("\n\n")[0].replace("`", "").split())


def _stages(select: Selection) -> Iterable[dict[str, Any]]:
    for stage in _STAGES:
        for part in _PARTS:
            figures = {figure: select.median(stage, figure, part) for figure in _FIGURES}
            if any(value is not None for value in figures.values()):
                yield {"stage": stage, "part": part, **{name: _short(value) for name, value in figures.items()}}


def _strips(jobs: Sequence[JobRecord]) -> Iterable[dict[str, Any]]:
    """CPU seconds of every pass: per sample online, else of the whole stage."""
    for stage, metric, part in _STRIPS:
        points = []
        for job in jobs:
            select = Selection(job.records)
            share = (select.median("online", "n_answers") or 1.0) if stage == "online" else 1.0
            points += [(process, value / share) for (process, _), value in select.passes(stage, metric, part).items()]
        title = f"CPU time of the {part}, " + ("a sample" if stage == "online" else stage)
        yield _strip(title, points)


def _latencies(jobs: Sequence[JobRecord]) -> dict[str, Any]:
    found = [r for job in jobs for r in job.records if (r.stage, r.metric) == ("online", "latency_s")]
    return _strip("latency of a batch", [(record.process, record.value) for record in found])


def _strip(title: str, points: Sequence[tuple[int | None, float]]) -> dict[str, Any]:
    """At most `MOST_POINTS`, at even distances of all in their order, each with its process; and how many there are."""
    step = max(1.0, len(points) / MOST_POINTS)
    chosen = [points[int(i * step)] for i in range(min(len(points), MOST_POINTS))]
    return {
        "title": title,
        "points": [_short(value) for _, value in chosen],
        "processes": [process or 0 for process, _ in chosen],
        "n_points": len(points),
    }


def _provenance(made: Provenance) -> dict[str, str]:
    packages = ", ".join(f"{name} {version}" for name, version in sorted(made.package_versions.items()))
    return {
        "started": made.started_at.strftime("%Y-%m-%d %H:%M UTC"),
        "version": f"ppbench {made.ppbench_version}, commit {made.git_commit or 'unknown'}",
        "machine": f"{made.cpu}, {made.n_cpus} cores, {made.platform}, Python {made.python_version}",
        "packages": packages,
        "data": f"{made.data_route or 'unknown'}, SHA-256 {made.data_sha256 or 'unknown'}",
        "configuration": made.config_hash,
        **({"confinement": made.confinement} if made.confinement else {}),
        **{f"{party} on": machine.cpu for party, machine in made.machines.items()},
    }


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
