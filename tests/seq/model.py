"""A model of sequence numbers that reads only the files. It shares no code with the functions under test."""

from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

import apsw
from attrs import define, field, frozen

Where = tuple[str, str, str | None]
"""Channel, chat, thread."""
FOREIGN = "foreign-"
"""Ids of rows that a foreign runner wrote. Their numbers may be anything."""


@frozen
class Stored:
    """A stored message. `known_as` is the platform's id of it, if it has one."""

    id: str
    where: Where | None = None
    known_as: str | None = None


@define(eq=False)
class Side:
    """One file: its rows, and every number that its side ever assigned."""

    file: Path
    table: str
    odd: int
    present: dict[int, Stored] = field(factory=dict)
    given: dict[int, str] = field(factory=dict)
    """All assigned numbers, also pruned ones, but not those that were lost before the other side saw them."""
    mark: int = 0
    """The largest of them."""

    def rows(self) -> Sequence[tuple[str, object]]:
        """Return the ids and numbers of all rows in the file."""
        with closing(apsw.Connection(str(self.file), apsw.SQLITE_OPEN_READONLY)) as connection:
            rows = connection.execute(f"SELECT id, seq FROM {self.table} ORDER BY rowid")  # noqa: S608 -- ours
            return [(str(id_), seq) for id_, seq in rows]

    @property
    def top(self) -> int:
        """Return the largest number in the file or assigned before, but not SQLite's largest integer."""
        return max([self.mark, *(number for number in self.present if number + 2 < 1 << 63)])

    def next_above(self, floor: int) -> int:
        """Return the next number of this side."""
        return max(self.top, floor) + 1 + (max(self.top, floor) + 1 + self.odd) % 2


@define(eq=False)
class Numbers:
    """Both files of a session, and what each side knows of the other."""

    inbound: Side
    outbound: Side
    messages: dict[str, Stored] = field(factory=dict)
    """Messages that were to be stored, by id."""
    outcomes: dict[str, str | None] = field(factory=dict)
    """The platform's id of each message with a final delivery, or None if it has none."""
    seen: int = 0
    """The largest plausible outbound number that the host has committed as seen."""
    floor: int = 0
    """The largest number of the host that the runner knew at its last send."""

    def new(self, id_: str, where: Where | None = None, known_as: str | None = None) -> None:
        """Expect a message to be stored."""
        self.messages.setdefault(id_, Stored(id_, where, known_as))

    def check(
        self, *, into: Collection[str] | None = (), out: Collection[str] | None = (), pruned: bool = False
    ) -> None:
        """Compare with the files. Exactly these ids are new (None: any). Rows may go only if `pruned`."""
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
        """Return whether the host has a row with this id."""
        return any(row.id == id_ for row in self.inbound.present.values())

    def visible(self, lead: int, batch: int) -> int:
        """Return the mark after the next look: the largest plausible number of its batch."""
        plausible = sorted(n for n in self.outbound.present if self.seen < n <= self.inbound.mark + lead)
        return max([self.seen, *plausible[:batch]])

    def lose_outbound(self) -> None:
        """Forget the lost file. Numbers that the host never saw count as never assigned."""
        self.outbound.present.clear()
        self.outbound.mark = 0
        self.outbound.given = {seq: id_ for seq, id_ in self.outbound.given.items() if seq <= self.seen}

    # -- what an agent may ask for

    def target(self, number: int) -> tuple[Where, str] | None:
        """Return the platform's id of the message with this number, or None if a tool must fail."""
        row = (self.outbound if number % 2 else self.inbound).present.get(number)
        if row is None or row.where is None or number < 1:
            return None
        known_as = self.outcomes.get(row.id) if number % 2 else row.known_as
        return None if known_as is None else (row.where, known_as)

    def known(self) -> Sequence[int]:
        """Return every number that an agent may know."""
        return [*self.inbound.given, *self.outbound.given, *self.outbound.present]
