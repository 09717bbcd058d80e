import os
import re
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanoclaw.config import Config, ConfigError, config_of, load_config, read_config
from nanoclaw.config.keys import BY_NAME, KEYS, OLD_NAMES
from nanoclaw.config.layers import CONTRACT_VARIABLES
from nanoclaw.config.toml_lines import lines_of


def load(home: Path, text: str = "", **environ: str) -> Config:
    (home / "config.toml").write_text(text)
    return load_config(home=home, environ=environ)


def problems(home: Path, text: str = "", **environ: str) -> list[str]:
    """Return the problems, without the home's path."""
    (home / "config.toml").write_text(text)
    found = read_config(home=home, environ=environ).problems
    return [problem.removeprefix(f"{home}/") for problem in found]


# -- wrong values ---------------------------------------------------------------------

NUMBER = "a number of at least 0"
WRONG = {
    "data": [("7", "a path, got 7"), ('"a\\u0000b"', 'a path, got "a\\u0000b"'), ('""', 'a path, got ""')],
    "groups": [
        ('"~nobody-of-that-name/x"', "a path that does not begin with ~ and an unknown user, got "),
        ("[]", "a path, got []"),
    ],
    "timezone": [
        ('"Mars"', 'an IANA time zone such as Europe/Berlin, got "Mars"'),
        ('"../etc/passwd"', "an IANA time zone"),
        ("1", "an IANA time zone such as Europe/Berlin, got 1"),
    ],
    "model.provider": [("1", "a non-empty string, got 1"), ("' '", 'a non-empty string, got " "')],
    "model.name": [("1", "a non-empty string, got 1")],
    "model.base_url": [
        ('"localhost:11434"', "an address such as https://api.example.com/v1, without a user"),
        ('"ftp://a/"', "an address such as"),
        ('"https://me:secret@a/"', "an address such as https://api.example.com/v1, without a user, "),
        (
            '"http://a/?key=1"',
            'an address such as https://api.example.com/v1, without a user, `?` and `#`, got "(not shown)"',
        ),
        ('"http://a b/"', "an address such as"),
    ],
    "model.key": [
        ('"sk-0123456789"', 'a table such as { env = "MY_KEY" } or { file = "path" }; the key itself has no'),
        ("5", "a table such as"),
    ],
    "model.max_tokens": [("0", "a whole number of at least 1, got 0")],
    "model.timeout_s": [('"soon"', 'a number of at least 1, got "soon"')],
    "model.fallback": [("5", "a table, got 5")],
    "runtime.max_turn_steps": [("0", "a whole number of at least 1, got 0")],
    "sandbox.runtime": [("1979-05-27", 'a non-empty string, got "1979-05-27"')],
    "sandbox.process_providers": [("5", "a list, got 5"), ("{ a = 1 }", 'a list, got {"a": 1}')],
    "sandbox.network": [
        ("5", "none, ask, open, or a list of sites such as"),
        (
            '"a b"',
            """none, ask, open, or a list of sites such as "example.org" or "*.python.org:443" ('a b' is""",
        ),
        (
            '"aks"',
            'none, ask, open, or a list of sites such as "example.org" or "*.python.org:443", got "aks"',
        ),
        ('["example.org:0"]', "none, ask, open, or a list of sites"),
    ],
    "sandbox.memory": [("true", 'a size of at least 4M: bytes, or a string such as "512M", got true')],
    "sandbox.processes": [("1", "a whole number of at least 8, got 1")],
    "sandbox.cpus": [("0", "a number of at least 0.01, got 0")],
    "sandbox.disk": [('"1M"', "a size of at least 4M")],
    "sandbox.disk_reserve": [('"much"', "a size of at least 4M")],
    "sandbox.max_running": [("0", "a whole number of at least 1, got 0")],
    "sandbox.mount_allowlist": [("5", "a path, got 5")],
    "runtime.command": [
        ("5", "a list of words, got 5"),
        ("'sh -c \"'", "a list of words or a string that a shell can split (No closing quotation), got "),
        ("[1]", "a non-empty string, got 1"),
    ],
    "runtime.idle_s": [("0", "a number of at least 1, got 0"), ("true", "a number of at least 1, got true")],
    "runtime.backoff_s": [("inf", f"{NUMBER}, got inf"), ('"1e999"', f'{NUMBER}, got "1e999"')],
    "runtime.stop_grace_s": [("-1", f"{NUMBER}, got -1"), ("nan", f"{NUMBER}, got nan")],
    "runtime.slow_poll_s": [("0.5", "a number of at least 1, got 0.5"), ("[1]", "a number of at least 1")],
    "runtime.pass_env": [
        ("5", "a list; its value is not shown"),
        ('{ OPENAI_API_KEY = "sk-1" }', "a list; its value is not shown"),
    ],
    "retry.base_s": [('"soon"', f'{NUMBER}, got "soon"'), ("{}", f"{NUMBER}, got {{}}")],
    "retry.max_tries": [
        ('"many"', 'a whole number of at least 1, got "many"'),
        ("0", "a whole number of at least 1, got 0"),
        ("1.5", "a whole number of at least 1, got 1.5"),
        (f"1{'0' * 400}", "a whole number of at least 1, got 1000"),
    ],
    "delivery.backoff_s": [("5", "a list, got 5"), ("false", "a list, got false")],
    "retention.acks_s": [("-1", f"{NUMBER}, got -1")],
    "retention.files_s": [("5", "0 or a number of at least 3600, got 5")],
    "retention.messages_s": [("3600", "0 or a number of at least 86400, got 3600")],
    "approvals.expire_s": [("59", "a number of at least 60, got 59")],
    "approvals.held_messages": [("0", "a whole number of at least 1, got 0")],
    "approvals.held_s": [("60", "a number of at least 3600, got 60")],
    "agents.max_hops": [("0", "a whole number of at least 1, got 0")],
    "agents.max_a_minute": [("1.5", "a whole number of at least 1, got 1.5")],
    "agents.max_created_a_day": [("-1", "a whole number of at least 0, got -1")],
    "prompt.assistant_name": [("''", 'a non-empty string, got ""'), ('"a\\u0000b"', "a non-empty string")],
    **{
        f"budgets.{scope}.{measure}": [
            ("-1", 'a whole number of at least 0, or "none", got -1'),
            ('"many"', 'a whole number of at least 0, or "none", got "many"'),
            ("0.5", 'a whole number of at least 0, or "none", got 0.5'),
            (f"1{'0' * 40}", 'a whole number of at least 0, or "none"; one as high is written "none", got 1'),
        ]
        for scope in ("session", "agent", "day")
        for measure in ("turns", "tool_calls", "messages", "tokens")
    },
    **{
        f"budgets.{scope}.money": [
            ("-0.01", 'a number of at least 0, or "none", got -0.01'),
            ("nan", 'a number of at least 0, or "none", got nan'),
            ("inf", 'a number of at least 0, or "none", got inf'),
        ]
        for scope in ("session", "agent", "day")
    },
    "log.level": [('"loud"', 'one of debug, info, warning, error, got "loud"'), ("[]", "one of debug")],
}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *((name, "; its value is not shown") for name in ("OPENAI_API_KEY=sk-1", "*", "A*B", "", "Ä", "A B")),
        *(
            (name, ", which the host does not set itself; its value is not shown")
            for name in ("PATH", "NANOCLAW_HOME", "PYTHON*", "PYTHONPATH", "TZ", "AGENT_PROVIDER")
        ),
    ],
)
def test_a_variable_that_runners_may_not_be_given_is_refused_and_not_shown(
    tmp_path: Path, name: str, wanted: str
) -> None:
    [problem] = problems(tmp_path, f'[runtime]\npass_env = ["GOOD", "{name}"]')
    must_be = "must be the name of a variable, or the beginning of names and *"
    assert problem == f"config.toml line 2: runtime.pass_env[1] {must_be}{wanted}"


