"""Inbound files of users, and outbound files of agents. All may be hostile."""

import base64
import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.records import Attachment
from nanoclaw.store import StoreFull
from nanoclaw.store.engine.names import is_component
from nanoclaw.store.session import attached_files
from nanoclaw.store.session import outbox as outbox_module
from nanoclaw.store.session.attached_files import LostFile
from nanoclaw.store.session.inbox import MOUNTED_AT, store_attachments
from nanoclaw.store.session.outbox import BadAttachment, copy_files


def sent(name: str, data: bytes = b"hello") -> Attachment:
    return Attachment("file", name, data=base64.b64encode(data).decode())


# -- in ------------------------------------------------------------------------


def test_a_file_is_stored_and_named_as_the_container_sees_it(tmp_path: Path) -> None:
    [stored], lost = store_attachments(tmp_path, "in-1", [sent("a.txt")])
    assert lost == ()
    assert stored == Attachment("file", "a.txt", local_path="in/inbox/in-1/a.txt")
    assert (tmp_path / "in-1" / "a.txt").read_bytes() == b"hello"


def test_a_link_or_invalid_base64_is_not_a_file(tmp_path: Path) -> None:
    linked, broken = Attachment("file", "a", url="https://x"), Attachment("file", "b", data="!")
    stored, lost = store_attachments(tmp_path, "in-1", [linked, broken])
    assert stored == (linked, Attachment("file", "b"))
    assert lost == (LostFile("b", "its base64 is invalid"),)
    assert not (tmp_path / "in-1").exists()


def test_a_disk_that_is_full_is_an_error_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull, match=r"in-1/a\.txt: the disk is full"):
        store_attachments(tmp_path, "in-1", [sent("a.txt")])


def file(folder: Path, name: str, data: bytes) -> Attachment:
    path = folder / name
    path.write_bytes(data)
    return Attachment("file", name, path=path)


def test_a_file_is_copied_and_stays_where_it_is(tmp_path: Path) -> None:
    given = file(tmp_path, "a.bin", bytes(range(256)) * 10_000)
    [stored], lost = store_attachments(tmp_path / "inbox", "in-1", [given])
    assert (stored, lost) == (Attachment("file", "a.bin", local_path="in/inbox/in-1/a.bin"), ())
    assert (tmp_path / "inbox" / "in-1" / "a.bin").read_bytes() == bytes(range(256)) * 10_000
    assert given.path is not None
    assert given.path.exists()


def test_what_is_no_file_is_lost_with_a_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "there").write_text("secret")
    (tmp_path / "folder").mkdir()
    names = ["fifo", "link", "folder", "missing"]
    given = [Attachment("file", name, path=tmp_path / name) for name in names]
    stored, lost = store_attachments(tmp_path / "inbox", "in-1", given)
    assert stored == tuple(Attachment("file", name) for name in names)
    assert [each.name for each in lost] == names
    assert [each.reason.partition(" (")[0] for each in lost] == [
        *["it cannot be read: it is not a regular file"] * 3,
        "it cannot be read: No such file or directory",
    ]
    assert not (tmp_path / "inbox").exists()


def test_files_that_are_too_large_together_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attached_files, "MAX_BYTES", 8)
    given = [file(tmp_path, "a", b"12345"), file(tmp_path, "b", b"1234"), sent("c", b"1234"), sent("d", b"1")]
    stored, lost = store_attachments(tmp_path / "inbox", "in-1", given)
    assert [each.local_path is not None for each in stored] == [True, False, False, True]
    assert [each.name for each in lost] == ["b", "c"]
    assert sorted(each.name for each in (tmp_path / "inbox" / "in-1").iterdir()) == ["a", "d"]


def test_an_event_that_is_offered_again_without_its_file_keeps_the_copy(tmp_path: Path) -> None:
    given = file(tmp_path, "a", b"hello")
    store_attachments(tmp_path / "inbox", "in-1", [given])
    (tmp_path / "a").unlink()
    [_], [lost] = store_attachments(tmp_path / "inbox", "in-1", [given])
    assert lost.name == "a"
    assert (tmp_path / "inbox" / "in-1" / "a").read_bytes() == b"hello"


