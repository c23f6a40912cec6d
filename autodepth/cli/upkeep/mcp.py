"""`autodepth mcp`: autodepth for agents."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from autodepth.cli.console import give_json
from autodepth.cli.options import Json
from autodepth.errors import InputError


def mcp(
    steer: Annotated[
        bool,
        typer.Option("--steer", help="Let agents start, stop and change studies and export too."),
    ] = False,
    json: Json = False,
) -> None:
    """Serve agents over stdio by the Model Context Protocol: plans, studies, fronts, trials.

    An agent's program starts it. Without --steer it changes nothing. With --json
    it prints its tools, and serves nobody.

    Example: autodepth mcp --steer
    """
    try:
        from autodepth.service.agents.server import agent_server, tools_of
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"mcp", "mcp_types"}:
            raise
        raise InputError("agents need the package mcp: pip install 'autodepth[mcp]'") from error
    server = agent_server(steer=steer)
    if json:
        give_json(asyncio.run(tools_of(server)))
    else:
        server.run()
