"""A package whose re-exports are deferred has the same names, and loads fewer modules."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from py_compile import compile as compile_file
from types import ModuleType

import pytest

from agent_runner.providers.reexports import defer_reexports
from agent_runner.providers.sdks import load_sdk
from nanoclaw.testing import FakeModel
from tests.loop.talk import PROVIDERS

Written = Callable[..., ModuleType]
ASKED = {"model": "fake-model", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """Write a package `made_up` of an `__init__` and modules, and import it with deferred re-exports."""

    def write(init: str, **modules: str) -> ModuleType:
        for name, text in {"__init__": init, **modules}.items():
            file = tmp_path / "made_up" / f"{name.replace('__in_', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return import_module("made_up")

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.syspath_prepend(tmp_path)
    defer_reexports("made_up")
    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "made_up"]:
        del sys.modules[name]


def loaded() -> set[str]:
    """Return the modules of the package that are loaded."""
    return {name.removeprefix("made_up.") for name in sys.modules if name.startswith("made_up.")}


# -- what is deferred --------------------------------------------------------------


def test_a_class_is_imported_when_it_is_asked_for(written: Written) -> None:
    package = written("from .a import A\nfrom .b import B", a="class A: pass", b="class B: pass")
    assert loaded() == set()
    assert package.A.__module__ == "made_up.a"
    assert loaded() == {"a"}
    assert package.A is vars(package)["A"]


def test_a_name_that_the_init_uses_is_imported_at_once(written: Written) -> None:
    package = written("from .a import A\nfrom .b import B\nA.home = __name__", a="class A: pass", b="B = 1")
    assert loaded() == {"a"}
    assert package.A.home == "made_up"


def test_the_names_in_a_list_are_imported_at_once_if_a_statement_reads_it(written: Written) -> None:
    init = "from .a import A\nfrom .b import B\n__all__ = ['A']\n"
    init += "names = locals()\nfor name in __all__: names[name].home = __name__"
    package = written(init, a="class A: pass", b="B = 1")
    assert loaded() == {"a"}
    assert package.A.home == "made_up"


def test_a_list_of_names_alone_imports_nothing(written: Written) -> None:
    package = written("from .a import A\n__all__ = ['A']", a="A = 1")
    assert loaded() == set()
    assert package.__all__ == ["A"]


def test_a_star_defers_the_names_of_a_package(written: Written) -> None:
    package = written(
        "from .c import *",
        c__in___init__="from .d import D as D\nfrom .e import E",
        c__in_d="D = 1",
        c__in_e="E = 1",
    )
    assert loaded() == {"c"}
    assert package.D == 1
    assert loaded() == {"c", "c.d"}


def test_everything_can_be_taken_from_a_package(written: Written) -> None:
    written("from .a import A, _hidden", a="A = 1\n_hidden = 2")
    taken: dict[str, object] = {}
    exec("from made_up import *", taken)  # noqa: S102 -- it is not allowed in a function
    assert taken["A"] == 1
    assert "_hidden" not in taken


def test_the_names_are_listed_before_they_are_imported(written: Written) -> None:
    package = written("from .a import A as Renamed", a="A = 1")
    assert {"Renamed", "a"} <= set(dir(package))
    assert loaded() == set()


def test_submodules_are_attributes(written: Written) -> None:
    package = written("from .a import A\nfrom . import b", a="from .c import C as A", b="B = 2", c="C = 3")
    assert (package.b.B, package.c.C, package.a.A) == (2, 3, 3)


def test_a_submodule_is_imported_from_its_package(written: Written) -> None:
    written("from .a import A", a="A = 1", b="B = 2")
    found: dict[str, object] = {}
    exec("from made_up import b", found)  # noqa: S102 -- there is no such package for type checkers
    assert loaded() == {"b"}


def test_relative_imports_of_another_package_are_deferred(written: Written) -> None:
    package = written("", a="A = 1", c__in___init__="from .. import a\nfrom ..a import A")
    below = import_module("made_up.c")
    assert loaded() == {"c"}
    assert (below.A, below.a) == (1, package.a)


# -- what is not -------------------------------------------------------------------


@pytest.mark.parametrize(
    "init",
    [
        pytest.param("from .a import A\ndef __getattr__(name): return 7", id="it answers for names itself"),
        pytest.param("from .b import A, Used\nUsed\nfrom .a import A", id="a name is bound twice"),
        pytest.param("from .a import A\nfrom .a import A as b", id="a submodule has the name"),
        pytest.param(
            "from .a import A\nassert ' A'[1:] in globals()", id="it needs the name in a hidden way"
        ),
        pytest.param("from .a import A\nfrom .b import A as a, Used\nUsed", id="a name hides a submodule"),
    ],
)
def test_an_init_that_depends_on_its_imports_is_run_as_usual(written: Written, init: str) -> None:
    package = written(init, a="A = 1\nUsed = 2", b="A = 3\nUsed = 2")
    assert vars(package)["A"] == 1


def test_a_private_package_is_imported_as_usual(written: Written) -> None:
    init = "try:\n  from ._vendor import Client\nexcept ImportError:\n  Client = None"
    package = written(
        init,
        _vendor__in___init__="from .a import Client\nfrom .b import B",
        _vendor__in_a="Client = 1",
        _vendor__in_b="import no_such_library",
    )
    assert package.Client is None


def test_a_package_without_sources_is_imported_as_usual(written: Written, tmp_path: Path) -> None:
    written("from .a import A", a="A = 1")
    init = tmp_path / "made_up" / "__init__.py"
    compile_file(str(init), cfile=str(init.with_suffix(".pyc")))
    init.unlink()
    del sys.modules["made_up"]
    assert vars(import_module("made_up"))["A"] == 1


# -- errors ------------------------------------------------------------------------


def test_an_unknown_name_is_an_attribute_error(written: Written) -> None:
    package = written("from .a import A", a="A = 1")
    with pytest.raises(AttributeError, match="module made_up has no attribute 'B'"):
        package.B  # noqa: B018 -- it raises


def test_a_missing_module_is_an_error_of_the_import(written: Written) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"made_up\.a"):
        written("from .a import A")


def test_a_missing_name_is_named_when_it_is_asked_for(written: Written) -> None:
    package = written("from .a import A", a="B = 1")
    with pytest.raises(AttributeError, match=r"'made_up\.a' has no attribute 'A'"):
        package.A  # noqa: B018 -- it raises


def test_an_error_of_the_init_is_raised(written: Written) -> None:
    with pytest.raises(ZeroDivisionError):
        written("from .a import A\n1 / 0", a="A = 1")
    assert "made_up" not in sys.modules


# -- the SDKs ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("sdk", PROVIDERS)
def test_an_sdk_has_all_its_names_and_loads_less_than_half_of_its_modules(sdk: str) -> None:
    command = [sys.executable, "-m", "tests.loop.sdk_names", sdk]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert found["names"] > 100
    assert found["differ"] == []
    usual, deferred = found["modules"]
    assert deferred < usual / 2


async def test_anthropics_own_helpers_work() -> None:
    sdk = await load_sdk("anthropic")
    async with FakeModel(["one", "two"]).open() as http:
        messages = sdk.AsyncAnthropic(api_key="none", base_url="http://model", http_client=http).messages
        said = await messages.create(**ASKED)
        async with messages.stream(**ASKED) as stream:
            streamed = await stream.get_final_message()
    assert isinstance(said, sdk.types.Message)
    assert [message.content[0].text for message in (said, streamed)] == ["one", "two"]


# Its iterators leave generators to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_openais_own_helpers_work() -> None:
    sdk = await load_sdk("openai")
    async with FakeModel(["one", "two"]).open() as http:
        chat = sdk.AsyncOpenAI(api_key="none", base_url="http://model/v1", http_client=http).chat
        said = await chat.completions.create(**ASKED)
        async with chat.completions.stream(**ASKED) as stream:
            streamed = await stream.get_final_completion()
    assert isinstance(said, sdk.types.chat.ChatCompletion)
    assert [each.choices[0].message.content for each in (said, streamed)] == ["one", "two"]
