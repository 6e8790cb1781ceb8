"""How others arrive at wrong figures: one small rule for each trap, so that a test shows what it is that it guards against.

The rules are written down from the sources of the tools that are named; where a rule needs samples it takes an array of
dtype SAMPLE. They are wrong on purpose. A test of a trap asserts what the wrong rule says on the same facts: without
that, it could pass although its facts do not spring the trap at all.
"""

from __future__ import annotations

import itertools
import urllib.error
import urllib.request

import numpy as np

from rehearsal.recording.sampleclass import SampleClass

S = 1_000_000_000
SYN_AGAIN_S = (1, 3, 7, 15, 31)  # when Linux sends a lost SYN again


def _runs(bad):
    """Return the runs of True as (first, last)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], bad, [False]]).astype(int)))
    return [(int(low), int(high) - 1) for low, high in edges.reshape(-1, 2)]


def failed(samples):
    """Return which samples failed, whoever's fault it was."""
    return samples["sample_class"] != SampleClass.OK


# --- when is an outage, and how long --------------------------------------------------------------------------------


def patient_failures(samples, lost, timeout_s):
    """OpenShift, OSA, Yardstick, Tobiko: with a long timeout a lost SYN is sent again and becomes a late success."""
    (low_s, high_s) = lost
    in_outage = [sent / S for sent in samples["sent"].tolist() if low_s <= sent / S < high_s]
    return [
        sent for sent in in_outage if not any(again <= timeout_s and sent + again >= high_s for again in SYN_AGAIN_S)
    ]


def onset_when_caught_ns(samples):
    """OSA: the outage begins when the exception is caught."""
    return int(samples["done"][np.flatnonzero(failed(samples))[0]])


def outages_of_two_and_more(samples):
    """Krkn: an outage ends with its tracker, which is dropped on a change of state: one failed sample leaves nothing."""
    return [run for run in _runs(failed(samples)) if run[0] != run[1]]


def span_s(outages):
    """Yardstick: the last bad end minus the first bad start."""
    return (outages[-1].last_bad_ns - outages[0].first_bad_ns) / S


def losses_times_interval_s(samples, interval_s):
    """Tempest, tripleo-upgrade: the number of lost packets times the interval."""
    return int(failed(samples).sum()) * interval_s


def losses_until_the_counter_stops_s(samples, interval_s, stops_after_s=12.6):
    """Fping 5.1 with -l -p 20 -t 1000: after 12.6 s of loss without a break, later losses are not counted."""
    counted = 0
    for first, last in _runs(failed(samples)):
        counted += min(last - first + 1, round(stops_after_s / interval_s))
        if (last - first + 1) * interval_s > stops_after_s:
            break
    return counted * interval_s


def in_whole_seconds(from_ns, to_ns):
    """Tobiko, OpenShift's artefacts: moments are kept in whole seconds."""
    return to_ns // S - from_ns // S


def split_by_error(samples):
    """OpenShift: an interval ends where the text of the error changes."""
    classes = samples["sample_class"].tolist()
    return sum(name != SampleClass.OK for name, _ in itertools.groupby(classes))


def from_first_bad_to_first_good_s(samples):
    """OpenShift: what is failing when the run starts begins with the first bad sample, like any other outage."""
    first, last = _runs(failed(samples))[0]
    return (int(samples["sent"][last + 1]) - int(samples["sent"][first])) / S


def closed_outages(samples):
    """OpenShift #30771: only what a good sample ended is reported; the rest is lost at shutdown."""
    return [run for run in _runs(failed(samples)) if run[1] + 1 < len(samples)]


def cancelled_is_good(samples):
    """OpenShift: a request that was cancelled counts as answered. Returns which samples failed."""
    return failed(samples) & (samples["sample_class"] != SampleClass.CANCELLED_BY_STOP)


def at_least_a_second_s(length_s):
    """OpenShift: whole seconds, and never less than one."""
    return max(1, round(length_s))


