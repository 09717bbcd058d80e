"""The zone of the machine: a link, a copy of a zone's file, the variable TZ, and what cannot be read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nanoclaw.config import load_config
from nanoclaw.config.system_zone import SystemZone, system_zone
from nanoclaw.config.zone_files import _content
from tests.config.test_config_commands import nanoclaw

Etc = Callable[..., Path]


@pytest.fixture
def etc(tmp_path: Path) -> Etc:
    def make(**files: str | bytes) -> Path:
        (tmp_path / "etc").mkdir(exist_ok=True)
        for name, content in files.items():
            file = tmp_path / "etc" / name
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return make


def copy_of(name: str) -> bytes:
    content = _content(name)
    assert content
    return content


def zone(root: Path, tz: str = "") -> SystemZone:
    return system_zone({"TZ": tz}, root)


# -- the files -----------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"],
)
def test_a_copy_of_a_zone_is_found_by_its_content(etc: Etc, name: str) -> None:
    assert zone(etc(localtime=copy_of(name))) == SystemZone(name, "/etc/localtime")


def test_of_equal_zones_the_one_that_etc_timezone_names_is_taken(etc: Etc) -> None:
    twin = "Etc/UTC"
    assert zone(etc(localtime=copy_of("UTC"), timezone=f"{twin}\n")).name == twin


def test_a_copy_wins_over_another_zone_in_etc_timezone(etc: Etc) -> None:
    assert zone(etc(localtime=copy_of("Asia/Tokyo"), timezone="Europe/Berlin")).name == "Asia/Tokyo"


def test_a_copy_from_another_version_of_the_database_is_found_by_its_rule(etc: Etc) -> None:
    content = copy_of("America/Chicago")
    assert zone(etc(localtime=content.replace(b"LMT", b"XMT"))).name == "America/Chicago"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/usr/share/zoneinfo/Europe/Zurich", "Europe/Zurich"),
        ("../usr/share/zoneinfo/America/Argentina/Ushuaia", "America/Argentina/Ushuaia"),
        ("/gone/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
        ("/usr/share/zoneinfo/posix/Asia/Tokyo", "Asia/Tokyo"),
    ],
)
def test_a_link_names_the_zone_even_if_it_leads_nowhere(etc: Etc, target: str, name: str) -> None:
    root = etc()
    (root / "etc/localtime").symlink_to(target)
    assert zone(root) == SystemZone(name, "/etc/localtime")


def test_etc_timezone_counts_where_there_is_nothing_else(etc: Etc) -> None:
    assert zone(etc(timezone="# ours\nAsia/Tokyo # x\n")) == SystemZone("Asia/Tokyo", "/etc/timezone")


@pytest.mark.parametrize(
    ("files", "name", "doubt"),
    [
        ({}, "UTC", "the system names none; UTC is used"),
        ({"localtime": "nonsense"}, "UTC", "/etc/localtime is no file of a known zone; UTC is used"),
        ({"timezone": "Mars/Base"}, "UTC", "/etc/timezone says 'Mars/Base'; UTC is used"),
        (
            {"localtime": "nonsense", "timezone": "Asia/Tokyo"},
            "Asia/Tokyo",
            "/etc/localtime is no file of a known zone; Asia/Tokyo of /etc/timezone is used",
        ),
    ],
)
def test_what_cannot_be_read_is_said(etc: Etc, files: dict[str, str], name: str, doubt: str) -> None:
    found = zone(etc(**files))
    assert found.name == name
    assert found.doubt == (
        f'the system\'s time zone cannot be read: {doubt}: set timezone = "Area/City" in config.toml'
    )


@pytest.mark.parametrize("cut", [5, 100, 3000])
def test_a_damaged_file_is_no_zone(etc: Etc, cut: int) -> None:
    content = copy_of("Europe/Berlin")
    for damaged in (content[:-5], content[:cut], content[:20] + b"\xff" * 4000):
        if damaged != content:
            assert zone(etc(localtime=damaged)).doubt


def test_a_pipe_is_not_waited_for(etc: Etc) -> None:
    root = etc()
    os.mkfifo(root / "etc/localtime")
    assert zone(root).doubt


# -- the variable ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("tz", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Europe/Berlin", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("EST5EDT", "EST5EDT"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "CET"),
        ("CET-1CEST", "CET"),
        ("EST+5EDT,M3.2.0/2,M11.1.0/02:00:00", "EST5EDT"),
        ("GMT0BST,M3.5.0/1,M10.5.0", "Europe/London"),
        ("NZST-12NZDT,M9.5.0,M4.1.0/3", "Pacific/Auckland"),
        ("JST-9", "Asia/Tokyo"),
        ("<+03>-3", "Etc/GMT-3"),
        ("XYZ-3", "Etc/GMT-3"),
        ("UTC0", "UTC"),
        (" ", "Asia/Kolkata"),
    ],
)
def test_the_variable_names_a_zone_or_has_its_rule(etc: Etc, tz: str, name: str) -> None:
    found = zone(etc(localtime=copy_of("Asia/Kolkata")), tz)
    assert (found.name, found.doubt) == (name, None)


def test_the_variable_may_name_a_file(etc: Etc) -> None:
    root = etc(mine=copy_of("Asia/Tokyo"))
    assert zone(root, ":/etc/mine").name == "Asia/Tokyo"
    assert zone(root, "/usr/share/zoneinfo/Europe/Rome").name == "Europe/Rome"


@pytest.mark.parametrize(
    "tz",
    ["Mars/Base", "/nowhere", "../../etc/passwd", "ABC-3:17", "CST6CDT,J60,J300", "x" * 500, "CET-1CEST,M3"],
)
def test_an_unknown_variable_is_said_and_the_files_count(etc: Etc, tz: str) -> None:
    found = zone(etc(localtime=copy_of("Asia/Kolkata")), tz)
    assert found.name == "Asia/Kolkata"
    assert found.doubt == (
        f"TZ is {tz!r:.80}, which is no time zone; Asia/Kolkata of /etc/localtime is used: "
        'set timezone = "Area/City" in config.toml'
    )


# -- where it is shown -----------------------------------------------------------


def test_config_check_and_config_show_say_it(tmp_path: Path) -> None:
    _, lines, _ = nanoclaw("check", "--home", str(tmp_path), TZ="Mars/Base")
    assert any(line.startswith("hint: TZ is 'Mars/Base', which is no time zone") for line in lines)
    _, lines, _ = nanoclaw("show", "--home", str(tmp_path), TZ=":Asia/Tokyo")
    [line] = [line for line in lines if line.startswith("timezone")]
    assert line.split(maxsplit=2) == ["timezone", "Asia/Tokyo", "default: the variable TZ"]


def test_a_zone_of_the_configuration_is_never_in_doubt(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('timezone = "UTC"')
    _, lines, _ = nanoclaw("check", "--home", str(tmp_path), TZ="Mars/Base")
    assert "Mars" not in "".join(lines)
    config = load_config(home=tmp_path, environ={})
    assert (config.zone_of_system, config.zone_doubt) == (None, None)
