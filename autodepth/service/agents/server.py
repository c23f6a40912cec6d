"""The MCP server: tools for agents over stdio. The one file that imports mcp."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from autodepth.errors import AutodepthError
from autodepth.service.agents.commands import answer, begin, checked_name, options, space_file
from autodepth.space.file.shipped import shipped_spaces
from autodepth.version import __version__

P = ParamSpec("P")
T = TypeVar("T")
_Tool = Callable[..., Awaitable[Any]]
Study = Annotated[str, Field(description="A study's name; `latest` is the newest.")]
Space = Annotated[
    str | None,
    Field(description="Name of a shipped space, see `spaces`, or a space file; else the default."),
]
Budget = Annotated[
    str, Field(description="What may be spent: 50gpu-h, 90cpu-min, 12h, 400trials; or several.")
]
Settings = Annotated[
    tuple[str, ...],
    Field(description="Changes to the space: `train.epochs=3`, `network.name=resnet56`."),
]
_ABOUT = (
    "autodepth finds how shallow a residual network can be at what accuracy: it trains, removes "
    "residual branches and fine-tunes within a budget of device time. Begin with `spaces` and "
    "`dry_run`; `front` has the networks that no other beats. Accuracies are of the validation "
    "split, fractions; `confirmed` ones are means over fresh seeds and are what to believe."
)


def agent_server(*, steer: bool) -> MCPServer[Any]:
    """Return the server.

    Args:
        steer: whether agents may start, stop and change studies and export networks too.
    """
    server: MCPServer[Any] = MCPServer(
        "autodepth", instructions=_ABOUT, version=__version__, log_level="WARNING"
    )
    looks: list[_Tool] = [spaces, dry_run, studies, status, front, explain, controls]
    changes: list[_Tool] = [search, resume, stop, set_concurrency, export] if steer else []
    for tool in looks:
        server.add_tool(_plainly(tool), annotations=ToolAnnotations(read_only_hint=True))
    for tool in changes:
        hints = ToolAnnotations(read_only_hint=False, destructive_hint=tool is stop)
        server.add_tool(_plainly(tool), annotations=hints)
    return server


async def tools_of(server: MCPServer[Any]) -> list[dict[str, Any]]:
    """Return what an agent finds: each tool, what it takes, and whether it changes anything."""
    return [
        {
            "name": tool.name,
            "description": tool.description,
            "takes": tool.input_schema,
            "changes": not (tool.annotations and tool.annotations.read_only_hint),
        }
        for tool in await server.list_tools()
    ]


def _plainly(tool: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Have an error that is meant for people told to the agent as it is."""

    @wraps(tool)
    async def told(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return await tool(*arguments, **named)
        except AutodepthError as error:
            raise ToolError(str(error)) from error

    return told


async def spaces() -> dict[str, str]:
    """List the space files that come with autodepth: name and text."""
    return {name: path.read_text(encoding="utf-8") for name, path in shipped_spaces().items()}


async def dry_run(
    budget: Budget, space: Space = None, data: str | None = None, settings: Settings = ()
) -> dict[str, Any]:
    """Say what a search would do and what the budget affords; trains nothing but a few steps."""
    given = options(budget=budget, data=data, set=settings)
    return _object(await answer("search", *given, "--dry-run", *space_file(space)))


async def studies() -> list[dict[str, Any]]:
    """List the studies, newest first: outcome, trials, front, best."""
    return list(await answer("studies"))


async def status(study: Study = "latest") -> dict[str, Any]:
    """Say where a study stands: budget, trials, what device time went to, whether it runs."""
    return _object(await answer("status", checked_name(study)))


async def front(study: Study = "latest") -> list[dict[str, Any]]:
    """List the networks of a study that no other beats: accuracy, MACs, latency, policy."""
    return list(await answer("front", checked_name(study)))


async def explain(trial: int, study: Study = "latest") -> dict[str, Any]:
    """Say why a trial is where it is: what was decided, how it learned, what beats it."""
    return _object(await answer("status", checked_name(study), *options(why=trial)))


async def controls(study: Study = "latest") -> list[dict[str, Any]]:
    """Say how each member of a front did on fresh seeds, and beside which controls."""
    return list(await answer("controls", checked_name(study)))


async def search(
    budget: Budget,
    study: Annotated[str, Field(description="A new name for the study.")],
    space: Space = None,
    data: str | None = None,
    settings: Settings = (),
) -> dict[str, Any]:
    """Start a search, which spends its budget on this machine; `status` says how far it is."""
    given = options(budget=budget, study=checked_name(study), data=data, set=settings)
    return await begin(study, "search", *given, *space_file(space))


async def resume(
    study: str, budget: Annotated[str | None, Field(description="What to add: +10gpu-h.")] = None
) -> dict[str, Any]:
    """Go on with a study that was interrupted or has spent its budget."""
    return await begin(study, "resume", *options(budget=budget), checked_name(study))


async def stop(study: str) -> dict[str, Any]:
    """Ask a running study to end: what is complete stays, what runs is cancelled."""
    return _object(await answer("stop", checked_name(study)))


async def set_concurrency(study: str, trials: int) -> dict[str, Any]:
    """Change how many trials of a running study run at a time."""
    return _object(await answer("set", checked_name(study), f"concurrency={trials}"))


async def export(
    to: Annotated[str, Field(description="Name of a new folder below ./exports.")],
    study: Study = "latest",
    select: Annotated[
        tuple[str, ...], Field(description="knee, best-accuracy, smallest, trial:7, 'macs<=1M'.")
    ] = ("knee",),
    formats: str = "torch,onnx",
) -> list[dict[str, Any]]:
    """Export networks of a front as files that run without the study, each one verified."""
    given = options(to=f"exports/{checked_name(to)}", select=select, formats=formats)
    return list(await answer("export", checked_name(study), *given))


def _object(told: Any) -> dict[str, Any]:
    return dict(told)
