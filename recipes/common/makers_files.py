"""Read image data sets in the files their makers publish: IDX (MNIST, Fashion-MNIST), CIFAR-10 binary batches."""

from __future__ import annotations

import contextlib
import gzip
import math
import pathlib
import tarfile
import zlib
from collections.abc import Iterator

import numpy as np

from recipes.common.errors import UserError
from recipes.common.image_data import ImageData

_PUBLISHED = {"fashion_mnist": (60_000, 10_000), "mnist": (60_000, 10_000), "cifar10": (50_000, 10_000)}
_IDX_STEMS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_CIFAR_ROW = 1 + 3 * 32 * 32
_CIFAR_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_CIFAR_TEST = "test_batch.bin"
_LABELS = 10


def read_makers_files(name: str, source: pathlib.Path, partial: bool = False) -> ImageData:
    """Read and check a data set.

    Args:
        name: `"fashion_mnist"`, `"mnist"` or `"cifar10"`.
        source: folder with the files (plain or .gz), or with CIFAR-10's tar.gz, or that archive itself.
        partial: accept another number of images than published.

    Returns:
        Images `(n, height, width, channels)` uint8 and labels, in the makers' order.

    Raises:
        UserError: if a file is missing, cut short, or not what its name says.
    """
    if not source.exists():
        raise UserError(f"--source {source} does not exist", remedy=f"Name the folder with the makers' files of {name}.")
    data = _read_cifar(source) if name == "cifar10" else _read_idx_set(name, source)
    got = (len(data.train), len(data.test))
    if got != _PUBLISHED[name] and not partial:
        raise UserError(
            f"{name}: received {got} train and test images, expected {_PUBLISHED[name]}",
            remedy="Fetch the files again, or pass --partial to use them as they are.",
        )
    if name != "cifar10" and got == _PUBLISHED[name]:
        _check_kind(data)
    return data


