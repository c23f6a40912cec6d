"""The space of a search: which file, and what the request changes in it."""

from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.wanted_space import LOCAL_SPACE, choose_space, space_of
from autodepth.space.domains import Fixed
from autodepth.space.file.shipped import default_space


def test_the_folders_own_file_goes_before_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert choose_space() == default_space()
    LOCAL_SPACE.write_text("version: 1\n")
    assert choose_space() == LOCAL_SPACE
    assert choose_space("other.yaml").name == "other.yaml"
    assert choose_space("digits_resnet20") == default_space()
    (tmp_path / "digits_resnet20").write_text("version: 1\n")
    assert choose_space("digits_resnet20").samefile("digits_resnet20")


def test_a_network_that_is_trained_has_a_default_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    request = SearchRequest(budget="1h", network="resnet14", data="mnist", weights="w.th")
    space = space_of(request)

    assert choose_space(trained=True) == default_space(trained=True)
    searched = {d.name for d in space.dimensions if not isinstance(d.domain, Fixed)}
    assert {"macs_target", "fine_tune_epochs"} <= searched
    assert (space.network.name, space.network.weights) == ("resnet14", "w.th")
    LOCAL_SPACE.write_text("version: 1\n")
    assert choose_space(trained=True) == LOCAL_SPACE


def test_a_persons_own_settings_come_last():
    request = SearchRequest(
        space=default_space(), budget="1h", network="resnet14", data="mnist", seed=5,
        weights="w.th", settings=["seed=6"],
    )  # fmt: skip
    space = space_of(request)
    assert (space.network.name, space.data.name, space.seed) == ("resnet14", "mnist", 6)
    assert (space.network.weights, space.data.train_images) == ("w.th", "auto")
