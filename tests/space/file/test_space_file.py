"""A space file is read whole, or every mistake in it is told with its place."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodepth.errors import InputError, SpaceFileError
from autodepth.space.domains import Choice, Fixed, FloatRange
from autodepth.space.file.shipped import default_space
from autodepth.space.file.space_file import MAX_BYTES, check_space, load_space

ANY_PACE = settings(deadline=None)  # other work may hold the machine

BROKEN = sorted((Path(__file__).parents[1] / "broken").glob("*.yaml"))
SPACE = """\
version: 1
network: resnet20
data: digits
search: {p_L: 0.5}
"""


@pytest.fixture
def space_file(tmp_path):
    def write(content: str | bytes) -> Path:
        path = tmp_path / "space.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def told(overrides: list[str], path: Path) -> str:
    with pytest.raises(SpaceFileError) as caught:
        load_space(path, overrides)
    return str(caught.value)


def value_of(space, name):
    return next(d.domain for d in space.dimensions if d.name == name)


def test_there_are_enough_broken_files():
    assert len(BROKEN) >= 30


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_every_mistake_is_told_at_once_with_its_place(path):
    expected = [
        line.removeprefix("# expect: ")
        for line in path.read_text().splitlines()
        if line.startswith("# expect: ")
    ]
    assert expected
    assert check_space(path) == [f"{path}:{line}" for line in expected]


def test_a_small_file_is_read(space_file):
    space = load_space(space_file(SPACE))
    assert space.network.name == "resnet20"
    assert space.data.name == "digits"
    assert value_of(space, "p_L") == Fixed(0.5)
    assert [objective.name for objective in space.objectives] == ["validation_accuracy", "macs"]
    assert space.objectives[1].reference.of(40_551_040) == 40_551_040


def test_numbers_are_yaml_1_2(space_file):
    """1e-3 is a number although it has no dot; `no`, `off` and dates are text."""
    path = space_file(SPACE + "train: {learning_rate: 1e-3, weight_decay: 0, epochs: 1_000}\n")
    space = load_space(path)
    assert value_of(space, "train.learning_rate") == Fixed(0.001)
    assert value_of(space, "train.epochs") == Fixed(1000)
    path = space_file(SPACE.replace("digits", "no").replace("resnet20", "2020-01-01"))
    assert load_space(path).data.name == "no"
    assert load_space(path).network.name == "2020-01-01"


def test_a_missing_file_is_told(tmp_path):
    path = tmp_path / "none.yaml"
    assert check_space(path) == [f"{path}: cannot be read: No such file or directory"]
    assert check_space(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        ("", "1:1: the file is empty"),
        ("# nothing but this\n", "1:1: the file is empty"),
        (b"version: 1\nnetwork: \xff\n", "2:10: must be text in UTF-8"),
        ("version: 1\nnetwork: a\x01b\n", "2:11: not valid YAML: a control character"),
        ("#" * (MAX_BYTES + 1), "1:1: a space file must be at most 1 MB"),
        ("null\n", "1:1: must be a mapping, but got null"),
        ("[" * 100_000, "1:17: nested deeper than 16 levels"),
    ],
    ids=["empty", "comment", "latin1", "control", "large", "null", "deep"],
)
def test_what_is_no_space_file_gets_one_line(space_file, content, mistake):
    path = space_file(content)
    assert check_space(path) == [f"{path}:{mistake}"]


def test_a_byte_order_mark_is_skipped(space_file):
    assert check_space(space_file(b"\xef\xbb\xbf" + SPACE.encode())) == []


def test_odd_keys_and_long_values_stay_on_one_short_line(space_file):
    path = space_file(SPACE + f'"a\\nb": 1\nsampler: {{name: {"x" * 9999}}}\n{"k" * 900}: 1\n')
    mistakes = check_space(path)
    assert len(mistakes) == 3
    assert all("\n" not in line and len(line) < len(str(path)) + 250 for line in mistakes)


@ANY_PACE
@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(tmp_path_factory, text):
    """Whatever a file holds, it is judged and never ends in a traceback."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(SPACE + text, encoding="utf-8", errors="replace")
    assert all(line.startswith(f"{path}:") for line in check_space(path))


def test_an_error_is_an_input_error_with_all_lines():
    with pytest.raises(InputError) as caught:
        load_space(BROKEN[0].parent / "unknown_keys.yaml")
    assert len(str(caught.value).splitlines()) == 7


def test_overrides_set_values_before_the_check():
    space = load_space(
        default_space(),
        [
            "train.epochs=3",
            "search.p_L.max=0.9",
            "search.decay_shape=linear",
            "train.momentum={min: 0.5, max: 0.95}",
            "train.precision={values: [float32, bfloat16]}",
            "data.train_images=500",
            "network.shortcut=B",
            "objectives.1.reference=50%",
            "seed=7",
        ],
    )
    assert value_of(space, "train.epochs") == Fixed(3)
    assert value_of(space, "p_L") == FloatRange(0.7, 0.9, step=0.1)
    assert value_of(space, "decay_shape") == Fixed("linear")
    assert value_of(space, "train.momentum") == FloatRange(0.5, 0.95)
    assert value_of(space, "train.precision") == Choice(("float32", "bfloat16"))
    assert space.data.train_images == 500
    assert (space.network.name, space.network.shortcut) == ("resnet20", "B")
    assert space.objectives[1].reference.of(1000) == 500
    assert space.seed == 7


def test_the_last_override_of_a_place_holds():
    assert load_space(default_space(), ["seed=7", "seed=8"]).seed == 8


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=x", "must be a whole number of at least 0, but got 'x'"),
        ("train.epoch=3", "unknown key, did you mean 'epochs'?"),
        ("p_L=0.5", "unknown key here; this setting belongs under search"),
        ("train.momentum={min: 0, max: 1}", "train.momentum.max: must be a number in [0, 1), but"),
        ("search.p_L.max=0.4", "search.p_L: min must be below max, but got min 0.7 and max 0.4"),
        ("train.epochs", "must be path=value, for example --set train.epochs=3"),
        ("a..b=1", "must be path=value"),
        ("train.epochs=", "the value is missing; write null for none"),
        ("train.epochs=[1", "not valid YAML"),
        ("train.epochs=!!python/name:os.system", "tag !!python/name:os.system: write a plain"),
        ("train.epochs.min=3", "train.epochs holds no min to set"),
        ("objectives.9.goal=minimize", "objectives holds no 9 to set"),
        ("seed=99999999999999999999", "must be at most 9223372036854775807"),
    ],
)
def test_a_mistaken_override_is_named(override, message):
    assert told([override], default_space()).startswith(f"--set {override}: {message}")


def test_mistakes_of_file_and_overrides_come_together(space_file):
    path = space_file(SPACE + "seed: -1\n")
    assert told(["train.epochs=-2", "train.momentum=2"], path).splitlines() == [
        f"{path}:5:7: seed: must be a whole number of at least 0, but got -1",
        "--set train.epochs=-2: must be a whole number of at least 0, but got -2",
        "--set train.momentum=2: must be a number in [0, 1), but got 2",
    ]


def test_an_override_can_mend_a_file(space_file):
    path = space_file(SPACE + "seed: -1\n")
    assert load_space(path, ["seed=1"]).seed == 1
