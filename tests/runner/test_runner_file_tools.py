"""The tools for files: what they do, and that no path leads out of the workspace or hangs them."""

import os
import socket

import pytest

from agent_runner.trees import remove_tree
from tests.deep_trees import make_deep
from tests.runner.sandboxes import Sandbox
from tests.runner.world import World


@pytest.fixture
def sandbox(world: World) -> Sandbox:
    return Sandbox(world)


# -- reading -----------------------------------------------------------------------


async def test_lines_have_numbers(sandbox: Sandbox) -> None:
    sandbox.file("a.txt", "one\r\ntwo\n\nfour")
    assert await sandbox.call("read_file", path="a.txt") == "1\tone\n2\ttwo\n3\t\n4\tfour"


async def test_a_long_file_is_read_in_pages(sandbox: Sandbox) -> None:
    sandbox.file("a.txt", "".join(f"line {n}\n" for n in range(1, 5001)))
    first, second, last = await sandbox.calls(
        ("read_file", {"path": "a.txt"}),
        ("read_file", {"path": "a.txt", "offset": 2001, "limit": 1}),
        ("read_file", {"path": "a.txt", "offset": 4999}),
    )
    assert first.endswith("2000\tline 2000\n[The file goes on. Continue with offset 2001.]")
    assert second == "2001\tline 2001\n[The file goes on. Continue with offset 2002.]"
    assert last == "4999\tline 4999\n5000\tline 5000"
    assert "has 5,000 lines; offset is 9,000" in await sandbox.call("read_file", path="a.txt", offset=9000)


async def test_a_line_without_an_end_is_cut(sandbox: Sandbox) -> None:
    sandbox.file("a.txt", "x" * 30_000_000 + "\nnext\n")
    found = await sandbox.call("read_file", path="a.txt")
    assert found.endswith(" more]\n2\tnext")
    assert len(found) < 3000


@pytest.mark.parametrize(
    ("content", "type_"),
    [
        (b"PK\x03\x04...", "application/zip"),
        (b"a\0b", "of an unknown type"),
        (b"SQLite format 3\0....", "an SQLite database"),
    ],
)
async def test_a_binary_file_is_refused_with_its_type(sandbox: Sandbox, content: bytes, type_: str) -> None:
    sandbox.file("a", content)
    assert f"'a' is binary ({type_}, {len(content)} bytes)" in await sandbox.call("read_file", path="a")


async def test_a_picture_is_shown(sandbox: Sandbox) -> None:
    sandbox.file("a.png", b"\x89PNG\r\n\x1a\n...")
    assert await sandbox.call("read_file", path="a.png") == "a.png is image/png; it is shown to you"


async def test_a_picture_that_is_too_large_is_refused(sandbox: Sandbox) -> None:
    sandbox.file("a.png", b"\x89PNG\r\n\x1a\n" + bytes(6_000_000))
    assert "is binary (image/png, 6,000,008 bytes)" in await sandbox.call("read_file", path="a.png")


async def test_an_empty_file_is_named_so(sandbox: Sandbox) -> None:
    sandbox.file("a.txt")
    assert await sandbox.call("read_file", path="a.txt") == "(the file is empty)"


# -- writing -----------------------------------------------------------------------


async def test_a_file_is_written_with_its_folders(sandbox: Sandbox) -> None:
    assert await sandbox.call("write_file", path="a/b/c.txt", content="hé") == "created a/b/c.txt (3 bytes)"
    assert (sandbox.workspace / "a/b/c.txt").read_text() == "hé"
    assert [path.name for path in (sandbox.workspace / "a/b").iterdir()] == ["c.txt"]


async def test_a_replaced_file_keeps_its_mode(sandbox: Sandbox) -> None:
    path = sandbox.file("run.sh", "old")
    path.chmod(0o750)
    assert await sandbox.call("write_file", path="run.sh", content="new") == "replaced run.sh (3 bytes)"
    assert path.stat().st_mode & 0o7777 == 0o750
    assert path.read_text() == "new"


async def test_writing_to_a_link_writes_its_target(sandbox: Sandbox) -> None:
    target = sandbox.file("real/a.txt", "old")
    (sandbox.workspace / "link.txt").symlink_to("real/a.txt")
    await sandbox.call("write_file", path="link.txt", content="new")
    assert target.read_text() == "new"
    assert (sandbox.workspace / "link.txt").is_symlink()


