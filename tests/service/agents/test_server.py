"""A program of agents, with the client of the mcp package: from a folder to an exported network."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import pytest

from autodepth.errors import InputError
from autodepth.service.agents.server import agent_server, tools_of

mcp = pytest.importorskip("mcp")
READING = {"spaces", "dry_run", "studies", "status", "front", "explain", "controls"}
STEERING = {"search", "resume", "stop", "set_concurrency", "export"}
SMALL = [
    "network.name=resnet14", "data.train_images=64", "data.validation=60", "train.epochs=1",
    "search={branches_removed: {type: int, min: 0, max: 3}, fine_tune_epochs: 1}",
]  # fmt: skip


def test_only_who_may_steer_finds_what_changes_something():
    reading = asyncio.run(tools_of(agent_server(steer=False)))
    all_of_them = asyncio.run(tools_of(agent_server(steer=True)))

    assert {tool["name"] for tool in reading} == READING
    assert not any(tool["changes"] for tool in reading)
    assert {tool["name"] for tool in all_of_them if tool["changes"]} == STEERING
    assert all(tool["description"] for tool in all_of_them)


class Agent:
    """What an agent's program does: it starts the server, and calls tools."""

    def __init__(self, client) -> None:
        self._client = client

    async def call(self, tool, **arguments):
        result = await self._client.call_tool(tool, arguments)
        text = "".join(part.text for part in result.content)
        if result.is_error:
            raise InputError(text)
        told = result.structured_content
        return told["result"] if set(told) == {"result"} else told


def asked(place, conversation, *words):
    """Have a conversation with `autodepth mcp`, over stdio."""

    async def talk():
        server = mcp.StdioServerParameters(
            command=sys.executable, args=["-m", "autodepth", "mcp", *words], cwd=place,
            env={**os.environ},
        )  # fmt: skip
        async with mcp.Client(server) as client:
            return await conversation(Agent(client))

    return asyncio.run(talk())


@pytest.mark.slow
def test_an_agent_reads_a_study_and_may_change_nothing(make_recorded, tmp_path):
    make_recorded("digits", [(0.95, 40_000_000, 60.0), (0.9, 20_000_000, 30.0)])

    async def conversation(agent):
        (study,) = await agent.call("studies")
        members = await agent.call("front")
        why = await agent.call("explain", trial=1)
        refused = []
        for tool, arguments in (
            ("explain", {"trial": 7}), ("status", {"study": "--own-code"}),
            ("search", {"budget": "1trials", "study": "new"}),
        ):  # fmt: skip
            with pytest.raises(InputError) as error:
                await agent.call(tool, **arguments)
            refused.append(str(error.value))
        return study, members, why, refused

    study, members, why, (unknown, option, steering) = asked(tmp_path, conversation)

    assert (study["study"], [m["trial"] for m in members], why["on_front"]) == (
        "digits",
        [0, 1],
        True,
    )
    assert "numbered from 0, but got 7" in unknown
    assert "a name must be 1 to 64" in option
    assert "search" in steering
    assert not (tmp_path / "studies" / "new").exists()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_an_agent_comes_from_an_empty_folder_to_an_exported_network(tmp_path):
    async def conversation(agent):
        assert "digits_resnet20" in await agent.call("spaces")
        plan = await agent.call("dry_run", budget="3trials", settings=SMALL)
        begun = await agent.call("search", budget="3trials", study="first", settings=SMALL)
        end = time.monotonic() + 900
        while (found := await agent.call("status", study="first"))["outcome"] is None:
            assert time.monotonic() < end, begun
            await asyncio.sleep(1)
        members = await agent.call("front", study="first")
        exported = await agent.call("export", to="small", study="first", formats="torch")
        return plan, found, members, exported

    plan, found, members, exported = asked(tmp_path, conversation, "--steer")

    assert plan["affordable_trials"] == 3
    assert found["outcome"] == "the budget was spent"
    assert exported[0]["trial"] in {member["trial"] for member in members}
    assert (tmp_path / "exports" / "small" / "policy.yaml").is_file()
