"""The canaries of a run: put up, watched, migrated on occasion, removed. What is missing is said, never passed over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from typing import Any

from rehearsal.canaries import clean as cleaning
from rehearsal.canaries import hearing
from rehearsal.canaries import making
from rehearsal.canaries import migration
from rehearsal.canaries.ledger import Ledger
from rehearsal.canaries.ledger import LedgerError
from rehearsal.canaries.model import CanaryError
from rehearsal.recording.events import CanaryGone
from rehearsal.recording.naming import name_of
from rehearsal.runner.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

    from rehearsal.canaries.migration import Account
    from rehearsal.canaries.model import Author
    from rehearsal.canaries.model import Canary
    from rehearsal.canaries.model import Wish
    from rehearsal.cloud.target import Target
    from rehearsal.recording.events import Event
    from rehearsal.runner.watch import Watch


_TOKEN_S = 900.0


class Guests:
    """The canaries that are up now. `number` counts the migrations of all attempts, so that their ids stay unique."""

    def __init__(self, run: str, record: Callable[[Event], object], watch: Watch, ledger: Ledger | None = None) -> None:
        self._ledger = ledger or Ledger(run)
        self._run = run
        self._record = record
        self._watch = watch
        self.up: tuple[Canary, ...] = ()
        self.author: Author | None = None
        self._issued_s = 0.0
        self.number = 0

    def put_up(self, connection: Any, wish: Wish) -> None:
        """Make the canaries, or find again those that an earlier attempt made, and let the prober reach them."""
        if connection is None:
            self._watch.note("error", "No canaries: the cloud's API cannot be used.")
            return
        say("canaries: creating them, or finding those of an earlier attempt")
        try:
            made = making.put_up(connection, self._run, wish, self._record, _told, ledger=self._ledger)
        except CanaryError as error:
            self._watch.note("error", f"No canaries: {error}")
            return
        self.up = made.up
        for name, reason in sorted(made.missing.items()):
            self._watch.note("warning", f"No canary {name}: {reason}")
        self._watch.reach(self.up)
        say(f"canaries: {len(self.up)} answer")
        self.author = made.author

    def let_write(self, target: Target, services: Iterable[str]) -> None:
        """Let the prober write as the canaries' user, if there is one: nowhere else is anything written."""
        if self.author is not None:
            self._ledger.writes(name_of(self._run, "write"), self.author.project_id, self.author.user_id)
            self._watch.write(target, services, self.author)
            self._issued_s = time.monotonic()
        elif self.up:
            self._watch.note(
                "warning", "Nothing is written through the APIs: the canaries have no project of their own."
            )

    def migrate_all(self, connection: Any, occasion: str, account: Account) -> None:
        """Live-migrate each canary once, one after the other, sampled more closely meanwhile. `account`: libvirt's own.

        Two at a time were measured, too: on a small cloud each then took three times as long, and its guest stood still for
        five times as long as by itself. That would be a figure of the load and not of the migration.
        """
        if connection is None or not self.up:
            self._watch.note("warning", f"No live migration ({occasion}): there are no canaries.")
            return
        moves, unmoved = migration.plan_moves(connection, self.up, occasion, self.number + 1)
        for reason in unmoved.values():
            self._watch.note("warning", f"No live migration ({occasion}): {reason}")
        for move in moves:
            self.number += 1
            self._watch.closer(move.canary.name, close=True)
            try:
                migration.migrate(connection, move, self._record, _told, account=account)
            finally:
                self._watch.closer(move.canary.name, close=False)
            self._watch.look_after()

    def listen(self) -> None:
        """Ask every canary's beacon what it noticed from inside, and record it; silence is recorded as well.

        The token of the write lane is renewed on the occasion, so that none expires: some clouds let them live for an hour.
        """
        if self.author is not None and time.monotonic() - self._issued_s > _TOKEN_S:
            self._issued_s = time.monotonic()
            self._watch.renew(self.author)
        for each in self.up:
            hearing.listen(each, self._record, timeout_s=3)

    def remove(self, connection: Any) -> None:
        """Remove everything that the run made in the cloud, and name what could not be removed."""
        if connection is None:
            return
        say("removing the canaries")
        try:
            done = cleaning.clean(connection, self._ledger.made(), _told)
        except LedgerError as error:
            self._watch.note("error", f"The canaries were not removed: {error}")
            return
        for each in self.up:
            self._record(CanaryGone(each.name, each.server_id))
        self.up = ()
        if done.left:
            self._watch.note(
                "error", f"Could not be removed: {'; '.join(done.left)}. Try again: rehearse clean {self._run}"
            )
        elif done.removed:
            say(f"removed {len(done.removed)} resources")


def _told(text: str) -> None:
    say(text)