def test_wrong_values_are_tried_for_every_key() -> None:
    assert set(WRONG) == set(BY_NAME)


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_value_is_reported_with_file_line_full_key_and_expected_value(
    tmp_path: Path, key: str
) -> None:
    table, _, name = key.rpartition(".")
    for value, wanted in WRONG[key]:
        text = f"# {key}\n\n[{table}]\n{name} = {value}\n" if table else f"# {key}\n\n\n{name} = {value}\n"
        [problem] = problems(tmp_path, text)
        assert problem.startswith(f"config.toml line 4: {key} must be {wanted}"), value
        assert "\n" not in problem


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = """\
colour = "red"
timezone = "Mars"
[delivery]
backoff_s = [
  1,
  "soon",
  -1,
]
backof_s = 3
[retry]
max_tries = 0
[channels]
telegram = 5
"bad name" = {}
[log.deep]
"""
    rooms = (
        "model",
        "sandbox",
        "runtime",
        "retry",
        "delivery",
        "retention",
        "prompt",
        "approvals",
        "agents",
        "budgets",
        "log",
        "prices",
    )
    tables = ", ".join(f"[{table}]" for table in (*rooms, "channels", "runtimes"))
    name = "a name has up to 128 of A-Z a-z 0-9 . _ - and does not begin with a dot"
    assert problems(tmp_path, text, NANOCLAW_RETRY_BASE_S="x") == [
        f"config.toml line 1: colour is not known; known are data, groups, timezone, {tables}",
        'config.toml line 2: timezone must be an IANA time zone such as Europe/Berlin, got "Mars"',
        'config.toml line 4: delivery.backoff_s[1] must be a number of at least 0, got "soon"',
        "config.toml line 4: delivery.backoff_s[2] must be a number of at least 0, got -1",
        "config.toml line 9: delivery.backof_s is not known; the nearest is [delivery] backoff_s",
        "config.toml line 11: retry.max_tries must be a whole number of at least 1, got 0",
        "config.toml line 13: channels.telegram must be a table",
        f"config.toml line 14: channels.'bad name': {name}",
        "config.toml line 15: log.deep is not known; known are level",
        'NANOCLAW_RETRY_BASE_S must be a number of at least 0, got "x"',
    ]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("[delivry]\nbackoff_s = []", "line 1: delivry is not known; the nearest is [delivery]"),
        ("provder = 'echo'", "line 1: provder is not known; the nearest is [model] provider"),
        ("runner_idle = 5", "line 1: runner_idle is not known; the nearest is [runtime] idle_s"),
        (
            "[retry]\nbackoff_s = 5",
            "line 2: retry.backoff_s is not known; the nearest is [runtime] backoff_s",
        ),
        ("[model]\nprovider = 'echo'\nlevel = 'x'", "line 3: model.level is not known; the nearest is [log]"),
        ("home = 'x'", "line 1: home cannot be set here; use --home or the variable NANOCLAW_HOME"),
    ],
)
def test_an_unknown_key_is_reported_with_the_nearest_one(tmp_path: Path, text: str, advice: str) -> None:
    [problem] = problems(tmp_path, text)
    assert problem.startswith(f"config.toml {advice}")


