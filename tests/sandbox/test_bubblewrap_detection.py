"""Why this machine makes no sandboxes, and what to do."""

import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from attrs import evolve

from nanoclaw.runtimes import NotNow, Packages, StartFailed
from nanoclaw.runtimes.bubblewrap import BubblewrapConfig, BubblewrapRuntime, detect
from nanoclaw.runtimes.bubblewrap.detect import examine
from nanoclaw.system.descriptors import descriptors
from nanoclaw.system.sandbox_user import SANDBOX_UID
from nanoclaw.testing.conformance import make_session
from tests.sandbox.needed import need_bubblewrap

FORBIDDEN = "bwrap: No permissions to create new namespace, likely because the kernel does not allow it"


def refusing(folder: Path, says: str = FORBIDDEN) -> str:
    """Return a program that has bubblewrap's options and makes no sandbox."""
    program = folder / "bwrap"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = --help ] && exec echo "--size --disable-userns"\necho "{says}" >&2\nexit 1\n'
    )
    program.chmod(0o755)
    return str(program)


def with_settings(monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, str]) -> None:
    monkeypatch.setattr(detect, "_sysctl", settings.get)


def why_not(program: str) -> str:
    found = examine(program, None)
    assert isinstance(found, str)
    return found


def test_a_missing_program_is_named_with_the_way_to_install_it(tmp_path: Path) -> None:
    found = why_not(str(tmp_path / "bwrap"))
    assert str(tmp_path / "bwrap") in found
    assert "apt install bubblewrap" in found


@pytest.mark.parametrize(
    ("setting", "advice"),
    [
        ({"user.max_user_namespaces": "0"}, "sysctl user.max_user_namespaces=15000"),
        ({"kernel.unprivileged_userns_clone": "0"}, "sysctl kernel.unprivileged_userns_clone=1"),
        ({"kernel.apparmor_restrict_unprivileged_userns": "1"}, "/etc/apparmor.d/bwrap"),
    ],
)
def test_each_setting_that_forbids_namespaces_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: Mapping[str, str], advice: str
) -> None:
    with_settings(monkeypatch, setting)
    found = why_not(refusing(tmp_path))
    assert FORBIDDEN.removeprefix("bwrap: ") in found
    assert advice in found


def test_a_container_is_named_as_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_settings(monkeypatch, {})
    monkeypatch.setattr(detect, "_in_container", lambda: True)
    assert "run NanoClaw outside of it" in why_not(refusing(tmp_path))


def test_without_a_known_cause_bubblewraps_own_words_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, {})
    monkeypatch.setattr(detect, "_in_container", lambda: False)
    assert why_not(refusing(tmp_path, "bwrap: the moon is full")).endswith("here: the moon is full")


def test_a_root_host_needs_setpriv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = examine(refusing(tmp_path), SANDBOX_UID)
    assert isinstance(found, str)
    assert "install util-linux" in found


def test_a_machine_without_a_filter_makes_no_sandboxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert "no filter of system calls for riscv64" in why_not("bwrap")


def test_a_program_that_cannot_be_started_is_explained(tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_bytes(b"\x7fELF no program")
    program.chmod(0o755)
    assert "cannot be started" in why_not(str(program))


# -- the runtime -----------------------------------------------------------------


async def test_a_runner_waits_while_namespaces_are_forbidden(tmp_path: Path) -> None:
    runtime = BubblewrapRuntime(BubblewrapConfig(refusing(tmp_path)))
    spec = await make_session(tmp_path)
    await runtime.survivors()
    assert not runtime.state.ready
    for start in (runtime.run, runtime.recover):
        with pytest.raises(NotNow, match="cannot make a sandbox here: No permissions"):
            await start(spec)


async def test_a_bubblewrap_that_is_forbidden_later_makes_the_runtime_wait(tmp_path: Path) -> None:
    need_bubblewrap()
    program = tmp_path / "bwrap"
    program.symlink_to(shutil.which("bwrap") or "")
    runtime = BubblewrapRuntime(BubblewrapConfig(str(program)))
    await runtime.survivors()
    assert runtime.state.ready
    program.unlink()
    refusing(tmp_path)
    with pytest.raises(NotNow, match="No permissions"):
        await runtime.run(await make_session(tmp_path))
    assert not runtime.state.ready


async def test_what_it_cannot_honour_is_refused_by_name(tmp_path: Path) -> None:
    spec = await make_session(tmp_path)
    runtime = BubblewrapRuntime()
    assert runtime.unhonoured(spec) == {}
    wanted = evolve(spec, image="mine", user=7, packages=Packages(apt=("gcc",), pip=("six",)))
    assert list(runtime.unhonoured(wanted)) == ["image", "user", "packages.apt"]
    with pytest.raises(
        StartFailed, match=r"cannot honour image, user, packages\.apt of the agent's"
    ) as caught:
        await runtime.run(wanted)
    assert "`sudo apt install gcc`" in str(caught.value)
    assert dict(runtime.unhonoured(evolve(spec, packages=Packages(pip=("six",), npm=("is",))))) == {}


async def test_a_mount_that_is_missing_fails_the_start_with_its_name(tmp_path: Path) -> None:
    need_bubblewrap()
    runtime, gone = BubblewrapRuntime(), tmp_path / "gone"
    spec = evolve(await make_session(tmp_path), shared=gone)
    with pytest.raises(StartFailed, match=str(gone)) as caught:
        await runtime.run(spec)
    assert not isinstance(caught.value, NotNow)
    assert runtime.state.ready


async def test_a_command_that_is_missing_inside_fails_the_start(tmp_path: Path) -> None:
    need_bubblewrap()
    spec = evolve(await make_session(tmp_path), command=("no-such-runner",))
    with pytest.raises(StartFailed, match="there is no program 'no-such-runner' in the sandbox"):
        await BubblewrapRuntime().run(spec)


async def test_descriptors_are_not_leaked_by_starts_that_fail(tmp_path: Path) -> None:
    need_bubblewrap()
    spec, runtime = evolve(await make_session(tmp_path), command=("no-such-runner",)), BubblewrapRuntime()
    await runtime.survivors()
    before = descriptors().used
    for _ in range(3):
        with pytest.raises(StartFailed):
            await runtime.run(spec)
    assert descriptors().used == before


async def test_starts_that_ask_at_the_same_time_share_one_trial(tmp_path: Path) -> None:
    trials = tmp_path / "trials"
    program = refusing(tmp_path, says=f'" >>{trials}; echo "{FORBIDDEN}')
    runtime = BubblewrapRuntime(BubblewrapConfig(program))
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(runtime.survivors)
    assert len(trials.read_text().splitlines()) == 1
    await runtime.survivors()
    assert len(trials.read_text().splitlines()) == 2
