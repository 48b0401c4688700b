"""The configuration as Hydra composes it: plugins' options as defaults, files in conf/ as named choices on top.

Every plugin's dataclass is a choice in its group, so a stranger's scheme needs no file: `scheme=theirs` works, and
`ppbench run --help` shows it. A package that declares a plugin may add files of its own in a folder `conf`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from hydra import compose, version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ppbench import profiles
from ppbench.app.sweep import expand
from ppbench.errors import ConfigError, PpbenchError, UnavailableError, told, unknown
from ppbench.launch.wires import WIRES, open_wire
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.options import typed_fields
from ppbench.registry import REGISTRIES, Registry

JOB_KEYS = ("scheme", "dataset", "model", "task", "measure", "wire", "link", "seed")
"""What describes a job."""
_NEW_RESULTS_DIR = "new_results_dir"
"""The key of the folder that a command makes for its results; `results_dir` is that, if nobody says otherwise."""
_RUN_KEYS = ("results_dir", _NEW_RESULTS_DIR, "resume", "hydra")

Resume = bool | Literal["any"]
"""Whether a job that was measured well is left as it is: if nothing of its identity changed, or in `any` case."""


class PluginConfigs(SearchPathPlugin):
    """Adds the `conf` folders of the packages that declare plugins to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append them after ppbench's own."""
        for package, folder in profiles.plugin_conf_dirs().items():
            search_path.append(provider=f"ppbench-{package}", path=f"file://{folder}")


def choices_of(group: str) -> dict[str, str]:
    """The named choices that configuration files add to a group -> the first sentence of each file's comment."""
    return {name: _first_sentence(path) for name, path in profiles.files_of(group).items()}


def _first_sentence(path: Path) -> str:
    lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    comment = " ".join(line.lstrip("# ") for line in lines if not line.startswith("# @"))
    sentence, end, _ = comment.partition(". ")
    return sentence + end.strip()


def register() -> None:
    """Make Hydra know the plugins; without effect the second time."""
    store = ConfigStore.instance()
    sections = {
        "task": TaskOptions(),
        "measure": MeasureOptions(),
        **{name: kind() for name, kind in _wires_with_settings().items()},
    }
    store.store(name="ppbench_defaults", node={name: vars(options) for name, options in sections.items()})
    for registry in REGISTRIES:
        for name in registry.names():
            try:
                plugin = registry.load(name)
            except UnavailableError:
                # Still a choice, so that it can be asked for and say why it cannot run.
                options: dict[str, Any] = {}
            else:
                options = plugin.defaults()
            store.store(group=registry.what, name=name, node={"name": name, **options})
    Plugins.instance().register(PluginConfigs)


@dataclasses.dataclass(frozen=True)
class Composed:
    """What a command line asks for."""

    jobs: list[DictConfig]
    """The configuration of every job, sweeps and experiments expanded."""
    is_sweep: bool
    """Whether an experiment, or `hydra.mode`, says that there may be several."""
    sweeper: str
    """Hydra's choice of who expands the jobs."""
    launcher: str
    """Hydra's choice of who runs them, if there may be several."""


def compose_all(
    overrides: Sequence[str],
    config_dir: str | None = None,
    config_name: str | None = None,
    config_path: str | None = None,
) -> Composed:
    """Everything that these overrides ask for.

    `config_dir` is a folder with further choices, `config_path` one that stands in for ppbench's own, `config_name` the
    file to start from. Raises ConfigError, in one line, for what Hydra or the plugins do not know.
    """
    name = config_name or "config"
    try:
        with _hydra(config_dir, config_path):
            _check_choices(overrides, name)
            loader = GlobalHydra.instance().config_loader()
            parsed = OverridesParser.create(loader).parse_overrides(list(overrides))
            fixed = [override.input_line for override in parsed if not override.is_sweep_override()]
            hydra = compose(name, [line for line in fixed if line], return_hydra_config=True).hydra
            lines = expand(hydra.sweeper.get("jobs") or [], overrides, loader)
            if not lines:
                raise ConfigError(f"no job is asked for: nothing that there is fits {' '.join(overrides)}")
            jobs = [compose(name, line) for line in lines]
            choices = hydra.runtime.choices
            return Composed(jobs, hydra.mode == RunMode.MULTIRUN, choices["hydra/sweeper"], choices["hydra/launcher"])
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(" ".join(str(error).split())) from error


@contextlib.contextmanager
def _hydra(config_dir: str | None, config_path: str | None) -> Iterator[None]:
    """As `hydra.initialize_config_dir`, which takes no second folder."""
    if config_dir is not None and not Path(config_dir).is_dir():
        raise ConfigError(f"--config-dir {config_dir} is no folder")
    GlobalHydra.instance().clear()
    version.setbase("1.3")
    search_path = create_config_search_path(config_path or str(profiles.CONF_DIR))
    if config_dir is not None:
        there = f"file://{os.path.abspath(config_dir)}"
        search_path.prepend(provider="command-line", path=there, anchor=SearchPathQuery(provider="schema"))
    Hydra.create_main_hydra2(task_name="ppbench", config_search_path=search_path)
    try:
        yield
    finally:
        GlobalHydra.instance().clear()


def results_dir(composed: DictConfig) -> Path:
    """Where the results of a composed configuration go, as it was given. Raises ConfigError if that is no name."""
    given = composed.results_dir
    if given is None or not str(given).strip():
        raise ConfigError(f"results_dir={given} must be the name of a folder")
    return Path(str(given)).expanduser()


def new_results_dir_override(folder: Path) -> str:
    """What tells a command line of the folder that is there for its results."""
    return f"{_NEW_RESULTS_DIR}={quoted(str(folder))}"


