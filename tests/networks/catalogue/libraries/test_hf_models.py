"""Networks of transformers: built by name, read, given weights, and built again without files."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from autodepth.errors import NetworkError, WeightsError
from autodepth.networks.catalogue import (
    NetworkSpec,
    build_module,
    build_network,
    complete,
    default_classes,
    default_input,
    from_root,
    trained_on,
)
from autodepth.networks.catalogue.libraries.hf_models import import_transformers
from autodepth.networks.catalogue.pixel_constants import constants_of
from autodepth.networks.catalogue.pretrained import PRETRAINED, weights_file
from autodepth.networks.pruning.channels.stream import find_stream
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.space.file.shipped import default_space

pytest.importorskip("transformers", exc_type=ImportError)
VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "patch_size": 8,
}
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [2, 2], "layer_type": "basic"}
HALVES = [0.5, 0.5, 0.5]


def spec_of(name, arguments=None, **other):
    known = {"classes": 5, "height": 32, "width": 32, "arguments": arguments or {}}
    return NetworkSpec(name=f"hf:{name}", **{**known, **other})


@pytest.fixture(scope="module", params=["vit", "resnet"])
def saved(request, tmp_path_factory):
    """Return a network of transformers and the folder it was saved to."""
    transformers = import_transformers()
    folder = tmp_path_factory.mktemp(request.param)
    values = {"vit": {**VIT, "image_size": 32}, "resnet": RESNET}[request.param]
    config = transformers.AutoConfig.for_model(request.param, num_labels=5, **values)
    with torch.random.fork_rng([]):
        torch.manual_seed(7)
        model = transformers.AutoModelForImageClassification.from_config(config).eval()
    model.save_pretrained(folder)
    preprocessing = {"size": 32, "image_mean": HALVES, "image_std": HALVES}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return model, folder


def test_a_saved_network_is_read_with_its_weights_and_its_preprocessing(saved):
    model, folder = saved
    name = f"hf:{folder}"
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    file = weights_file(name, PRETRAINED)
    network = build_network(spec_of(folder), weights=file, once=True)

    with torch.no_grad():
        assert torch.equal(network.module.eval()(images), model(pixel_values=images).logits)
    assert set(network.module.state_dict()) == set(model.state_dict())
    assert default_classes(name) == 5
    assert default_input(name) == (3, 32, 32)
    assert trained_on(name) == 32
    assert constants_of(name, file).mean == (0.5, 0.5, 0.5)


def test_branches_that_go_leave_what_a_hand_that_zeroes_them_leaves(saved):
    model, folder = saved
    network = build_network(spec_of(folder), weights=folder / "model.safetensors", once=True)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    parts = dict(model.named_modules())
    taken = [b for b in network.branches if b.shortcut == "identity" and b.removable]
    assert len(taken) == (6 if model.config.model_type == "vit" else 3)

    for branch in taken:
        # The last layer of each branch: of a ResNet the last of a block, of a ViT by turns.
        if model.config.model_type == "resnet":
            last = parts[branch.module].layer[-1]
        else:
            layer = parts[f"vit.layers.{(branch.index - 1) // 2}"]
            last = layer.attention.o_proj if branch.index % 2 else layer.mlp.fc2
        hook = last.register_forward_hook(lambda _module, _input, output: 0 * output)
        with torch.no_grad():
            by_hand = model(pixel_values=images).logits
            gone = network.without([branch.index]).module.eval()(images)
        hook.remove()

        assert torch.equal(gone, by_hand), branch


def test_a_kind_is_built_at_random_for_the_images_at_hand():
    spec = spec_of("vit", VIT, channels=1, height=16, width=24)
    network = build_network(spec, seed=3, once=True)

    assert network.module.eval()(torch.zeros(1, 1, 16, 24)).shape == (1, 5)
    assert len(network.branches) == 6
    assert default_classes("hf:vit") == 1000
    assert default_input("hf:vit") == (3, 224, 224)


def test_a_kind_that_takes_no_single_number_for_a_square_is_built():
    small = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1]}
    module = build_module(spec_of("hiera", small, height=64, width=64)).eval()

    assert module(torch.zeros(2, 3, 64, 64)).shape == (2, 5)


def test_scores_that_go_by_another_name_are_found():
    module = build_module(spec_of("pp_lcnet", {"scale": 0.25})).eval()

    assert module(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


def test_it_is_built_again_where_its_files_are_not(saved, tmp_path):
    _, folder = saved
    spec = complete(replace(spec_of(folder), height=64, width=64))
    told = json.loads(json.dumps(spec.to_dict()))
    elsewhere = NetworkSpec.from_dict({**told, "name": f"hf:{tmp_path / 'gone'}"})

    same = build_module(elsewhere).state_dict()

    assert {k: v.shape for k, v in same.items()} == {
        k: v.shape for k, v in build_module(spec).state_dict().items()
    }
    assert from_root("hf:./x") == f"hf:{__import__('os').getcwd()}/x"


def test_a_plan_takes_their_preprocessing_along_and_needs_no_file_later(saved, monkeypatch):
    _, folder = saved
    monkeypatch.chdir(folder)
    network = "network={name: 'hf:./', weights: pretrained}"
    few = ("data.train_images=48", "data.validation=60", "train.epochs=0")
    plan = plan_search(
        SearchRequest(space=default_space(), budget="1trials", settings=[network, *few])
    )

    assert plan.space.network.name == f"hf:{folder}"
    assert (plan.context.data.height, plan.context.data.width) == (32, 32)
    assert plan.context.normalisation.mean == (0.5, 0.5, 0.5)
    assert f"images are brought to 32x32, as hf:{folder} was trained on" in " ".join(plan.notes)
    assert "model_type" in plan.to_dict()["network"]["arguments"]


def test_weights_for_other_classes_or_without_a_head_start_that_at_random(saved, tmp_path):
    model, folder = saved
    spec = spec_of(folder, classes=3)

    network = build_network(spec, weights=folder / "model.safetensors", once=True)
    assert any("start at random" in note for note in network.notes)

    prefix = f"{model.base_model_prefix}."
    state = load_file(folder / "model.safetensors")
    body = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    save_file(body, tmp_path / "body.safetensors")
    network = build_network(spec, weights=tmp_path / "body.safetensors", once=True)
    assert any("start at random: body.safetensors has none" in note for note in network.notes)
    own, given = network.module.state_dict(), model.state_dict()
    assert all(torch.equal(own[k], v) for k, v in given.items() if k.startswith(prefix))

    del body[max(body)]  # a weight
    save_file(body, tmp_path / "body.safetensors")
    with pytest.raises(WeightsError):
        build_network(spec, weights=tmp_path / "body.safetensors", once=True)


@pytest.mark.parametrize(
    ("name", "arguments", "rule"),
    [
        ("vitt", {}, "transformers has no kind of network 'vitt', did you mean 'vit'"),
        ("bert", {}, "hf:bert is a bert, of which transformers has no network that classifies"),
        ("vit", {"hiden_size": 32}, "hf:vit has no setting 'hiden_size', did you mean"),
        ("vit", {"hidden_size": "wide"}, "hf:vit cannot be built.*hidden_size"),
    ],
)
def test_what_cannot_be_built_is_told(name, arguments, rule):
    with pytest.raises(NetworkError, match=rule):
        build_module(spec_of(name, arguments))


def test_code_of_a_repository_is_not_run(tmp_path):
    values = {"model_type": "mine", "auto_map": {"AutoModel": "evil.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(values))
    (tmp_path / "evil.py").write_text("raise SystemExit('was run')")

    with pytest.raises(NetworkError, match="is built by code of its repository, which is not run"):
        build_module(spec_of(tmp_path))


def test_transformers_is_an_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)

    with pytest.raises(NetworkError, match=r"pip install 'autodepth\[hf\]'"):
        build_module(spec_of("vit"))


TEXT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}


@pytest.mark.parametrize(
    ("kind", "stay"),
    [
        ("clip", {}),  # positions, looked up in a table, follow the stream
        ("siglip", {1: "MultiheadAttention mixes channels or cuts them up"}),  # its pooling
    ],
)
def test_a_kind_that_reads_texts_too_is_made_for_images_of_a_size(kind, stay):
    spec = spec_of(kind, {"vision_config": VIT, "text_config": TEXT})
    network = build_network(spec)

    assert len(network.branches) == 6
    assert find_stream(network).stay == stay
    again = build_network(complete(spec))
    assert again.total_macs == network.total_macs
    assert default_input(f"hf:{kind}") == (3, 224, 224)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dinat", "hf:dinat cannot be built: DinatForImageClassification requires the natten lib"),
        ("imagegpt", "does not take images of 3x32x32: You have to specify either input_ids"),
    ],
)
def test_a_kind_that_takes_no_images_or_lacks_a_library_says_so(name, told):
    with pytest.raises(NetworkError, match=told):
        build_network(spec_of(name))


def test_a_kind_that_is_none_without_settings_says_so():
    with pytest.raises(NetworkError, match="hf:timm_wrapper is no network without settings: "):
        default_input("hf:timm_wrapper")
