"""Whole hosts whose agents run under bubblewrap."""

import base64
import json
import os
import shutil
from pathlib import Path

import pytest
import trio
from attrs import Factory, define

from nanoclaw.host import Seams, open_host
from nanoclaw.records import Attachment, TextContent
from nanoclaw.runtimes import Death, NotNow, Runner, RunnerSpec, RuntimeWrapper
from nanoclaw.runtimes.bubblewrap import BubblewrapConfig, BubblewrapRuntime
from nanoclaw.system.sandbox_user import SANDBOX_UID
from nanoclaw.testing import FakeChannel, ModelAnswer, ModelCall, open_fake_model, wire
from nanoclaw.testing.models.answers import Reaction
from tests.host.homes import GUARD_S, config, only_session, rows, statuses
from tests.sandbox.hosts import sandboxed
from tests.sandbox.needed import need_bubblewrap

pytestmark = pytest.mark.slow

AS_ROOT = os.geteuid() == 0


def texts(channel: FakeChannel) -> list[str]:
    return [each.content.text for each in channel.sent if isinstance(each.content, TextContent)]


async def test_a_message_with_a_file_is_answered_from_a_sandbox(tmp_path: Path) -> None:
    channel, data = FakeChannel(), base64.b64encode(b"of the user").decode()
    async with sandboxed(tmp_path, channel):
        await channel.say("hello", event_id="1", attachments=[Attachment("file", "a.txt", data=data)])
        await channel.reply_to("1")
        assert await channel.wait_settled("1") == "completed"
    assert statuses(tmp_path) == ["completed"]


async def test_a_script_calls_tools_in_a_sandbox(tmp_path: Path) -> None:
    call = {"name": "send_message", "arguments": {"text": "one"}}
    script = {"turn": [{"step": [{"text": "hm", "calls": [call]}, {"text": "two"}]}]}
    channel = FakeChannel()
    workspace = tmp_path / "groups" / "main" / "workspace"
    workspace.mkdir(parents=True)
    (workspace / "script.json").write_text(json.dumps(script))
    (workspace / "script.json").chmod(0o600)
    async with sandboxed(tmp_path, channel, model={"provider": "scripted"}):
        await channel.say("a tool, please", event_id="1")
        await channel.wait_for(2)
    assert texts(channel) == ["one", "two"]


async def test_a_model_is_reached_through_the_gateway_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_MODEL_KEY", "sk-test-0123456789")
    channel = FakeChannel()
    answers: list[Reaction] = [ModelAnswer("", [ModelCall("send_message", {"text": "wait"})]), "hello Ann"]
    async with open_fake_model(answers) as model:
        table = {"provider": "openai", "name": "fake-model", "base_url": f"{model.url}/v1"}
        async with sandboxed(tmp_path, channel, model={**table, "key": {"env": "TEST_MODEL_KEY"}}):
            await channel.say("I am Ann", event_id="1")
            await channel.wait_for(2)
    assert texts(channel) == ["wait", "hello Ann"]
    assert model.requests[0].headers["authorization"] == "Bearer sk-test-0123456789"


async def test_a_session_of_the_process_runtime_goes_on_in_a_sandbox_and_back(tmp_path: Path) -> None:
    channel = FakeChannel()
    for n, runtime in enumerate(("process", "bubblewrap", "process", "bubblewrap")):
        async with sandboxed(tmp_path, channel, sandbox={"runtime": runtime}):
            await channel.say("hello", event_id=str(n))
            await channel.reply_to(str(n))
            assert await channel.wait_settled(str(n)) == "completed"
    assert statuses(tmp_path) == ["completed"] * 4
    if AS_ROOT:
        outbound = only_session(tmp_path).outbound_dir
        assert {file.lstat().st_uid for file in (outbound, *outbound.rglob("*"))} == {SANDBOX_UID}


@define(eq=False)
class Refused(RuntimeWrapper):
    """A runtime that tells when it has refused to start a runner."""

    refused: trio.Event = Factory(trio.Event)

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        try:
            return await super().run(spec, task_status=task_status)
        except NotNow:
            self.refused.set()
            raise


async def test_a_missing_bubblewrap_is_waited_for_and_costs_no_try(tmp_path: Path) -> None:
    need_bubblewrap()
    channel, program = FakeChannel(), tmp_path / "bwrap"
    runtime = BubblewrapRuntime(BubblewrapConfig(str(program)))
    wrapper = Refused(runtime)
    with trio.fail_after(GUARD_S):
        async with open_host(config(tmp_path), channels=[channel], seams=Seams(runtime=wrapper)) as host:
            await wire(host, channel.address())
            await channel.say("hello", event_id="1")
            await wrapper.refused.wait()
            assert (runtime.state.ready, "not installed" in runtime.state.text) == (False, True)
            program.symlink_to(shutil.which("bwrap") or "")
            await channel.reply_to("1")
            assert await channel.wait_settled("1") == "completed"
            assert runtime.state.ready
    assert rows(only_session(tmp_path).inbound_db, "SELECT tries FROM messages_in") == [(0,)]
