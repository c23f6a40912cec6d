"""A bundle as a repository of the Hugging Face hub: in a local folder, or uploaded."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from autodepth.errors import AutodepthError, InputError
from autodepth.export.bundles.bundle import read_architecture
from autodepth.export.writing import refuse_existing

_PLACE = re.compile(r"hf://([A-Za-z0-9][\w.-]{0,95})/([A-Za-z0-9][\w.-]{0,95})", re.ASCII)
_LARGE = ("*.safetensors", "*.onnx", "*.onnx.data", "*.pt2", "*.pte")


def read_place(text: str) -> str:
    """Return `OWNER/NAME` of `hf://OWNER/NAME`.

    Raises:
        InputError: the text has another form.
    """
    match = _PLACE.fullmatch(text)
    if not match:
        raise InputError(f"a place to push to must be hf://OWNER/NAME, but got {text!r}")
    return f"{match[1]}/{match[2]}"


def write_repository(bundle: Path, place: str, to: Path, *, own_code: bool = False) -> None:
    """Write what the hub shows of a bundle: its files, their card on top, large ones under LFS.

    The folder is still a bundle: `autodepth.load` checks and reads it.

    Args:
        bundle: the folder to push.
        place: `hf://OWNER/NAME`.
        to: the folder to write; must not exist.
        own_code: whether the network's builder may be code of one's own.

    Raises:
        BundleError: the bundle is damaged or was altered.
        InputError: `place` has another form, or `to` exists.
    """
    read_place(place)
    read_architecture(bundle, own_code=own_code)
    refuse_existing(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
    try:
        shutil.copytree(bundle, draft, dirs_exist_ok=True)
        rules = [f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in _LARGE]
        (draft / ".gitattributes").write_text("".join(rules))
        draft.chmod(0o755)  # mkdtemp's 0700 is not what a folder to hand over has
        draft.rename(to)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def upload(bundle: Path, place: str, *, own_code: bool = False) -> str:
    """Upload a bundle to the hub with the login that is kept here, and return its address.

    Args:
        bundle: the folder to push.
        place: `hf://OWNER/NAME`; the repository is made, private, if it is not there.
        own_code: whether the network's builder may be code of one's own.

    Raises:
        InputError: `place` has another form, or huggingface_hub is not installed.
        AutodepthError: the hub cannot be reached or refuses; nothing is changed here.
    """
    name = read_place(place)
    try:
        from huggingface_hub import HfApi  # noqa: PLC0415 - optional, and slow to import
    except ModuleNotFoundError as error:
        raise InputError(
            "uploading needs huggingface_hub: pip install huggingface_hub, or give --to FOLDER"
        ) from error
    with tempfile.TemporaryDirectory(prefix="autodepth-") as scratch:
        folder = Path(scratch) / "repository"
        write_repository(bundle, place, folder, own_code=own_code)
        try:
            hub = HfApi()
            hub.create_repo(name, private=True, exist_ok=True)
            hub.upload_folder(repo_id=name, folder_path=folder, commit_message="Export")
        except Exception as error:  # it lets through whatever its transport raises
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise AutodepthError(
                f"the hub must take {name}, but: {reason}; `--to FOLDER` writes the repository "
                "here, to be uploaded from elsewhere"
            ) from error
    return f"https://huggingface.co/{name}"
