"""Every setting of every recipe, with values that it cannot have: one line, code 2, and nothing has begun."""

import dataclasses
import importlib
import sys

import pytest

from recipes.__main__ import RECIPES
from recipes.__main__ import main as bare
from recipes.common import cli, ranges
from recipes.common.errors import UserError

NAMES = [name for name in RECIPES if name not in ("prepare", "digits", "results")]
WORDS = [
    ["-1"],
    ["0"],
    ["nan"],
    ["inf"],
    ["-inf"],
    ["1e400"],
    ["1.5"],
    ["9" * 30],
    ["9" * 5000],
    ["many"],
    [],
    ["0", "0"],
    ["-1", "2"],
    [""],
    ["\0"],
    ["\udcff"],
    ["1"] * 9,
]
# What some settings may well be.
POSSIBLE = {
    "seed": {"0"},
    "unsqueezed": {"0"},
    "weight_decay": {"0", "1.5"},
    "head_start": {"0"},
    "mle_weight": {"0", "1.5"},
    "gradient_penalty": {"0", "1.5"},
    "coefficient": {"1.5"},  # of flowgan's couplings
    "grid_step": {"1.5"},
    "clip_norm": {"1.5"},
    "noise": {"0"},
    "coefficients": {"1.5"},  # of toy_regression's flow losses
    "components": {" ".join(["1"] * 9)},  # of mixtures
    "rate": {"1.5"},
    "linear_condition": {"1.5"},
    "dense_end": {"0"},
    "exact_terms": {"0"},
    "latent_noise": {"0", "1.5"},
    "ball": {"1.5"},
    "coefficient_fd": {"0", "1.5"},
    "weight_nf": {"0", "1.5"},
    "weight_nf_strong": {"0", "1.5"},
    "crop": {"0"},
    "others": {""},  # none
    "lowest_scale": {"0"},
    "timed_every": {""},  # none
    "certified_images": {"0"},
    "c2st_observations": {"0"},  # no classifier
    "bottlenecks": {""},  # the paper's
    "generative_bottlenecks": {""},
    "prior_weight": {"0", "1.5"},
    "reconstruction_weight": {"0", "1.5"},
}
PLACES = ("out", "export_dir", "data_dir")  # any text may name a folder


def recipe(name, run):
    return dataclasses.replace(importlib.import_module(f"recipes.{name}.__main__").RECIPE, run=run)


def impossible(name, share):
    """Commands of one flag; every so many words of the list, beginning elsewhere for each flag."""
    for i, field in enumerate(dataclasses.fields(recipe(name, "").config)):
        flag = f"--{field.name.replace('_', '-')}"
        for words in WORDS[i % share :: share]:
            text = " ".join(words)
            possible = text in POSSIBLE.get(field.name, ()) or (field.name.startswith("rate_") and text == "1.5")
            if field.name == "coefficient" and name == "checkerboard":
                possible = False
            possible |= field.name in PLACES and len(words) == 1 and text.isprintable() and text != ""
            possible |= field.type == "bool" and not words
            if not possible:
                yield [flag, *words]


@pytest.mark.parametrize("share", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_impossible_values_end_in_one_line_and_code_2(name, share, capsys):
    ran, wrong = [], []
    commands = list(impossible(name, share))
    assert len(commands) > 200 / share
    for argv in commands:
        code = cli.main(recipe(name, ran.append), argv)
        out, err = capsys.readouterr()
        if code != 2 or out or err.count("\n") != 1 or not err.startswith("error: ") or len(err) > 900:
            wrong.append((argv, code, err[:200]))
    assert not wrong and not ran


@pytest.mark.parametrize(
    ("name", "argv", "said"),
    [
        ("iresnet", "--blocks 2 2", "--hidden"),
        ("iresnet", "--levels 3", "--depth"),
        ("iresnet", "--coefficients 0.9 0.90000001", "alike"),
        ("iresnet", "--toys checkerboard checkerboard", "alike"),
        ("flowgan", "--seed 1 --seed -1", "--seed"),
        ("flowgan", "--tyro-print-completion nosuchshell", "nosuchshell"),
        ("checkerboard", "--dataset mnist_5k", "mnist_5k"),
        ("checkerboard", "-1", "-1"),
        ("attack", "--size 6", "multiple of 4"),
        ("attack", "--attacked 1 --certified 2", "--certified"),
        ("attack", "--models residual residual", "no two alike"),
        ("checkerboard", "@file", "@file"),
        ("autoencoder", "--bottlenecks 4 4", "alike"),
        ("autoencoder", "--models inn inn", "--models"),
        ("autoencoder", "--dataset cifar10 --models classic_2048", "convolutions"),
    ],
)
def test_settings_that_contradict_each_other(name, argv, said, capsys):
    ran = []
    assert cli.main(recipe(name, ran.append), argv.split()) == 2 and not ran
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


@pytest.mark.parametrize("name", NAMES)
def test_what_is_impossible_on_the_command_line_is_so_in_a_program(name):
    config = recipe(name, "").config
    for preset in recipe(name, "").presets.values():
        preset.check()
    for settings in ({"seed": -1}, {"seed": True}, {"seed": 1.0}, {"log_every": 0}, {"preset": "huge"}):
        with pytest.raises(UserError, match=f"--{next(iter(settings)).replace('_', '-')}"):
            config(**settings).check()
    more = getattr(config(), "repeats", 1) - 1  # each repeat takes the next seed
    config(seed=ranges.MAX_SEED - more).check()


def test_ranges_know_their_ends():
    assert ranges.Within(0, 1, above=True, below=True).admits(0.5)
    for value in (0, 1, -1, 2, float("nan"), float("inf"), True, "0.5", None):
        assert not ranges.Within(0, 1, above=True, below=True).admits(value)
    assert ranges.Within(0, 1).admits(0) and ranges.Within(0, 1).admits(1)


def test_recipes_alone_lists_them(capsys):
    assert bare([]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in NAMES)
    assert bare(["flowgan"]) == 2
    assert "python -m recipes.NAME" in capsys.readouterr().err


def test_every_recipe_is_listed():
    import pathlib

    folder = pathlib.Path(sys.modules["recipes.__main__"].__file__).parent
    mains = [p for p in folder.rglob("__main__.py") if "RECIPE = Recipe(" in p.read_text()]
    found = {".".join(p.parent.relative_to(folder).parts) for p in mains}
    assert found == set(NAMES)
