"""A file of tokens is read strictly, and only where nobody else reads it."""

import pytest

from autodepth.errors import InputError
from autodepth.service.queue.owners import read_owners
from autodepth.units import Budget

GOOD = """
[alice]
token = "0123456789abcdef"
role = "steer"
allowance = "2gpu-h"
[bob]
token = "fedcba9876543210"
"""


def written(tmp_path, text, mode=0o600):
    file = tmp_path / "tokens.toml"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_names_have_roles_and_allowances(tmp_path):
    alice, bob = read_owners(written(tmp_path, GOOD))
    assert (alice.name, alice.role) == ("alice", "steer")
    assert alice.allowance == Budget(device_seconds=7200, device="gpu")
    assert (bob.role, bob.allowance) == ("read", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name somebody"),
        ("[a", "TOML that can be read"),
        ("a = 1", "must be a table with token, role, allowance"),
        ("['a b']\ntoken='0123456789abcdef'", "but got 'a b'"),
        ("[a]\ntoken='short'", "a.token must be 16"),
        ("[a]\nrole='steer'", "a.token must be 16"),
        ("[a]\ntoken='0123456789abcdef'\nrole='admin'", "read or steer, but got 'admin'"),
        ("[a]\ntoken='0123456789abcdef'\nroll='read'", "did you mean 'role'"),
        ("[a]\ntoken='0123456789abcdef'\nallowance='12h'", "device time such as 50gpu-h"),
        ("[a]\ntoken='0123456789abcdef'\nallowance='x'", "a.allowance: a budget is"),
        ("[a]\ntoken=5", "must be a text, but got 5"),
        (GOOD.replace("fedcba9876543210", "0123456789abcdef"), "must be another one"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_owners(written(tmp_path, text))


def test_a_file_that_others_may_read_is_refused(tmp_path):
    with pytest.raises(InputError, match="has mode 644: chmod 600"):
        read_owners(written(tmp_path, GOOD, 0o644))
    with pytest.raises(InputError, match="can be read"):
        read_owners(tmp_path / "missing")
