"""A sealed file tells when any byte of it was changed."""

import json

import pytest

from autodepth.errors import BundleError
from autodepth.export.bundles.seal import read_sealed, sealed

VALUES = {"study": "digits", "numbers": [1, 2.5, None], "name": "фронт"}


def test_what_was_sealed_is_read(tmp_path):
    path = tmp_path / "record.json"
    path.write_text(sealed(VALUES))

    assert read_sealed(path) == VALUES


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("digits", "digitz"),
        lambda text: text.replace("2.5", "2.50"),
        lambda text: text + " ",
        lambda text: json.dumps(json.loads(text)),  # the same values in another spelling
        lambda text: text[:-3],
        lambda _: json.dumps(VALUES),
        lambda _: "[]",
        lambda _: "",
    ],
)
def test_any_other_byte_is_refused_with_the_files_name(tmp_path, change):
    path = tmp_path / "record.json"
    path.write_text(change(sealed(VALUES)))

    with pytest.raises(BundleError, match=r"record\.json was altered"):
        read_sealed(path)


def test_a_file_that_is_no_text_is_refused_and_a_missing_one_is_missing(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError):
        read_sealed(tmp_path / "bytes")
    with pytest.raises(FileNotFoundError):
        read_sealed(tmp_path / "nowhere")