def within_grace(length_s, budget_s):
    """OpenShift: five seconds, or a fifth of the budget, are forgiven."""
    return length_s <= budget_s + max(5.0, 0.2 * budget_s)


def share_good(samples):
    """Anybody who prints "100 % available": good samples among those that there are."""
    return float((~failed(samples)).mean())


def quiet_seconds(moments_s):
    """Tobiko's iperf3: seconds in which not one byte arrived."""
    bins = {int(moment) for moment in moments_s}
    return sorted(set(range(min(bins), max(bins) + 1)) - bins)


def no_answer_yet(sent_ns, period_ns, arrived_ns):
    """Parsers of `ping -O`: no answer when the next request is due is a loss."""
    return arrived_ns - sent_ns > period_ns


# --- what an answer means --------------------------------------------------------------------------------------------


def below_500_is_ok(status):
    """Tobiko: 200 to 499 is OK."""
    return 200 <= status < 500


def status_or_500(url):
    """Krkn: whatever goes wrong is a 500."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except Exception:  # noqa: BLE001 - this is the rule
        return 500


def fallen_through(url):
    """scs-health-monitor: the branch of success goes on to a second ping. Returns how many results it records."""
    good = status_or_500(url) == 200
    if good:
        pass  # here it should have returned
    status_or_500(url)
    return 1


def made_by_the_balancer(head):
    """Nobody in particular: an answer without a request id was not made by the service."""
    return b"x-openstack-request-id" not in head.lower()


def charged_by_url(windows):
    """Anybody who reads only statuses: a failure belongs to the service whose URL was asked."""
    return {window.probe_name.split()[0] for window in windows}


def same_identifier_and_sequence(identifier, sequence, heard_identifier, heard_sequence):
    """The rule of icmplib 3.0.4: a reply is ours if identifier and sequence number fit."""
    return (identifier, sequence) == (heard_identifier, heard_sequence)


def over_time(row, deadline_ns):
    """Any client that looks at the clock before it looks at the socket: the deadline has passed."""
    return row.done - row.sent > deadline_ns


# --- what figures mean -----------------------------------------------------------------------------------------------


def rank_of_few(values, share):
    """OpenShift's baselines: the percentile of however few runs there are."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def missing_is_a_number(value):
    """OpenShift: where there is no data, 2.718 stands for it."""
    return 2.718 if value is None else value


def blind_if_any(controls):
    """OpenShift #27179: one control that failed blames the prober."""
    return any(controls)


def sum_over_lanes_s(windows):
    """OpenShift #27415: every lane's outage is added."""
    return sum(window.length.point_ns for window in windows) / S


def by_wall_clock_s(clock_pairs, from_ns, to_ns):
    """Nearly all: the difference of what the wall clock showed at two moments."""

    def wall_ns(moment_ns):
        monotonic_ns, clock_ns = max(pair for pair in clock_pairs if pair[0] <= moment_ns)
        return clock_ns + moment_ns - monotonic_ns

    return (wall_ns(to_ns) - wall_ns(from_ns)) / S


def no_failure_is_ok(windows):
    """Tobiko: nothing bad in the log is a success, also if the log just ends."""
    return not windows


def rounded_fits(length_ns, budget_ns):
    """Tripleo: truncated seconds against a budget in seconds."""
    return length_ns // S <= round(budget_ns / S)


def completed_is_fine(status):
    """Nova's word alone."""
    return status == "completed"


def same_states(before, after):
    """Tobiko: containers are compared by host, name and state only."""
    return [row["name"] for row in before.containers] == [row["name"] for row in after.containers]


def total_fits(total, budget_s):
    """Judges of totals only: what is certain in sum fits."""
    return total.certain_ns <= budget_s * S


def point_fits(length, budget_s):
    """Rules with one figure and no bounds: the likeliest length fits."""
    return length.point_ns <= budget_s * S


def most_at_once(dues, within_ns):
    """Return how many of these moments lie within so short a time: the burst that a server sees."""
    ordered = np.sort(dues)
    return int((np.searchsorted(ordered, ordered + within_ns, side="right") - np.arange(len(ordered))).max())
