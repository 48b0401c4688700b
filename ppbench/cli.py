"""The command `ppbench`."""

from __future__ import annotations

import argparse
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from ppbench import __version__
from ppbench.app.display import DEBUG, complain
from ppbench.app.streams import make_tolerant
from ppbench.errors import PpbenchError

_COMMANDS = {
    "run": "measure: any Hydra override, as in: ppbench run scheme=obfnet; -m sweeps",
    "list": "schemes, data sets, models, wires, links and devices, and whether they can run here",
    "participant": "take part as the IoT device in the runs of a harness on another machine (wire=remote)",
    "report": "write the tables and pictures of a results folder anew",
    "pack": "put the jobs of a results folder into two files, which `ppbench report` reads as it reads their folders",
    "recommend": "which of the measured schemes a device could use, for whom, and why not the others",
    "compare": "what two results folders differ in: bytes, rounds and accuracy decide, times are shown",
    "check": "run the conformance checks on a scheme, a data set or a model",
    "doctor": "the machine, the versions, and what is missing",
}
FORMATS = ("markdown", "json")
"""Of what `compare` and `recommend` print."""
_IN_TURN = 10
USAGE_STATUS = 2
FAULT_STATUS = 3
_STATUSES = """exit status:
  0    all that was asked for was done; a scheme whose engine is not installed is told and does not count
  1    a job failed or did not end, or none could be measured; a check failed; something is missing or has become worse
  2    it was asked wrongly, or what it needs cannot be read or written; the message says what and where
  3    a fault of ppbench's own: `ppbench --debug ...` shows where
  5, 6 of `compare`: of what both folders have nothing can be told; they have nothing in common
  130  interrupted by Ctrl-C (143 by SIGTERM, 129 by SIGHUP); what was measured is kept and in summary.csv
"""
_DEVICE_WAITS_S = 600.0
_ONE_PRESS_S = 0.5
_interrupted_s = -math.inf
_OURS = ("ppbench", "schemes")


class Interrupted(KeyboardInterrupt):
    """A signal asks us to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; `_STATUSES` says what its status means."""
    if arguments is None:
        make_tolerant()
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed, given = _parsed(given)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    # SIGINT also where the shell that started us in the background has it ignored, SIGHUP not under nohup.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)
    try:
        status = _dispatch(parsed, given)
        sys.stdout.flush()
        return status
    except PpbenchError as error:
        complain(error)
        return USAGE_STATUS
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _OURS:
            complain(error)
            return FAULT_STATUS
        print(f"ppbench: no {error.name} here: install ppbench-iot with its extra 'bench'", file=sys.stderr)
        return USAGE_STATUS
    except OSError as error:
        complain(error)
        return USAGE_STATUS
    except Exception as error:
        complain(error)
        return FAULT_STATUS
    except KeyboardInterrupt as interrupted:
        # What comes while the process ends changes nothing of how it ended.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        print("ppbench: interrupted; what was measured is kept, and every party has been ended", file=sys.stderr)
        return interrupted.status if isinstance(interrupted, Interrupted) else 128 + signal.SIGINT


