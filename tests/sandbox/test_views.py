"""What the outer bubblewrap of a root host shows to the user of the inner one."""

from pathlib import Path

from nanoclaw.runtimes.bubblewrap.layout import Bind
from nanoclaw.runtimes.bubblewrap.views import views_of


def program(folder: Path) -> list[Bind]:
    """Return two files of a folder that all sandboxes have."""
    for name in ("lib", "bin"):
        (folder / name).mkdir(parents=True)
    return [Bind(folder / name, f"/opt/{name}", common=True) for name in ("lib", "bin")]


def test_sources_of_one_folder_share_a_view(tmp_path: Path) -> None:
    binds = program(tmp_path / "program")
    views = views_of(binds)
    assert [(each.source, each.target, each.read_only) for each in views.shown] == [
        (tmp_path / "program", "/src/0", True)
    ]
    assert [(str(each.source), each.target) for each in views.binds] == [
        ("/src/0/lib", "/opt/lib"),
        ("/src/0/bin", "/opt/bin"),
    ]


def test_in_a_folder_that_others_may_not_enter_each_source_has_its_own(tmp_path: Path) -> None:
    binds = program(tmp_path / "program")
    (tmp_path / "program").chmod(0o700)
    views = views_of(binds)
    assert [each.source for each in views.shown] == [each.source for each in binds]
    assert [str(each.source) for each in views.binds] == ["/src/0", "/src/1"]


def test_a_session_shares_no_folder_and_stays_as_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "session").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path / "session")
    binds = [
        Bind(tmp_path / "session" / "in", "/workspace/in"),
        Bind(tmp_path / "session" / "out", "/workspace/out", read_only=False),
        Bind(tmp_path / "link", "/workspace/link"),
    ]
    views = views_of(binds)
    assert [(each.source, each.read_only) for each in views.shown] == [
        (each.source, each.read_only) for each in binds
    ]


def test_a_folder_that_is_mounted_in_both_ways_has_two_views(tmp_path: Path) -> None:
    binds = [Bind(tmp_path, "/a"), Bind(tmp_path, "/b", read_only=False)]
    views = views_of(binds)
    assert [each.read_only for each in views.shown] == [True, False]
    assert [str(each.source) for each in views.binds] == ["/src/0", "/src/1"]


def test_what_is_below_usr_needs_no_view(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/usr/bin/env")
    views = views_of([Bind(link, "/etc/env", common=True)])
    assert not views.shown
    assert [(str(each.source), each.target) for each in views.binds] == [("/usr/bin/env", "/etc/env")]