@pytest.mark.parametrize("table", sorted({key.path[0] for key in KEYS if len(key.path) > 1}))
def test_a_value_in_place_of_a_table_is_named(tmp_path: Path, table: str) -> None:
    if table in OLD_NAMES:  # then it is that key
        return
    variable = next(key.variable for key in KEYS if key.path[0] == table)
    for environ in ({}, {variable: "1"}):
        found = problems(tmp_path, f"{table} = 5", **environ)
        assert found == [f"config.toml line 1: {table} must be a table, got 5"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["retry", "log", "data", "runtime", "channels", "x"]), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text() | st.sampled_from(["base_s", "level"]), below),
)))  # fmt: skip
def test_any_program_settings_give_a_configuration_or_one_line_per_problem(
    given_values: dict[str, Any],
) -> None:
    found: tuple[str, ...] = ("",)
    try:
        config_of(Path("/home"), given_values)
    except ConfigError as error:
        found = tuple(error.problems)
    assert found
    assert not any("\n" in problem for problem in found)


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ConfigError, match=r"config.toml: cannot be read: Is a directory; check it, or name"):
        load_config(home=tmp_path, environ={})
    with pytest.raises(ConfigError, match=r"/no/file: there is no such configuration file"):
        load_config(home=tmp_path, file=Path("/no/file"), environ={})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"runtime = ", " line 1: cannot be read as TOML: Invalid value, at the end of the file"),
        (b"a = 1\n\nb = [1,\n ]x", " line 4: cannot be read as TOML: Expected newline or end of document "),
        (b"a = 1\na = 2", " line 2: a is given twice, first on line 1; remove one"),
        (b"[log]\nlevel = 1\n[model]\n[log]", " line 4: log is given twice, first on line 1; remove one"),
        (b"[log]\nlevel = 1\n[log.level]", " line 3: log.level is given twice, first on line 2; remove one"),
        (b"a = 1\n[a.b]\n", " line 2: a.b clashes with a on line 1; remove one"),
        (b"a = 1\nb = '\xff'", " line 2: must be UTF-8, got the byte 0xff; save it as UTF-8"),
        (b"a = " + b"1" * 5000, ": cannot be read as TOML: Exceeds the limit"),
    ],
)
def test_invalid_toml_is_one_error(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "config.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=f"^{re.escape(f'{tmp_path}/config.toml{problem}')}.*$"):
        load_config(home=tmp_path, environ={})


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("#" * (2**20 + 1))
    with pytest.raises(ConfigError, match=r"config.toml: must be at most 1 MiB; check it"):
        load_config(home=tmp_path, environ={})


LARGE = {
    "comments": "#\n" * 2**19,
    "a long array": f"x = [{'1,' * 2**19}",
    "an array of many lines": "x = [\n" + "1,\n" * 2**18,
    "a string of escapes": 'x = "' + '\\"' * 2**19,
    "a string of many lines": "x = '''" + "\n" * 2**20,
}


@pytest.mark.parametrize("kind", LARGE)
def test_the_lines_of_a_large_file_are_found_within_a_second(kind: str) -> None:
    begin = process_time()
    assert set(lines_of(LARGE[kind][: 2**20])) <= {("x",)}
    assert process_time() - begin < 1


@pytest.mark.parametrize("value", ["[" * 5000, "{a=" * 5000, "{" + "a." * 5000 + "b=1}"])
def test_deep_nesting_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(
        ConfigError, match=r"config.toml line 2: is nested too deeply; use at most 32 levels$"
    ):
        load(tmp_path, f"\nx = {value}")


@pytest.mark.parametrize("statement", ["a." * 50_000 + "b = 1", "[" + "a." * 50_000 + "b]"])
def test_a_long_dotted_key_is_refused(tmp_path: Path, statement: str) -> None:
    with pytest.raises(ConfigError, match=r"config.toml line 1: is nested too deeply"):
        load(tmp_path, statement)


def test_text_that_only_looks_nested_is_read(tmp_path: Path) -> None:
    numbers = ", ".join(["1.5"] * 100)
    text = f'# {"[" * 50}\n[delivery]\nbackoff_s = [{numbers}]\n[model]\nprovider = "{"[.{" * 20}"\n'
    assert len(load(tmp_path, text).delivery.backoff_s) == 100


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.toml")
    with pytest.raises(ConfigError, match=r"config.toml: must be a regular file, but is a special one \(prw"):
        load_config(home=tmp_path, environ={})


def test_a_symbolic_link_is_followed_and_a_dangling_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").symlink_to("real.toml")
    with pytest.raises(ConfigError, match=r"config.toml: is a symbolic link to real.toml, which is missing"):
        load_config(home=tmp_path, environ={})
    (tmp_path / "real.toml").write_text("[retry]\nmax_tries = 2")
    assert load_config(home=tmp_path, environ={}).retry.max_tries == 2


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xef\xbb\xbf[retry]\nmax_tries = 2")
    assert load_config(home=tmp_path, environ={}).retry.max_tries == 2


@pytest.mark.parametrize("key", ["prompt.assistant_name", "model.provider"])
@pytest.mark.parametrize("character", ["\\u001b", "\\n", "\\u202e"])
def test_a_printed_name_contains_no_control_characters(tmp_path: Path, key: str, character: str) -> None:
    table, name = key.split(".")
    [problem] = problems(tmp_path, f'[{table}]\n{name} = "a{character}[31m"')
    start = f"config.toml line 2: {key} must be a non-empty string of printable characters, got "
    assert problem == f'{start}"a{character}[31m"'


def test_at_most_100_problems_are_listed_in_line_order(tmp_path: Path) -> None:
    found = problems(tmp_path, "".join(f"k{index:03} = 1\n" for index in range(500)))
    assert [problem.split(": ")[0] for problem in found] == [
        f"config.toml line {line + 1}" for line in range(100)
    ]


# -- lines ----------------------------------------------------------------------------


def test_the_line_of_a_key_is_where_its_statement_begins() -> None:
    text = '''\
# a comment = 1
a = 1

[t] # with "quotes"
long = """
[not.a.table]
b = 2
"""
list = [
  1, # one

  2,
]
inline = { x = 1, y = { z = 2 } }
dotted.key = "\u2028"
"quoted key" = 3
[t.deep]
k = 1
[[many]]
k = 1
[[many]]
k = 2
'''
    assert lines_of(text) == {
        ("a",): 2,
        ("t",): 4,
        ("t", "long"): 5,
        ("t", "list"): 9,
        ("t", "inline"): 14,
        ("t", "inline", "x"): 14,
        ("t", "inline", "y"): 14,
        ("t", "inline", "y", "z"): 14,
        ("t", "dotted"): 15,
        ("t", "dotted", "key"): 15,
        ("t", "quoted key"): 16,
        ("t", "deep"): 17,
        ("t", "deep", "k"): 18,
        ("many",): 19,
        ("many", "k"): 20,
    }


def test_windows_line_endings_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\r\n[retry]\r\n\r\nmax_tries = 0\r\n")
    [problem] = read_config(home=tmp_path, environ={}).problems
    assert problem.startswith(f"{tmp_path}/config.toml line 4: retry.max_tries ")


# -- sources of values -----------------------------------------------------------


def test_flags_override_variables_which_override_the_file_which_overrides_defaults(tmp_path: Path) -> None:
    def level(flag: str | None, *, variable: bool, file: bool) -> tuple[str, str]:
        (tmp_path / "config.toml").write_text('[log]\nlevel = "debug"' if file else "")
        environ = {"NANOCLAW_LOG_LEVEL": "error"} if variable else {}
        defaults, flags = {"log.level": "warning"}, {"log_level": flag}
        config = load_config(home=tmp_path, flags=flags, environ=environ, defaults=defaults)
        return config.log.level, config.origins.place(("log", "level"))

    assert level("info", variable=True, file=True) == ("info", "--log-level")
    assert level(None, variable=True, file=True) == ("error", "NANOCLAW_LOG_LEVEL")
    assert level(None, variable=False, file=True) == ("debug", f"{tmp_path}/config.toml line 2")
    assert level(None, variable=False, file=False) == ("warning", "default")


def test_a_program_s_own_settings_override_all_others(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[retry]\nbase_s = 1\nmax_tries = 2")
    own = {"retry.base_s": 3, "delivery": {"backoff_s": (1, 2)}}
    config = load_config(home=tmp_path, environ={"NANOCLAW_RETRY_BASE_S": "2"}, settings=own)
    assert (config.retry.base_s, config.retry.max_tries) == (3.0, 2)
    assert config.delivery.backoff_s == (1.0, 2.0)


def test_every_key_has_its_own_variable(tmp_path: Path) -> None:
    variables = {key.variable: key.name for key in KEYS}
    assert len(variables) == len(KEYS)
    assert not {*variables} & CONTRACT_VARIABLES
    old = {f"NANOCLAW_{name.upper()}": new for name, new in OLD_NAMES.items()}
    assert {**variables, **old} == {**old, **variables}  # one that is both means the same
    assert load(tmp_path, NANOCLAW_DELIVERY_BACKOFF_S="1, 2").delivery.backoff_s == (1.0, 2.0)


def test_an_empty_variable_counts_as_absent(tmp_path: Path) -> None:
    assert load(tmp_path, NANOCLAW_LOG_LEVEL="", NANOCLAW_NONSENSE="").log.level == "info"


def test_a_command_is_a_list_of_words_or_is_split_like_a_shell_does(tmp_path: Path) -> None:
    file = '[runtime]\ncommand = ["my runner", "--fast"]'
    assert load(tmp_path, file).runtime.command == ("my runner", "--fast")
    assert load(tmp_path, file, NANOCLAW_RUNTIME_COMMAND="'your runner' -x").runtime.command == (
        "your runner",
        "-x",
    )


def test_relative_paths_are_resolved_against_the_home(tmp_path: Path) -> None:
    assert load(tmp_path, 'data = "there"').data == tmp_path / "there"


def test_a_variable_may_set_a_key_of_a_channel_that_the_file_names(tmp_path: Path) -> None:
    text = '[channels.work]\ntype = "telegram"\ntoken = "a"\n[channels.work-2]\ntoken = "b"'
    tokens = {"NANOCLAW_CHANNELS_WORK_TOKEN": "c", "NANOCLAW_CHANNELS_WORK_2_TOKEN": "d"}
    channels = load(tmp_path, text, **tokens).channels
    assert channels["work"].values == {"type": "telegram", "token": "c"}
    assert channels["work-2"].values == {"token": "d"}
    assert channels["work"].origins.label(("token",)) == "NANOCLAW_CHANNELS_WORK_TOKEN"
    assert channels["work"].origins.label(("type",)) == f"{tmp_path}/config.toml line 2: channels.work.type"


def test_an_unused_variable_causes_a_warning(tmp_path: Path) -> None:
    known = {"NANOCLAW_HOME": "x", "NANOCLAW_LIFELINE": "stdin", "NANOCLAW_MCP_SERVERS": "{}"}
    unknown = {"NANOCLAW_MODEL_PROVDER": "echo", "NANOCLAW_CHANNELS_WORK_TOKEN": "s", "NANOCLAW_FOO": "x"}
    channel, far, provider = read_config(home=tmp_path, environ={**known, **unknown}).unread
    assert channel == (
        "NANOCLAW_CHANNELS_WORK_TOKEN: nothing reads this variable; the file has no table [channels.<name>] "
        "that it belongs to"
    )
    assert far == "NANOCLAW_FOO: nothing reads this variable; `nanoclaw config show` prints all keys"
    assert provider == (
        "NANOCLAW_MODEL_PROVDER: nothing reads this variable; the nearest is NANOCLAW_MODEL_PROVIDER"
    )


# -- old names ------------------------------------------------------------------------

OLD_VALUES = {
    "provider": '"a"',
    "runtime": '"process"',
    "process_providers": '["a"]',
    "runner_command": '["a"]',
    "max_tries": "7",
    "delivery_backoff_s": "[1]",
    "assistant_name": '"Ann"',
    "log_level": '"debug"',
}


@pytest.mark.parametrize("old", OLD_NAMES)
def test_an_old_name_is_accepted_with_a_hint(tmp_path: Path, old: str) -> None:
    value, (table, name) = OLD_VALUES.get(old, "86400"), OLD_NAMES[old].split(".")
    expected = load(tmp_path, f"[{table}]\n{name} = {value}")
    (tmp_path / "config.toml").write_text(f"\n{old} = {value}")
    in_file = read_config(home=tmp_path, environ={})
    assert in_file.hints == (f"{tmp_path}/config.toml line 2: {old} is now [{table}] {name}",)
    assert in_file.result() == expected
    (tmp_path / "config.toml").unlink()
    variable = f"NANOCLAW_{old.upper()}"
    in_environment = read_config(home=tmp_path, environ={variable: value.strip('["]')})
    same = variable == f"NANOCLAW_{table}_{name}".upper()
    assert in_environment.hints == (() if same else (f"{variable} is now [{table}] {name}",))
    assert in_environment.result() == expected
    assert config_of(tmp_path, {old: value.strip('["]'), "timezone": expected.timezone}) == expected


def test_an_old_and_a_new_name_in_one_source_are_an_error(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, "max_tries = 3\n[retry]\nmax_tries = 4")
    assert problem == (
        f"config.toml line 3: retry.max_tries and {tmp_path}/config.toml line 1: max_tries are one key, and "
        "both are given; keep [retry] max_tries"
    )
    both = {"NANOCLAW_MAX_TRIES": "3", "NANOCLAW_RETRY_MAX_TRIES": "4"}
    [problem] = problems(tmp_path, **both)
    assert problem.startswith(
        "NANOCLAW_MAX_TRIES and NANOCLAW_RETRY_MAX_TRIES are one key, and both are given"
    )
    assert load(tmp_path, "max_tries = 3", NANOCLAW_RETRY_MAX_TRIES="4").retry.max_tries == 4


def test_an_old_key_beside_a_table_of_its_name_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(
        f"{tmp_path}/config.toml line 1: runtime is now [sandbox] runtime, and the file has a table [runtime]"
    )):  # fmt: skip
        load(tmp_path, 'runtime = "process"\n[runtime]\nidle_s = 60\n')


NESTED: list[Callable[[], object]] = [
    lambda: config_of(Path("/x"), {"retry": {"max_tries": 3}}),
    lambda: config_of(Path("/x"), {"retry.max_tries": 3}),
    lambda: config_of(Path("/x"), {"max_tries": 3}),
]


def test_program_settings_may_use_full_keys_tables_or_old_names() -> None:
    first, *others = [make() for make in NESTED]
    assert others == [first, first]
    with pytest.raises(ConfigError, match=r"are one key, and both are given; keep \[retry\] max_tries"):
        config_of(Path("/x"), {"max_tries": 3, "retry": {"max_tries": 4}})
