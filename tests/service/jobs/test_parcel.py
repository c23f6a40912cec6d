"""What a job takes along."""

import pytest

from autodepth.errors import InputError
from autodepth.service.jobs import parcel
from autodepth.service.jobs.parcel import FILES, pack_parcel


def test_a_parcel_holds_a_persons_files_and_autodepth(tmp_path):
    mine, target = tmp_path / "mine", tmp_path / "target"
    for name in ("space.yaml", ".env", "nets/own.py", "exports/x/model.onnx", "big.npz"):
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_text(name)
    target.mkdir()
    packed = pack_parcel(mine, target, ["*.npz"])

    theirs = [p for p in (target / FILES).rglob("*") if p.is_file()]
    named = sorted(str(p.relative_to(target / FILES)) for p in theirs)
    assert named == ["nets/own.py", "space.yaml"]
    assert sorted(p.name for p in target.iterdir()) == ["autodepth", FILES]
    assert not FILES.isidentifier()  # nodes import from the folder that holds it
    assert (packed.files, packed.size) == (2, len("space.yaml") + len("nets/own.py"))
    assert (target / "autodepth" / "cli" / "main.py").is_file()
    assert (target / "autodepth" / "search_spaces" / "digits_resnet20.yaml").is_file()


def test_too_large_a_parcel_names_what_is_large(tmp_path, monkeypatch):
    monkeypatch.setattr(parcel, "LIMIT_BYTES", 100)
    (tmp_path / "images.bin").write_bytes(bytes(500))
    (tmp_path / "small.yaml").write_text("a: 1")

    with pytest.raises(InputError, match=r"at most 100 B .*the largest: images.bin \(500 B\)"):
        pack_parcel(tmp_path, tmp_path / "target")