async def test_a_write_that_fails_leaves_the_file_as_it_was(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sandbox.file("a.txt", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    found = await sandbox.call("write_file", path="a.txt", content="new")
    assert found == "! 'a.txt': there is no space left; delete what you do not need"
    assert path.read_text() == "old"
    assert [each.name for each in sandbox.workspace.iterdir()] == ["a.txt"]


# -- editing -----------------------------------------------------------------------


async def test_an_edit_replaces_one_place(sandbox: Sandbox) -> None:
    path = sandbox.file("a.py", "a = 1\nb = 2\n")
    assert await sandbox.call("edit_file", path="a.py", old="b = 2", new="b = 3") == (
        "replaced 1 in a.py, from line 2 on"
    )
    assert path.read_text() == "a = 1\nb = 3\n"


async def test_an_edit_keeps_the_line_ends_of_the_file(sandbox: Sandbox) -> None:
    path = sandbox.file("a.txt", b"one\r\ntwo\r\nthree\r\n")
    await sandbox.call("edit_file", path="a.txt", old="one\ntwo", new="1\n2")
    assert path.read_bytes() == b"1\r\n2\r\nthree\r\n"


async def test_an_edit_of_several_places_must_be_meant(sandbox: Sandbox) -> None:
    path = sandbox.file("a.txt", "x\ny\nx\n")
    found = await sandbox.call("edit_file", path="a.txt", old="x", new="z")
    assert found == "! old occurs 2 times, in lines 1, 3; add text around it, or set all"
    await sandbox.call("edit_file", path="a.txt", old="x", new="z", all=True)
    assert path.read_text() == "z\ny\nz\n"


@pytest.mark.parametrize(
    ("old", "hint"),
    [
        ("  if ready:\n    go()", "but spaces or what follows differ; line 2 is '\\tif ready:'"),
        ("if reddy:", "similar is line 2: '\\tif ready:'"),
        ("something else", "old does not occur; read the file again"),
    ],
)
async def test_an_edit_that_fits_nothing_shows_what_is_near(sandbox: Sandbox, old: str, hint: str) -> None:
    sandbox.file("a.py", "def run():\n\tif ready:\n\t\tgo()\n")
    assert hint in await sandbox.call("edit_file", path="a.py", old=old, new="x")


# -- listing and searching -----------------------------------------------------------


async def test_a_folder_is_listed(sandbox: Sandbox) -> None:
    sandbox.file("b/c.txt", "12345")
    sandbox.file("a.txt", "1")
    (sandbox.workspace / "link").symlink_to("/etc")
    os.mkfifo(sandbox.workspace / "pipe")
    assert (await sandbox.call("list_files")).splitlines() == [
        "a.txt  (1 bytes)",
        "b/",
        "link -> /etc",
        "pipe  (a special file)",
    ]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.py", ["a.py", "src/b.py", "src/deep/c.py"]),
        ("src/*.py", ["src/b.py"]),
        ("src/**/*.py", ["src/b.py", "src/deep/c.py"]),
        ("**/deep/*", ["src/deep/c.py"]),
        ("*.rs", ["(nothing fits '*.rs')"]),
    ],
)
async def test_files_are_found_by_a_pattern(sandbox: Sandbox, pattern: str, found: list[str]) -> None:
    for path in ("a.py", "src/b.py", "src/deep/c.py", ".git/d.py"):
        sandbox.file(path)
    (sandbox.workspace / "loop").symlink_to(".")
    assert (await sandbox.call("list_files", pattern=pattern)).splitlines() == found