NAMES = st.lists(st.one_of(st.text(max_size=140), st.sampled_from(["a", "A", "2-a", "../a", ""])), max_size=6)


@given(NAMES)
@settings(max_examples=100, deadline=None)
def test_files_of_any_names_are_kept_apart_and_stored_once(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    inbox = tmp_path_factory.mktemp("inbox")
    files = [sent(name, f"{n}".encode()) for n, name in enumerate(names)]
    stored, lost = store_attachments(inbox, "in-1", files)
    assert lost == ()
    assert store_attachments(inbox, "in-1", files) == (stored, lost)
    for n, (name, each) in enumerate(zip(names, stored, strict=True)):
        local = Path(each.local_path or "").relative_to(MOUNTED_AT)
        assert (each.name, each.data) == (name, None)
        assert (inbox / local).read_bytes() == f"{n}".encode()
        assert local.parts[0] == "in-1"
        assert is_component(local.parts[1])


# -- out -----------------------------------------------------------------------


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """Return a home with one message and one file."""
    folder = tmp_path / "outbox" / "out-1"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"hello")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.txt").write_bytes(b"secret")
    return tmp_path / "outbox"


def copied(outbox: Path, message: str, names: list[str]) -> list[bytes]:
    """Copy files out of an outbox as the host does, and return their contents."""
    with TemporaryDirectory() as folder:
        files = copy_files(outbox, message, names, Path(folder))
        assert [(each.name, each.path.name, each.size) for each in files] == [
            (name, name, len(each.data)) for name, each in zip(names, files, strict=True)
        ]
        return [each.data for each in files]


def test_files_are_copied(outbox: Path) -> None:
    assert copied(outbox, "out-1", ["a.txt"]) == [b"hello"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a.txt", "/etc/passwd", ".hidden", "a\0b", "é", "x" * 129]
)
def test_a_name_that_is_no_component_is_refused(outbox: Path, name: str) -> None:
    with pytest.raises(BadAttachment, match="not a valid file name"):
        copied(outbox, "out-1", [name])
    with pytest.raises(BadAttachment, match="not a valid file name"):
        copied(outbox, name, ["a.txt"])


def test_a_link_in_place_of_a_file_is_refused(outbox: Path) -> None:
    (outbox / "out-1" / "link").symlink_to(outbox.parent / "secret" / "a.txt")
    with pytest.raises(BadAttachment, match="link"):
        copied(outbox, "out-1", ["link"])


def test_a_link_in_place_of_a_message_is_refused(outbox: Path) -> None:
    (outbox / "out-2").symlink_to(outbox.parent / "secret")
    with pytest.raises(BadAttachment, match="out-2"):
        copied(outbox, "out-2", ["a.txt"])


def test_a_link_in_place_of_the_outbox_is_refused(outbox: Path) -> None:
    link = outbox.parent / "link"
    link.symlink_to(outbox.parent)
    with pytest.raises(BadAttachment, match="outbox cannot be opened"):
        copied(link, "secret", ["a.txt"])


def test_an_outbox_that_is_gone_is_refused(outbox: Path) -> None:
    with pytest.raises(BadAttachment, match="No such file"):
        copied(outbox.parent / "nowhere", "out-1", ["a.txt"])


def test_a_fifo_is_refused_and_blocks_no_other(outbox: Path) -> None:
    os.mkfifo(outbox / "out-1" / "fifo")
    with pytest.raises(BadAttachment, match="not a regular file"):
        copied(outbox, "out-1", ["fifo"])


def test_a_folder_is_refused(outbox: Path) -> None:
    (outbox / "out-1" / "folder").mkdir()
    with pytest.raises(BadAttachment, match="not a regular file"):
        copied(outbox, "out-1", ["folder"])


def test_files_that_are_too_large_together_are_refused(outbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "MAX_BYTES", 8)
    (outbox / "out-1" / "b").write_bytes(b"abc")
    assert len(copied(outbox, "out-1", ["a.txt", "b"])) == 2
    (outbox / "out-1" / "b").write_bytes(b"abcd")
    with pytest.raises(BadAttachment, match="limit of 8 bytes"):
        copied(outbox, "out-1", ["a.txt", "b"])
