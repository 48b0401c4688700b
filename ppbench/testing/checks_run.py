"""What a job brings: answers, records, bytes; the same on every wire and every time."""

from __future__ import annotations

import pandas as pd

from ppbench.report.summary import summary
from ppbench.scheme import PARTICIPANT
from ppbench.testing.case import N_ODD_SAMPLES, N_SAMPLES, Case
from ppbench.testing.outcome import Outcome
from ppbench.testing.result import require, skip_if

_NO_ANSWERS = "there is no online stage"
_COLUMNS = (
    "n_samples",
    "participant_peak_rss_bytes",
    "coordinator_peak_rss_bytes",
    "participant_setup_cpu_s",
    "coordinator_setup_cpu_s",
    "setup_up_bytes",
    "setup_down_bytes",
    "prepare_cpu_s",
    "model_cpu_s",
    "bytes_source",
)
_TRAIN_COLUMNS = ("n_train_samples", "participant_train_cpu_s", "coordinator_train_cpu_s")
_ANSWER_COLUMNS = (
    "accuracy",
    "accuracy_plaintext",
    "agreement",
    "participant_cpu_s_per_sample",
    "coordinator_cpu_s_per_sample",
    "latency_s_per_batch",
    "up_bytes_per_sample",
    "down_bytes_per_sample",
    "up_message_bytes_per_sample",
    "down_message_bytes_per_sample",
    "rounds",
)


def completes_a_job(case: Case) -> None:
    """A short job of two full batches, each party in its process, ends well."""
    _require_ok(case.plain)


def answers_every_sample(case: Case) -> None:
    """Every sample is answered once, with one of the data set's classes."""
    skip_if(not case.answers, _NO_ANSWERS)
    answered = case.need(case.plain).values("online", "n_answers")
    require(answered == [N_SAMPLES], f"{answered or 'no'} answers for {N_SAMPLES} samples")


def records_are_complete(case: Case) -> None:
    """Every value of the summary that applies was measured; where bytes move online, rounds were counted."""
    outcome = case.need(case.plain)
    row = summary([outcome.record]).iloc[0]
    columns = _COLUMNS + (_ANSWER_COLUMNS if case.answers else ())
    if case.scheme.takes_part_in("train"):
        columns += _TRAIN_COLUMNS
    if case.third_parties and case.answers:
        columns += ("third_party_cpu_s_per_sample", "third_party_bytes_per_sample")
    missing = [column for column in columns if pd.isna(row[column])]
    require(not missing, f"the summary lacks {', '.join(missing)}")
    if sum(outcome.values("online", "payload_bytes_sent")) > 0:
        require(row["rounds"] >= 1, "bytes moved online, but no round was counted: an engine's own must be reported")


def takes_an_odd_last_batch(case: Case) -> None:
    """37 samples in batches of 16: the last batch has 5."""
    skip_if(not case.answers, _NO_ANSWERS)
    case.need(case.plain)
    _require_ok(case.odd)
    require(case.odd.values("online", "n_answers") == [N_ODD_SAMPLES], "not every sample was answered")


def takes_batches_of_one(case: Case) -> None:
    """A device with one sample at a time is served."""
    skip_if(not case.answers, _NO_ANSWERS)
    case.need(case.plain)
    outcome = case.light("single", n_samples=2, batch_size=1)
    _require_ok(outcome)
    require(outcome.values("online", "n_answers") == [2], "not every sample was answered")


def serves_two_participants(case: Case) -> None:
    """Two participants at once, each with samples of its own, unless the card says that it serves one alone."""
    skip_if(not case.scheme.card.several_participants, "the card says that a job has one participant")
    case.need(case.plain)
    _require_ok(case.pair)
    if case.answers:
        require(case.pair.values("online", "n_answers") == [2 * N_SAMPLES], "not every sample was answered")


def repeats_its_passes(case: Case) -> None:
    """A warm-up and two passes over the samples in the same processes: nothing made once is used up."""
    skip_if(not case.answers, _NO_ANSWERS)
    case.need(case.plain)
    outcome = case.light("repeated", warmup_batches=1, repetitions=2)
    _require_ok(outcome)
    require(outcome.values("online", "n_answers") == [N_SAMPLES] * 2, "not every sample was answered twice")


def same_seed_gives_same_answers(case: Case) -> None:
    """If the card says that answers are seeded, the same job in fresh processes answers the same."""
    skip_if(not case.answers, _NO_ANSWERS)
    skip_if(not case.scheme.card.seeded_answers, "the card says that answers depend on the operating system's chance")
    first, second = case.need(case.pair).measured_reports(), case.pair.reports()
    for party, report in second.items():
        if party in first and _answering(party):
            pairs = zip(first[party]["answers"], report["answers"], strict=True)
            n_other = sum(1 for one, other in pairs if one != other)
            require(not n_other, f"{party} answers {n_other} of its {len(report['answers'])} batches otherwise")


def same_job_moves_same_bytes(case: Case) -> None:
    """If the card says that bytes are deterministic, the same job in fresh processes sends the same messages."""
    skip_if(not case.scheme.card.deterministic_bytes, "the card says that they differ")
    first, second = case.need(case.pair).measured_reports(), case.pair.reports()
    for party, report in second.items():
        if party in first and not _serves(case, party):
            before, after = first[party]["traffic"], report["traffic"]
            require(before == after, f"{party} exchanged {before} in the first run and {after} in the second")


def every_message_is_received(case: Case) -> None:
    """No party sends what nobody takes: such bytes would be counted and mean nothing."""
    skip_if(case.scheme.card.tolerates_dropouts, "messages to participants that drop out may be lost")
    outcome = case.need(case.plain)
    sent = {(r.party, r.peer): 0.0 for r in outcome.record.records if r.metric == "messages_sent"}
    for party, peer in sent:
        n_sent = outcome.total("messages_sent", party, peer)
        n_received = outcome.total("messages_received", peer, party)
        require(n_sent == n_received, f"{party} sent {n_sent:.0f} messages to {peer}, which took {n_received:.0f}")


def memory_wire_moves_the_same_bytes(case: Case) -> None:
    """On the in-memory wire the job ends well too, with the same messages between the same parties."""
    plain, memory = case.need(case.plain), case.memory
    _require_ok(memory)
    skip_if(not case.scheme.card.deterministic_bytes, "the card says that bytes differ")
    for metric in ("messages_sent", "messages_received", "message_bytes_sent", "message_bytes_received"):
        on_tcp, in_memory = _traffic(plain, metric), _traffic(memory, metric)
        require(on_tcp == in_memory, f"{metric} is {on_tcp} over TCP and {in_memory} in memory")


def _answering(party: str) -> bool:
    """Whether it is a participant, which alone has samples to answer."""
    return party.startswith(PARTICIPANT)


def _require_ok(outcome: Outcome) -> None:
    require(outcome.record.status == "ok", outcome.reason, outcome.evidence())


def _serves(case: Case, party: str) -> bool:
    role = PARTICIPANT if _answering(party) else party
    return case.scheme.roles[role].takes_part_in("serve")


def _traffic(outcome: Outcome, metric: str) -> dict[tuple[str, str | None, str | None, int | None], float]:
    found = [r for r in outcome.record.records if r.metric == metric]
    return {(r.stage, r.party, r.peer, r.training_round): r.value for r in found}