def resume(composed: DictConfig) -> Resume:
    """What a composed configuration says of jobs that were measured before. Raises ConfigError if it is no answer."""
    given = composed.resume
    if given is True or given is False or given == "any":
        return given  # type: ignore[no-any-return]
    raise ConfigError(f"resume={given} is not one of true, false, any")


def readable(overrides: Sequence[str]) -> list[str]:
    """Overrides with the values quoted that Hydra's grammar has no word for, as in `results_dir=größe`.

    Raises ConfigError for one that is not `key=value`.
    """
    return [_readable(override) for override in overrides]


def _readable(override: str) -> str:
    parser = OverridesParser.create()
    try:
        parser.parse_override(override)
        return override
    except HydraException as error:
        key, equals, value = override.partition("=")
        again = f"{key}={quoted(value)}"
        with contextlib.suppress(HydraException):
            if equals and value and value[0] not in "'\"[{(":
                parser.parse_override(again)
                return again
        raise ConfigError(f"'{override}' cannot be read: {' '.join(str(error).split())}") from error


def quoted(text: str) -> str:
    """A text as a value that Hydra's grammar takes as it is, whatever characters it holds."""
    return "'" + text.replace("'", "\\'") + "'"


def _check_choices(overrides: Sequence[str], name: str) -> None:
    """Refuse an unknown choice or option with the nearest known one; Hydra's own message names neither."""
    loader = GlobalHydra.instance().config_loader()
    parsed = OverridesParser.create(loader).parse_overrides(list(overrides))
    chosen = []
    for override in parsed:
        if override.key_or_group == "device":
            raise ConfigError(
                f"{override.input_line}: no job runs on a device; modelled.csv has every job that was measured with "
                "measure.calibrate=true on each device of `ppbench list`"
            )
        options = loader.get_group_options(override.key_or_group)
        values = override.sweep_string_iterator() if override.is_sweep_override() else [override.value()]
        for value in values if options else ():
            if str(value) not in options:
                raise unknown(override.key_or_group, str(value), options)
            chosen.append((override.key_or_group, str(value)))
    if any(group == "experiment" for group, _ in chosen):
        return  # its jobs choose schemes of their own, and so options that the default scheme does not have
    for override in parsed:
        section, dot, option = override.key_or_group.partition(".")
        if dot and section in (*JOB_KEYS, *_wires_with_settings()):
            selected: list[str | None] = [value for group, value in chosen if group == section]
            known = {key for value in selected or [None] for key in _options_of(section, value, name)}
            if option not in known:
                raise unknown(f"option in {section}", option, known)


def _options_of(section: str, choice: str | None, name: str) -> list[str]:
    composed = compose(name, [f"{section}={choice}"] if choice else [])
    return [str(key) for key in composed.get(section) or ()]


def job_config(config: DictConfig) -> dict[str, Any]:
    """The part of a composed configuration that describes a job, resolved. Raises ConfigError for an unknown key."""
    known = (*JOB_KEYS, *_RUN_KEYS, *_wires_with_settings())
    for key in config:
        if key not in known:
            raise unknown("configuration key", str(key), known)
    job = OmegaConf.masked_copy(config, list(JOB_KEYS))
    container = OmegaConf.to_container(job, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def to_job(config: DictConfig) -> Job:
    """The job of a composed configuration. Raises ConfigError or UnavailableError."""
    return Job.from_config(job_config(config))


def why_not(registry: Registry[Any], choice: str) -> str | None:
    """What keeps a named choice of a plugin and its options from running here; None if nothing does."""
    try:
        options = _composed_choice(registry, choice)
        plugin = registry.load(options.pop("name"))
        reason: str | None = plugin(**typed_fields(plugin, registry.what, options)).unavailable()
    except PpbenchError as error:
        return str(error)
    except Exception as error:  # a plugin may raise anything
        return f"{registry.what} '{choice}' cannot say whether it can run here ({told(error)})"
    return reason and f"{registry.what} {reason}"


def _composed_choice(registry: Registry[Any], choice: str) -> dict[str, Any]:
    """The name of the plugin and all options, as Hydra composes them, at a hundredth of its time.

    Raises ConfigError for a file that starts from anything but choices of its own group.
    """
    path = profiles.files_of(registry.what).get(choice)
    if path is None:
        return {"name": choice, **registry.load(choice).defaults()}
    where = f"{registry.what}/{path.name}"
    own = dict(profiles.content(path, where))
    starts = own.pop("defaults", [])
    composed: dict[str, Any] = {}
    for start in starts:
        if not isinstance(start, str):
            raise ConfigError(f"{where}: defaults that are no choices of {registry.what} are not looked into")
        composed |= own if start == "_self_" else _composed_choice(registry, start)
    return composed if "_self_" in starts else composed | own


def check_wires(config: DictConfig) -> None:
    """Refuse what a composed configuration says of any wire and that one does not take, with ConfigError."""
    for name in _wires_with_settings():
        _settings(name, config)


def open_wire_of(config: DictConfig) -> None:
    """Make ready the wire of a composed configuration, with what it says of that. Raises PpbenchError."""
    name = str(config.wire)
    try:
        wire = WIRES.load(name)
    except UnavailableError:
        return  # the job says so in its row
    open_wire(wire, _settings(name, config))


def _settings(name: str, config: DictConfig) -> Any:
    kind = _wires_with_settings().get(name)
    return kind and kind(**typed_fields(kind, name, dict(config[name])))


@functools.cache
def _wires_with_settings() -> dict[str, type[Any]]:
    """Wire, and so section of the configuration -> the dataclass of it."""
    found = {}
    for name in WIRES.names():
        with contextlib.suppress(UnavailableError):
            if settings := WIRES.load(name).settings:
                found[name] = settings
    return found
