"""`autodepth mcp` needs the package mcp, and says so; `--json` prints what an agent finds."""

import json
import sys


def test_a_script_reads_which_tools_there_are(run):
    tools = json.loads(run("mcp", "--json").stdout)

    assert {"spaces", "front"} <= {tool["name"] for tool in tools}
    assert not any(tool["changes"] for tool in tools)


def test_without_the_package_it_is_said_what_brings_it(run, monkeypatch):
    for name in [n for n in sys.modules if n.startswith(("autodepth.service.agents", "mcp."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    done = run("mcp")

    assert done.returncode == 2
    assert "pip install 'autodepth[mcp]'" in done.stderr
