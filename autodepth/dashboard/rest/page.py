"""The OpenAPI document as people read it: a page that runs and fetches nothing, and Markdown."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

Document = Mapping[str, Any]
_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>autodepth: REST</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code{font-family:ui-monospace,monospace}table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid #8884;padding:.3rem .5rem;text-align:left;vertical-align:top}
:root{color-scheme:light dark}</style></head><body><main>"""


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Yield method, path and description of every operation, in the order of the document."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def reference_html(document: Document) -> str:
    """Return the page."""
    parts = [_HEAD, f"<h1>{escape(document['info']['title'])}: REST</h1>"]
    parts.append(f"<p>{escape(document['info']['description'])}</p>")
    parts.append('<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>')
    parts.append("<h2>What can be asked</h2><table><thead><tr><th>method and path</th>"
                 "<th>what</th><th>takes</th><th>gives</th></tr></thead><tbody>")  # fmt: skip
    for method, path, operation in operations(document):
        cells = (
            f"<code>{escape(method)} {escape(path)}</code>", escape(operation["summary"]),
            escape(_takes(operation)), escape(_gives(operation)),
        )  # fmt: skip
        parts.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    parts.append("</tbody></table>")
    for name, schema in _schemas(document):
        parts.append(f"<h2 id='{escape(name)}'>{escape(name)}</h2>")
        parts.append(f"<p>{escape(schema.get('description', ''))}</p><table><tbody>")
        for field, told in schema.get("properties", {}).items():
            needed = "needed" if field in schema.get("required", ()) else ""
            cells = (field, _kind(told), needed, told.get("description", ""))
            parts.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
        parts.append("</tbody></table>")
    return "\n".join([*parts, "</main></body></html>"])


def reference_markdown(document: Document) -> str:
    """Return the page of the docs."""
    lines = [
        "# REST", "",
        document["info"]["description"], "",
        "`autodepth serve` answers all of it, `autodepth dashboard` what only looks. A server",
        "gives the same as `/api/v1/openapi.json`, and as a page at `/api/v1/docs`.", "",
        "| method and path | what | takes | gives |", "|---|---|---|---|",
    ]  # fmt: skip
    for method, path, operation in operations(document):
        row = (f"`{method} {path}`", operation["summary"], _takes(operation), _gives(operation))
        lines.append(f"| {' | '.join(_cell(cell) for cell in row)} |")
    for name, schema in _schemas(document):
        lines += ["", f"## {name}", "", schema.get("description", ""), ""]
        fields = schema.get("properties", {})
        if fields:
            lines += ["| field | kind | what |", "|---|---|---|"]
        for field, told in fields.items():
            needed = field in schema.get("required", ()) and name.endswith("Request")
            kind = f"{_kind(told)}, needed" if needed else _kind(told)
            lines.append(f"| `{field}` | {_cell(kind)} | {_cell(told.get('description', ''))} |")
    return "\n".join(lines) + "\n"


def _schemas(document: Document) -> Iterator[tuple[str, Document]]:
    for name, schema in sorted(document["components"]["schemas"].items()):
        if name.endswith(("Request", "Answer", "Line", "Member")):
            yield name, schema


def _takes(operation: Document) -> str:
    named = [
        f"{p['name']}{'' if p.get('required') else '?'}"
        for p in operation.get("parameters", ())
        if p["in"] == "query"
    ]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return ", ".join([*([_kind(body["schema"])] if body else []), *named])


def _gives(operation: Document) -> str:
    answer = next(value for status, value in operation["responses"].items() if status[0] == "2")
    content = answer.get("content", {})
    if "application/json" not in content:
        return ", ".join(content) or "nothing"
    return _kind(content["application/json"].get("schema", {}))


def _kind(schema: Document) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    from autodepth.dashboard.rest.application import openapi_document

    Path(sys.argv[1]).write_text(reference_markdown(openapi_document()), encoding="utf-8")
