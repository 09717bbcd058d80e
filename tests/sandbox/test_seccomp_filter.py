"""The filter of system calls, run by a small interpreter of classic BPF, for each architecture."""

import errno
import struct
from itertools import product

import pytest

from nanoclaw.runtimes.bubblewrap.seccomp import ARCHITECTURES, NEWEST, filter_for
from nanoclaw.runtimes.denied_calls import DENIED, FAMILIES

MACHINES = list(ARCHITECTURES)
ALLOWED, KILLED = "allowed", "killed"


def answer(machine: str, number: int, *arguments: int, audit: int | None = None) -> str | int:
    """Return what the filter says of a call: `ALLOWED`, `KILLED` or an error number."""
    code = filter_for(machine)
    assert code is not None
    program = list(struct.iter_unpack("=HBBI", code))
    said: dict[int, str] = {0x7FFF0000: ALLOWED, 0x80000000: KILLED}
    padded = [value & (1 << 64) - 1 for value in (*arguments, *[0] * (6 - len(arguments)))]
    data = struct.pack("<IIQ6Q", number, audit or ARCHITECTURES[machine].audit, 0, *padded)
    place, loaded = 0, 0
    while True:
        operation, then, other, value = program[place]
        place += 1
        if operation == 0x06:
            return said.get(value) or int(value & 0xFFFF)
        if operation == 0x20:
            [loaded] = struct.unpack_from("<I", data, value)
            continue
        holds = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[operation]
        place += then if holds else other


@pytest.mark.parametrize("machine", MACHINES)
def test_the_listed_calls_are_refused_and_no_others(machine: str) -> None:
    column = ARCHITECTURES[machine].column
    asks = {ARCHITECTURES[machine].personality}
    refused = {numbers[column] for numbers in DENIED.values()} - {None}
    answers = {
        number: answer(machine, number, 0xFFFFFFFF if number in asks else 1) for number in range(NEWEST + 1)
    }
    clone3 = ARCHITECTURES[machine].clone3
    assert answers.pop(clone3) == errno.ENOSYS
    assert {number for number, said in answers.items() if said != ALLOWED} == refused
    assert {answers[number] for number in refused if number is not None} == {errno.EPERM}


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_the_future_and_of_x32_do_not_exist(machine: str) -> None:
    assert {answer(machine, number) for number in (NEWEST + 1, 0x40000000, 0x40000065, 0xFFFFFFFF)} == {
        errno.ENOSYS
    }


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_architecture_kill(machine: str) -> None:
    i386 = 0x40000003
    assert answer(machine, 0, audit=i386) == KILLED


@pytest.mark.parametrize("machine", MACHINES)
def test_a_socket_has_one_of_few_families_whatever_the_high_half_says(machine: str) -> None:
    arch = ARCHITECTURES[machine]
    for call, family, high in product((arch.socket, arch.socketpair), range(64), (0, 7 << 32)):
        assert (answer(machine, call, family | high) == ALLOWED) == (family in FAMILIES)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "flag", [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000]
)
def test_clone_makes_no_namespace(machine: str, flag: int) -> None:
    clone = ARCHITECTURES[machine].clone
    assert answer(machine, clone, flag | 17) == errno.EPERM
    assert answer(machine, clone, 0x003D0F00) == ALLOWED, "a thread"


@pytest.mark.parametrize("machine", MACHINES)
def test_no_program_types_into_a_terminal(machine: str) -> None:
    ioctl = ARCHITECTURES[machine].ioctl
    assert [answer(machine, ioctl, 0, code) for code in (0x5412, 0x541C, 0x5412 | 1 << 32)] == [
        errno.EPERM
    ] * 3
    assert answer(machine, ioctl, 0, 0x5413) == ALLOWED


def test_only_calls_of_other_architectures_have_no_number() -> None:
    of_other_architectures = {"umount", "stime", "clock_settime64", "clock_adjtime64", "vm86", "vm86old"}
    assert {name for name, numbers in DENIED.items() if numbers == (None, None)} == of_other_architectures


@pytest.mark.parametrize("machine", MACHINES)
def test_a_program_may_ask_for_its_personality_and_not_change_it(machine: str) -> None:
    call = ARCHITECTURES[machine].personality
    assert [answer(machine, call, value) for value in (0, 0xFFFFFFFF, 0x0040000)] == [
        ALLOWED,
        ALLOWED,
        errno.EPERM,
    ]


def test_there_is_no_filter_for_other_machines() -> None:
    assert filter_for("riscv64") is None
