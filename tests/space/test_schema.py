"""The JSON Schema for editors is that of the checks."""

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from autodepth.space.file.shipped import space_folder
from autodepth.space.schema import SCHEMA_NAME, json_schema, schema_text, write_schema

FILES = sorted(space_folder().rglob("*.y*ml"))


def test_the_schema_is_current():
    assert (space_folder() / SCHEMA_NAME).read_text() == schema_text(), (
        "run python -m autodepth.space.schema"
    )


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_writing_the_schema(tmp_path):
    assert json.loads(write_schema(tmp_path).read_text()) == json_schema()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_schema_accepts_every_file(path):
    content = YAML(typ="safe", pure=True).load(path)
    jsonschema.Draft202012Validator(json_schema()).validate(content)


@pytest.mark.parametrize(
    "name", ["unknown_keys", "shortcut_unknown", "type_unknown", "words_for_numbers", "constraints"]
)
def test_the_schema_refuses_what_the_check_refuses(name):
    path = Path(__file__).parent / "broken" / f"{name}.yaml"
    content = YAML(typ="safe", pure=True).load(path)
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(content)
