"""JSON Schema of a space file, for editors: `python -m autodepth.space.schema` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autodepth.space.file.shipped import space_folder
from autodepth.space.sections.models import SpaceModel

SCHEMA_NAME = "space.schema.json"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a space file, from the models that check it."""
    schema = SpaceModel.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """Return the schema as it is kept beside the shipped space files."""
    return json.dumps(json_schema(), indent=2) + "\n"


def write_schema(folder: Path | None = None) -> Path:
    """Write the schema beside the space files and return its path."""
    path = (folder or space_folder()) / SCHEMA_NAME
    path.write_text(schema_text(), encoding="utf-8")
    return path


if __name__ == "__main__":
    write_schema()
