"""The training rounds of one party: what each came to, cut where the party says that it ends."""

from __future__ import annotations

import operator

from ppbench.errors import ProtocolError
from ppbench.launch.reports import RoundReport, Traffic
from ppbench.meter import Meter
from ppbench.party import Party
from ppbench.wire.connection import CHANNEL


class TrainingRounds:
    """Made when training begins; `ended` is to be called in the thread that trains."""

    def __init__(self, party: Party, meter: Meter) -> None:
        self.reports: list[RoundReport] = []
        self._party = party
        self._meter = meter
        self._seconds = self._seconds_now()
        self._counts = self._counts_now()

    def ended(self, number: int | None) -> None:
        """Cut a round off here. Raises ProtocolError for what is no number, and for one that is not above the last."""
        last = self.reports[-1].number if self.reports else -1
        try:
            number = last + 1 if number is None else operator.index(number)
        except TypeError:
            raise ProtocolError(f"{self._party.name} ends training round {number!r}: a whole number is due") from None
        if number <= last:
            due = f"is not above {last}" if self.reports else "is none: they begin with 0"
            raise ProtocolError(f"{self._party.name} ends training round {number}, which {due}")
        cpu_s, wall_s, channel_cpu_s = (
            now - then for now, then in zip(self._seconds_now(), self._seconds, strict=True)
        )
        before, counts = self._counts, self._counts_now()
        self.reports.append(
            RoundReport(
                number=number,
                cpu_s=cpu_s,
                wall_s=wall_s,
                channel_cpu_s=channel_cpu_s,
                rounds=self._party.path.depth,
                traffic={peer: count.since(before[peer]) for peer, count in counts.items() if count != before[peer]},
                # A role may go on in the same arrays.
                published={name: array.copy() for name, array in self._party.published.items()},
            )
        )
        self._party.published = {}
        # What it took to note a round is no round's.
        self._counts, self._seconds = counts, self._seconds_now()

    def _seconds_now(self) -> tuple[float, float, float]:
        """CPU, wall, and CPU in channels."""
        return *self._meter.elapsed(), self._party.channel_cpu_s

    def _counts_now(self) -> dict[str, Traffic]:
        # As channels count: the kernel's counts stand still at a barrier only, and there is none here.
        return {
            peer: Traffic(
                **vars(channel.counts),
                payload_bytes_sent=channel.connection.frame_bytes_sent,
                payload_bytes_received=channel.connection.frame_bytes_received,
                source=CHANNEL,
            )
            for peer, channel in self._party.channels.items()
        }
