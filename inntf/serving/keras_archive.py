"""What is wrong with a `.keras` archive before anything of it is read: names, sizes, links."""

from __future__ import annotations

import json
import pathlib
import stat
import zipfile
from typing import Any

_NEEDED = ("config.json", "metadata.json", "model.weights.h5")
_TEXT = 2**25  # bytes of a configuration


def read_config(archive: zipfile.ZipFile, largest: int) -> Any:
    """The configuration of an archive whose entries are those of a Keras model and no larger than they may be.

    Args:
        archive: opened.
        largest: bytes that all entries together may have, unpacked.

    Raises:
        ValueError: what is wrong, in words.
    """
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    strange = [name for name in names if name not in _NEEDED]
    if strange:
        raise ValueError(f"an entry {strange[0][:80]!r}, where only {', '.join(_NEEDED)} belong")
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise ValueError(f"no {missing[0]}")
    if len(set(names)) < len(names):
        raise ValueError("an entry twice")
    for entry in entries:
        if entry.flag_bits & 1:
            raise ValueError(f"{entry.filename} encrypted")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise ValueError(f"{entry.filename} as a link")
    if sum(entry.file_size for entry in entries) > largest:
        raise ValueError(f"{sum(entry.file_size for entry in entries)} bytes unpacked, more than largest={largest}")
    for entry in entries:
        if entry.filename != "model.weights.h5" and entry.file_size > _TEXT:
            raise ValueError(f"{entry.filename} of {entry.file_size} bytes")
    try:
        json.loads(archive.read("metadata.json"))
        return json.loads(archive.read("config.json"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"a configuration that is no JSON ({type(error).__name__})") from error


def check_weights(path: pathlib.Path, largest: int) -> None:
    """Walk a file of weights without reading them.

    Args:
        path: of the HDF5 file.
        largest: bytes that all weights together may have.

    Raises:
        ValueError: for links, data kept in other files, anything but numbers, and more bytes than allowed.
    """
    import h5py  # a dependency of Keras; only needed here

    total = 0
    try:
        with h5py.File(path, "r") as file:
            waiting: list[Any] = [file]
            seen: set[int] = set()
            while waiting:
                group = waiting.pop()
                for name in group:
                    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                        raise ValueError(f"weights with a link to somewhere else ({group.name}/{name})")
                    item = group[name]
                    address = h5py.h5o.get_info(item.id).addr
                    if address in seen:
                        raise ValueError(f"weights that are linked twice ({item.name})")
                    seen.add(address)
                    if isinstance(item, h5py.Group):
                        waiting.append(item)
                        continue
                    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiubV":
                        raise ValueError(f"weights that are no numbers ({item.name})")
                    if item.external or item.is_virtual:
                        raise ValueError(f"weights kept in another file ({item.name})")
                    total += item.size * item.dtype.itemsize
                    if total > largest:
                        raise ValueError(f"weights of more than largest={largest} bytes")
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(f"weights that are no HDF5 ({' '.join(str(error).split())[:120]})") from error
