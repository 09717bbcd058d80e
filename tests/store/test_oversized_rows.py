from functools import partial
from pathlib import Path

import apsw

from nanoclaw.store import create_outbound, open_untrusted
from nanoclaw.store.session.outbound import MAX_TEXT, InvalidRow, MessageOut, look
from nanoclaw.testing.world.executor import InlineExecutor
from tests.store.openings import paths_in


async def test_a_text_that_is_too_long_affects_only_its_own_row(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    create_outbound(paths, owner=None)
    connection = apsw.Connection(str(paths.outbound_db))
    for seq, size in ((1, MAX_TEXT + 10_000_000), (3, 100)):
        connection.execute(
            "INSERT INTO messages_out (id, seq, timestamp, kind, content) VALUES (?, ?, '', 'chat', ?)",
            (f"out-{seq}", seq, "x" * size),
        )
    connection.close()
    read = partial(look, above=0, up_to=100, open_ids=[], known_ids=[])
    async with open_untrusted(paths.outbound_db, InlineExecutor()) as reader:
        bad, good = (await reader.run(read)).rows
    assert isinstance(bad, InvalidRow)
    assert bad.reason.startswith(f"content has {MAX_TEXT + 10_000_000:,} bytes; the limit is {MAX_TEXT:,}")
    assert isinstance(good, MessageOut)
    assert len(good.content) == 100