@pytest.fixture(params=["ripgrep", "own"])
def searching(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Search with ripgrep, if it is there, and without it."""
    import shutil  # noqa: PLC0415 -- to replace it

    found = shutil.which("rg")
    if request.param == "own":
        which = shutil.which
        monkeypatch.setattr(shutil, "which", lambda name: None if name == "rg" else which(name))
    elif found is None:
        pytest.skip("ripgrep is not installed")


@pytest.mark.usefixtures("searching")
async def test_contents_are_searched(sandbox: Sandbox) -> None:
    sandbox.file("a.py", "import os\nimport sys\n")
    sandbox.file("src/b.py", "x = 1\nimport re\n")
    sandbox.file("c.txt", "import\n")
    sandbox.file("d.bin", b"\0import")
    os.mkfifo(sandbox.workspace / "pipe")
    found, only, none = await sandbox.calls(
        ("search_files", {"pattern": r"import \w+$"}),
        ("search_files", {"pattern": "import", "path": "src", "glob": "*.py"}),
        ("search_files", {"pattern": "nothing here"}),
    )
    assert found.splitlines() == ["a.py:1:import os", "a.py:2:import sys", "src/b.py:2:import re"]
    assert only == "b.py:2:import re"
    assert none == "(nothing contains 'nothing here')"


@pytest.mark.usefixtures("searching")
async def test_folders_deeper_than_any_path_do_not_stop_a_search(sandbox: Sandbox) -> None:
    sandbox.file("z.txt", "needle\n")
    make_deep(sandbox.workspace / "deep")
    try:
        found, listed = await sandbox.calls(
            ("search_files", {"pattern": "needle"}), ("list_files", {"pattern": "*.txt"})
        )
    finally:
        remove_tree(sandbox.workspace / "deep")
    assert found.splitlines()[0] == "z.txt:1:needle"
    assert listed == "z.txt"


@pytest.mark.usefixtures("searching")
async def test_a_pattern_that_backtracks_does_not_hang(sandbox: Sandbox) -> None:
    sandbox.file("a.txt", "a" * 100_000 + "!")
    assert "nothing contains" in await sandbox.call("search_files", pattern="(a+)+$")


@pytest.mark.usefixtures("searching")
async def test_a_bad_pattern_is_explained(sandbox: Sandbox) -> None:
    assert (await sandbox.call("search_files", pattern="((")).startswith("! the search failed: ")


@pytest.mark.usefixtures("searching")
async def test_many_matches_are_bounded(sandbox: Sandbox) -> None:
    sandbox.file("a.txt", "match\n" * 100_000)
    found = await sandbox.call("search_files", pattern="match")
    assert found.endswith("[There is more. Use a narrower pattern, path or glob.]")
    assert len(found) < 60_000


# -- ways out ------------------------------------------------------------------------

TOOLS = {
    "read_file": {},
    "write_file": {"content": "x"},
    "edit_file": {"old": "root", "new": "x"},
    "list_files": {},
    "search_files": {"pattern": "root"},
}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "/etc/passwd",
        "a/../../secret",
        "out",
        "out/secret",
        "absolute",
        "up/secret",
        "loop",
        "\0",
        "",
    ],
)
async def test_no_path_leads_out(sandbox: Sandbox, tool: str, path: str) -> None:
    secret = sandbox.workspace.parent / "secret"
    secret.write_text("root of all\n")
    sandbox.file("a/b")
    (sandbox.workspace / "out").symlink_to("..")
    (sandbox.workspace / "absolute").symlink_to(secret)
    (sandbox.workspace / "up").symlink_to("a/../..")
    (sandbox.workspace / "loop").symlink_to("loop")
    found = await sandbox.call(tool, path=path, **TOOLS[tool])
    assert found.startswith("! ")
    assert "root of all" not in found
    assert secret.read_text() == "root of all\n"


@pytest.mark.parametrize("tool", ["read_file", "write_file", "edit_file"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "socket"])
async def test_what_is_no_file_is_refused_at_once(
    sandbox: Sandbox, tool: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = sandbox.workspace / "x"
    match kind:
        case "folder":
            place.mkdir()
        case "pipe":
            os.mkfifo(place)
        case _:
            monkeypatch.chdir(sandbox.workspace)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind("x")
    found = await sandbox.call(tool, path="x", **TOOLS[tool])
    assert found.startswith(("! 'x' is a folder", "! 'x' is a named pipe", "! 'x' is a socket"))


async def test_attachments_are_read_only(sandbox: Sandbox, world: World) -> None:
    inbox = world.config.inbound_db.parent / "inbox"
    inbox.mkdir()
    (inbox / "a.txt").write_text("hello")
    read, written = await sandbox.calls(
        ("read_file", {"path": str(inbox / "a.txt")}),
        ("write_file", {"path": str(inbox / "a.txt"), "content": "x"}),
    )
    assert read == "1\thello"
    assert "is read-only" in written


async def test_the_notes_are_safe_from_the_file_tools(sandbox: Sandbox) -> None:
    remembered, written, edited, read = await sandbox.calls(
        ("remember", {"text": "the door code is 7"}),
        ("write_file", {"path": "./notes.db", "content": "x"}),
        ("edit_file", {"path": "notes.db-journal", "old": "a", "new": "b"}),
        ("read_file", {"path": "notes.db"}),
    )
    assert remembered == "kept as note 1"
    assert all("belongs to the system" in found for found in (written, edited, read))
    os.link(sandbox.workspace / "notes.db", sandbox.workspace / "copy")
    assert "belongs to the system" in await sandbox.call("read_file", path="copy")
    assert "the door code is 7" in await sandbox.call("recall", query="door")


async def test_a_folder_that_becomes_a_link_while_it_is_used_leads_nowhere(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = sandbox.workspace.parent / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("secret")
    sandbox.file("folder/a.txt", "mine")
    readlink = os.readlink

    def swapping(path: str, *, dir_fd: int | None = None) -> str:
        """Replace the folder after it was found to be no link."""
        try:
            return readlink(path, dir_fd=dir_fd)
        finally:
            folder = sandbox.workspace / "folder"
            if path == "folder" and not folder.is_symlink():
                folder.rename(sandbox.workspace / "aside")
                folder.symlink_to(outside)

    monkeypatch.setattr(os, "readlink", swapping)
    found = await sandbox.call("read_file", path="folder/a.txt")
    assert found.startswith("! ")
    assert "secret" not in found