def _parsed(given: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The command, and the arguments without what is for all commands."""
    parser = argparse.ArgumentParser(
        prog="ppbench",
        description="What privacy costs an IoT device, measured.",
        epilog=_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help=f"show tracebacks (as {DEBUG}=1 in the environment does)")
    parser.add_argument("--version", action="version", version=f"ppbench {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, add_help=name != "run")
        if name in ("report", "pack"):
            command.add_argument("results_dir", type=Path, metavar="DIR")
        elif name == "compare":
            command.usage = (
                "%(prog)s [--format FORMAT] BEFORE AFTER\n"
                "       %(prog)s [--format FORMAT] --interleave OTHER [--processes N] OVERRIDE ..."
            )
            command.add_argument("given", nargs="+", metavar="DIR", help="results folders; -: the newest of your own")
            command.add_argument(
                "--interleave",
                metavar="OTHER",
                help="measure a revision, or another Python's ppbench, and this one by turns",
            )
            command.add_argument("--processes", type=int, default=_IN_TURN, help="of each (default: %(default)s)")
            command.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="default: %(default)s")
            command.epilog = "exit status 0: no regression, 1: a regression, 5: not comparable, 6: nothing compared"
        elif name == "recommend":
            command.add_argument("results_dir", type=Path, metavar="DIR")
            command.add_argument(
                "question",
                nargs="*",
                metavar="KEY=VALUE",
                help="device, link (names in `ppbench list`, or files of your own) and samples_per_day; and what else "
                "matters: battery_wh, n_devices, accuracy_min, latency_max_s, third_party=false, task, dataset, model",
            )
            command.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="default: %(default)s")
        elif name == "participant":
            command.add_argument("--connect", required=True, metavar="HOST:PORT", help="where the harness listens")
            command.add_argument("--token-file", required=True, type=Path, help="a copy of the harness's token file")
            command.add_argument("--tls", action="store_true", help="encrypt, as the harness does with remote.tls=true")
            command.add_argument("--index", type=int, help="which participant to be (default: the next free one)")
            command.add_argument(
                "--wait-s", type=float, default=_DEVICE_WAITS_S, help="how long to wait for a harness that is not there"
            )
        elif name == "check":
            command.add_argument("name", metavar="NAME", help="or KIND=NAME, where several kinds have one of this name")
            command.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="as in: model=mlp model.epochs=1")
    # Wherever it stands: an argument of `run` is Hydra's, and Hydra does not know it.
    anywhere = [argument for argument in given if argument != "--debug"]
    parsed, overrides = parser.parse_known_args(anywhere)
    if overrides and parsed.command != "run":
        parser.error(f"'{overrides[0]}' is no argument of 'ppbench {parsed.command}'")
    if len(anywhere) < len(given):
        os.environ[DEBUG] = "1"
    return parsed, anywhere


def _dispatch(parsed: argparse.Namespace, given: list[str]) -> int:
    if parsed.command == "run":
        from ppbench.app.hydra_app import run

        return run(given[given.index("run") + 1 :])
    if parsed.command == "list":
        from ppbench.app.catalogue import print_catalogue

        print_catalogue()
        return 0
    if parsed.command == "participant":
        from ppbench.app.participant_command import participate

        return participate(parsed.connect, parsed.token_file, parsed.wait_s, parsed.index, parsed.tls)
    if parsed.command == "report":
        from ppbench.app.report import write_report

        for path in write_report(parsed.results_dir):
            print(path)
        return 0
    if parsed.command == "pack":
        from ppbench.store import pack

        print(f"packed {pack(parsed.results_dir)} jobs of {parsed.results_dir}")
        return 0
    if parsed.command == "recommend":
        from ppbench.app.recommend import print_recommendation

        print_recommendation(parsed.results_dir, parsed.question, parsed.format)
        return 0
    if parsed.command == "compare":
        from ppbench.app.compare import print_comparison, print_in_turn

        if parsed.interleave is None:
            return print_comparison(parsed.given, parsed.format)
        return print_in_turn(parsed.interleave, parsed.given, parsed.processes, parsed.format)
    if parsed.command == "check":
        from ppbench.app.check import print_check

        return 0 if print_check([parsed.name, *parsed.overrides]) else 1
    from ppbench.app.doctor import print_diagnosis

    return 0 if print_diagnosis() else 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    """A terminal, and a nervous hand, send it twice; a second one later ends what does not come to an end."""
    global _interrupted_s
    before_s, _interrupted_s = _interrupted_s, time.monotonic()
    if _interrupted_s - before_s > _ONE_PRESS_S:
        raise Interrupted(number)


if __name__ == "__main__":
    sys.exit(main())