def read_idx(path: pathlib.Path, ndims: int) -> np.ndarray:
    """One IDX file of unsigned bytes, plain or gzip (told by its content).

    Layout: two zero bytes, a type byte (8: unsigned byte), the number of dimensions, each dimension as a big-endian
    32-bit integer, then the numbers, the last dimension running fastest.

    Args:
        path: the file.
        ndims: 3 for images, 1 for labels.

    Returns:
        The array, uint8.

    Raises:
        UserError: if the magic number or the size is wrong.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise UserError(f"{path}: cannot be read ({error or 'too large'})", remedy="Fetch the file again.") from error
    magic = bytes((0, 0, 8, ndims))
    if raw[:4] != magic:
        raise UserError(
            f"{path}: received magic number 0x{raw[:4].hex()}, expected 0x{magic.hex()} (IDX, unsigned bytes, {ndims}-D)",
            remedy="Fetch the file again, and do not rename it.",
        )
    header = 4 + 4 * ndims
    shape = tuple(int(n) for n in np.frombuffer(raw[4:header], ">u4")) if len(raw) >= header else ()
    if len(shape) != ndims or len(raw) - header != math.prod(shape):
        expected = "x".join(map(str, shape)) or "a whole header"
        raise UserError(
            f"{path}: received {max(len(raw) - header, 0)} bytes of data, expected {expected}",
            remedy="The file is cut short or damaged: fetch it again.",
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _read_idx_set(name: str, source: pathlib.Path) -> ImageData:
    parts = {stem: read_idx(_find_idx(name, source, stem), 3 if "images" in stem else 1) for stem in _IDX_STEMS}
    for stem in ("train-images", "t10k-images"):
        if parts[stem].shape[1:] != (28, 28):
            raise UserError(f"{stem}: received images of {parts[stem].shape[1:]}, expected (28, 28)")
    labels = {stem: _checked_labels(parts[stem], stem) for stem in ("train-labels", "t10k-labels")}
    return ImageData(
        train=parts["train-images"][..., None],
        train_labels=labels["train-labels"],
        test=parts["t10k-images"][..., None],
        test_labels=labels["t10k-labels"],
        name=name,
    )


def _find_idx(name: str, source: pathlib.Path, stem: str) -> pathlib.Path:
    kind = "idx3" if "images" in stem else "idx1"
    names = [f"{stem}{sep}{kind}-ubyte{gz}" for sep in "-." for gz in ("", ".gz")]
    for candidate in names:
        if (source / candidate).is_file():
            return source / candidate
    raise UserError(f"{source} holds no {names[0]} (plain or .gz)", remedy=f"{name} needs four files: {_idx_names()}.")


def _idx_names() -> str:
    return ", ".join(f"{s}-{'idx3' if 'images' in s else 'idx1'}-ubyte" for s in _IDX_STEMS)


def _check_kind(data: ImageData) -> None:
    """MNIST and Fashion-MNIST use the same file names; only the latter has equally many images of each class."""
    balanced = len(set(np.bincount(data.train_labels, minlength=_LABELS))) == 1
    if balanced != (data.name == "fashion_mnist"):
        other = "Fashion-MNIST" if balanced else "MNIST"
        raise UserError(
            f"{data.name}: the files are those of {other} (told by the number of images a class)",
            remedy="Name the other data set or another --source.",
        )


def _read_cifar(source: pathlib.Path) -> ImageData:
    with _cifar_files(source) as files:
        splits = [_cifar_images(files, _CIFAR_TRAIN), _cifar_images(files, (_CIFAR_TEST,))]
    (train, train_labels), (test, test_labels) = splits
    return ImageData(train, train_labels, test, test_labels, name="cifar10")


def _cifar_images(files: dict[str, bytes], names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    rows = []
    for name in names:
        raw = files[name]
        if not raw or len(raw) % _CIFAR_ROW:
            raise UserError(
                f"{name}: received {len(raw)} bytes, expected a multiple of {_CIFAR_ROW} (a label and 3x32x32 pixels)",
                remedy="The file is cut short or not of the binary version: fetch it again.",
            )
        rows.append(np.frombuffer(raw, np.uint8).reshape(-1, _CIFAR_ROW))
    table = np.concatenate(rows)
    images = table[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), _checked_labels(table[:, 0], names[0])


@contextlib.contextmanager
def _cifar_files(source: pathlib.Path) -> Iterator[dict[str, bytes]]:
    """Contents of the six batch files by name, from a folder or from the archive."""
    wanted = (*_CIFAR_TRAIN, _CIFAR_TEST)
    for folder in (source, source / "cifar-10-batches-bin"):
        if folder.is_dir() and any((folder / n).exists() for n in wanted):
            missing = [n for n in wanted if not (folder / n).is_file()]
            if missing:
                raise UserError(f"{folder} lacks {', '.join(missing)}", remedy="Fetch the binary version of CIFAR-10 again.")
            yield {n: _bytes_of(folder / n) for n in wanted}
            return
    archive = source if source.is_file() else source / "cifar-10-binary.tar.gz"
    if not archive.is_file():
        raise UserError(
            f"{source} holds neither data_batch_1.bin nor cifar-10-binary.tar.gz",
            remedy="Fetch the binary version of CIFAR-10 (not the Python one).",
        )
    yield _from_archive(archive, wanted)


def _from_archive(archive: pathlib.Path, wanted: tuple[str, ...]) -> dict[str, bytes]:
    found = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:  # read in place: nothing of the archive is ever laid on the disk
                name = pathlib.PurePosixPath(member.name).name
                if member.isfile() and name in wanted:
                    found[name] = tar.extractfile(member).read()
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, MemoryError) as error:
        raise UserError(f"{archive}: cannot be read ({error})", remedy="Fetch the archive again.") from error
    missing = [n for n in wanted if n not in found]
    if missing:
        raise UserError(f"{archive} lacks {', '.join(missing)}", remedy="Fetch the binary version of CIFAR-10.")
    return found


def _bytes_of(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, MemoryError) as error:
        raise UserError(f"{path}: cannot be read ({error})", remedy="Fetch the file again.") from error


def _checked_labels(labels: np.ndarray, subject: str) -> np.ndarray:
    if labels.size and labels.max() >= _LABELS:
        raise UserError(
            f"{subject}: received label {labels.max()}, expected 0 to {_LABELS - 1}",
            remedy="The file is not of this data set, or damaged: fetch it again.",
        )
    return labels.astype(np.int64)
