"""What has to hold of sequence numbers, apart from the code that gives them: a model that reads the files."""

from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

import apsw
from attrs import define, field, frozen

Where = tuple[str, str, str | None]
"""Channel, chat, thread."""
FOREIGN = "foreign-"
"""Ids of the rows that no runner of ours wrote: their numbers may be anything."""


@frozen
class Stored:
    """A message as it was stored. `known_as`: what its platform calls it, where one does."""

    id: str
    where: Where | None = None
    known_as: str | None = None


@define(eq=False)
class Side:
    """One file: what is in it, and every number that its side ever gave."""

    file: Path
    table: str
    odd: int
    present: dict[int, Stored] = field(factory=dict)
    given: dict[int, str] = field(factory=dict)
    """Also what is pruned; without what was lost before the other side saw it."""
    mark: int = 0
    """The largest of them."""

    def rows(self) -> Sequence[tuple[str, object]]:
        """Id and number of all that is in the file."""
        with closing(apsw.Connection(str(self.file), apsw.SQLITE_OPEN_READONLY)) as connection:
            rows = connection.execute(f"SELECT id, seq FROM {self.table} ORDER BY rowid")  # noqa: S608 -- ours
            return [(str(id_), seq) for id_, seq in rows]

    @property
    def top(self) -> int:
        """The largest number in the file or given before, but for one that no number is above."""
        return max([self.mark, *(number for number in self.present if number + 2 < 1 << 63)])

    def next_above(self, floor: int) -> int:
        """The next number of this side."""
        return max(self.top, floor) + 1 + (max(self.top, floor) + 1 + self.odd) % 2


@define(eq=False)
class Numbers:
    """Both files of a session, and what each side knows of the other."""

    inbound: Side
    outbound: Side
    messages: dict[str, Stored] = field(factory=dict)
    """What was to be stored, by id."""
    outcomes: dict[str, str | None] = field(factory=dict)
    """What the platform calls each message whose delivery is final; None where it is unknown there."""
    seen: int = 0
    """The largest plausible outbound number that the host has committed to have seen."""
    floor: int = 0
    """What the runner knew of the host's numbers at its last send."""

    def new(self, id_: str, where: Where | None = None, known_as: str | None = None) -> None:
        """A message is about to be stored."""
        self.messages.setdefault(id_, Stored(id_, where, known_as))

    def check(
        self, *, into: Collection[str] | None = (), out: Collection[str] | None = (), pruned: bool = False
    ) -> None:
        """Compare with the files: exactly these ids are new (None: any); some are gone only if `pruned`."""
        self._check(self.inbound, self.seen, into, pruned=pruned)
        self._check(self.outbound, self.floor, out, pruned=pruned)
        ours = {seq for seq, row in self.outbound.present.items() if not row.id.startswith(FOREIGN)}
        assert not ours & self.inbound.present.keys(), "a number is in both files"

    def _check(self, side: Side, floor: int, new: Collection[str] | None, *, pruned: bool) -> None:
        rows, expected, found = side.rows(), side.next_above(floor), set[str]()
        present = dict[int, Stored]()
        for id_, seq in rows:
            foreign = id_.startswith(FOREIGN)
            if not isinstance(seq, int):
                assert foreign, f"{id_} has the number {seq!r}"
                continue
            assert seq not in present
            present[seq] = side.present.get(seq) or self.messages.get(id_, Stored(id_))
            assert present[seq].id == id_, f"{seq} was {present[seq].id} and is {id_}"
            if seq not in side.present and not foreign:
                assert seq not in side.given, f"{seq} was given to {side.given[seq]}, and now to {id_}"
                assert seq == expected, f"{id_} has the number {seq}, not {expected}"
                expected, side.given[seq], side.mark = seq + 2, id_, seq
                found.add(id_)
        assert new is None or found == set(new), f"stored were {found}, not {set(new)}"
        gone = {row.id for seq, row in side.present.items() if seq not in present}
        assert pruned or not gone, f"{gone} are gone"
        assert side is self.inbound or gone <= self.outcomes.keys(), f"of {gone} some are not final"
        side.present = present

    # -- what the steps tell

    def is_stored(self, id_: str) -> bool:
        """Whether the host has a row of that id."""
        return any(row.id == id_ for row in self.inbound.present.values())

    def visible(self, lead: int, batch: int) -> int:
        """What the host will have seen after a look: the largest plausible number of the next batch."""
        plausible = sorted(n for n in self.outbound.present if self.seen < n <= self.inbound.mark + lead)
        return max([self.seen, *plausible[:batch]])

    def lose_outbound(self) -> None:
        """The file is gone; numbers that the host never saw are as if they had never been given."""
        self.outbound.present.clear()
        self.outbound.mark = 0
        self.outbound.given = {seq: id_ for seq, id_ in self.outbound.given.items() if seq <= self.seen}

    # -- what an agent may ask for

    def target(self, number: int) -> tuple[Where, str] | None:
        """The message that a number stands for, as its platform knows it; None: there has to be an error."""
        row = (self.outbound if number % 2 else self.inbound).present.get(number)
        if row is None or row.where is None or number < 1:
            return None
        known_as = self.outcomes.get(row.id) if number % 2 else row.known_as
        return None if known_as is None else (row.where, known_as)

    def known(self) -> Sequence[int]:
        """Every number an agent may have heard of."""
        return [*self.inbound.given, *self.outbound.given, *self.outbound.present]
