"""Say what the model.onnx beside this file gives for images: python predict.py FILE [FILE ...].

A class, how alike an image is to the first one, numbers, or how much of it each class covers.
Needs onnxruntime and numpy. FILE is an .npy or .npz of pixels 0-255 of the network's size: one
image [H, W], [H, W, C] or many [N, H, W], [N, H, W, C]. With Pillow also PNG, JPEG and the like.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

FOLDER = Path(__file__).parent
ABOUT = json.loads((FOLDER / "architecture.json").read_text(encoding="utf-8"))
C, H, W = (ABOUT["network"][name] for name in ("channels", "height", "width"))
NAMES, TASK = ABOUT["classes"], ABOUT.get("task", {}).get("name", "classification")
FIRST: list[np.ndarray] = []


def read(path: str) -> np.ndarray:
    if path.endswith(".npy"):
        return np.asarray(np.load(path))
    if path.endswith(".npz"):
        return next(pixels for pixels in np.load(path).values() if pixels.ndim > 1)
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError:
        sys.exit(f"{path}: only .npy and .npz are read without Pillow: pip install pillow")
    opened = Image.open(path)
    photograph = opened.format in {"JPEG", "MPO"}  # upright, as the camera was held
    upright = ImageOps.exif_transpose(opened) if photograph else opened
    image = upright.convert("RGB" if C == 3 else "L")
    if TASK in {"regression", "segmentation"}:  # as in training
        return np.asarray(image.resize((W, H), Image.Resampling.BILINEAR))
    if image.size != (W, H):  # the largest centred square, as in training
        side = min(image.size)
        left, top = ((size - side) // 2 for size in image.size)
        image = image.resize(
            (W, H), Image.Resampling.BILINEAR, (left, top, left + side, top + side)
        )
    return np.asarray(image)


def prepare(pixels: np.ndarray, path: str) -> np.ndarray:
    if pixels.shape[-3:-1] != (H, W):  # no channels, so it is grey
        pixels = pixels[..., None]
    if pixels.shape[-3:-1] != (H, W) or pixels.shape[-1] not in (1, C):
        channels = "1 channel" if C == 1 else f"1 or {C} channels"
        sys.exit(f"{path}: images must be {H}x{W} of {channels}, but got {pixels.shape}")
    pixels = pixels.reshape(-1, H, W, pixels.shape[-1])
    mean, std = (np.float32(ABOUT["normalisation"][name]) for name in ("mean", "std"))
    images = (pixels / np.float32(255) - mean) / std  # grey is repeated for every channel
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def told(scores: np.ndarray) -> str:
    if TASK == "embedding":
        vector = scores / np.linalg.norm(scores)
        if not FIRST:
            FIRST.append(vector)
        return f"{vector @ FIRST[0]:.3f} (cosine to the first image)"
    if TASK == "regression":
        return ", ".join(f"{name} {value:.4g}" for name, value in zip(NAMES, scores, strict=True))
    if TASK == "segmentation":
        shares = np.bincount(scores.argmax(axis=0).ravel(), minlength=len(scores))
        shares = shares / shares.sum()
        return ", ".join(f"{NAMES[n]} {shares[n]:.1%}" for n in shares.argsort()[::-1] if shares[n])
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    return f"{NAMES[shares.argmax()]} ({shares.max():.1%})"


def main() -> None:
    session = onnxruntime.InferenceSession(
        FOLDER / "model.onnx", providers=["CPUExecutionProvider"]
    )
    for path in sys.argv[1:] or sys.exit(__doc__):
        images = prepare(read(path), path)
        scores = session.run(None, {"images": images})[0]
        for number, row in enumerate(scores):
            name = path if len(images) == 1 else f"{path}[{number}]"
            print(f"{name}: {told(row)}")


if __name__ == "__main__":
    main()
