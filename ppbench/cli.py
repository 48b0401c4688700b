"""The command `ppbench`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from ppbench.errors import PpbenchError

_COMMANDS = {
    "run": "measure: any Hydra override, as in: ppbench run scheme=obfnet; -m sweeps",
    "list": "schemes, data sets, models, attacks, links and devices, and whether they can run here",
    "participant": "take part as the IoT device in the runs of a harness on another machine (wire=remote)",
    "report": "write the tables and pictures of a results folder anew",
    "check": "run the conformance checks on a scheme",
    "doctor": "the machine, the versions, and what is missing",
}
USAGE_STATUS = 2
_DEVICE_WAITS_S = 600.0
_OURS = ("ppbench", "schemes")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the status is 0 if it did all it was asked, 1 if not, 2 if it was asked wrongly."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="ppbench", description="What privacy costs an IoT device, measured.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, add_help=name != "run")
        if name == "report":
            command.add_argument("results_dir", type=Path, metavar="DIR")
        elif name == "participant":
            command.add_argument("--connect", required=True, metavar="HOST:PORT", help="where the harness listens")
            command.add_argument("--token-file", required=True, type=Path, help="a copy of the harness's token file")
            command.add_argument("--index", type=int, help="which participant to be (default: the next free one)")
            command.add_argument(
                "--wait-s", type=float, default=_DEVICE_WAITS_S, help="how long to wait for a harness that is not there"
            )
        elif name == "check":
            command.add_argument("scheme", metavar="NAME")
    parsed, overrides = parser.parse_known_args(given)
    if overrides and parsed.command != "run":
        parser.error(f"'{overrides[0]}' is no argument of 'ppbench {parsed.command}'")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    # Also where the shell that started us in the background has SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return _dispatch(parsed, given)
    except PpbenchError as error:
        print(f"ppbench: {error}", file=sys.stderr)
        return USAGE_STATUS
    except ModuleNotFoundError as error:
        if error.name in _OURS:
            raise
        print(f"ppbench: no {error.name} here: install ppbench-iot with its extra 'bench'", file=sys.stderr)
        return USAGE_STATUS
    except KeyboardInterrupt:
        print("ppbench: interrupted; what was measured is kept, and every party has been ended", file=sys.stderr)
        return 130


def _dispatch(parsed: argparse.Namespace, given: list[str]) -> int:
    if parsed.command == "run":
        from ppbench.hydra_app import run

        return run([argument for argument in given if argument != "run"])
    if parsed.command == "list":
        from ppbench.catalogue import print_catalogue

        print_catalogue()
        return 0
    if parsed.command == "participant":
        from ppbench.participant import participate

        return participate(parsed.connect, parsed.token_file, parsed.wait_s, parsed.index)
    if parsed.command == "report":
        from ppbench.report.write import write_report

        for path in write_report(parsed.results_dir):
            print(path)
        return 0
    if parsed.command == "check":
        from ppbench.testing import print_check

        return 0 if print_check(parsed.scheme) else 1
    from ppbench.doctor import print_diagnosis

    return 0 if print_diagnosis() else 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
