"""Command line: presets, overrides, endings."""

import dataclasses
import os
import pathlib

import pytest

from recipes.common import cli
from recipes.common.errors import UserError, as_user_error
from recipes.common.run_folder import RunFolder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(cli.RecipeConfig):
    """A toy."""

    steps: int = 500
    widths: tuple[int, ...] = (8, 8)


PRESETS = {"smoke": Config(steps=5), "small": Config(), "paper": Config(steps=9000)}


def toy(run=lambda config: None):
    return cli.Recipe("toy", Config, PRESETS, run)


def test_without_flags_the_default_preset():
    assert cli.parse(toy(), []) == Config(preset="small")


@pytest.mark.parametrize("argv", [["--preset", "smoke"], ["--preset=smoke"], ["--seed", "0", "--preset", "smoke"]])
def test_a_preset_sets_the_defaults(argv):
    assert cli.parse(toy(), argv) == Config(preset="smoke", steps=5)


def test_flags_override_the_preset_wherever_they_stand():
    argv = ["--steps", "7", "--preset", "paper", "--seed", "3", "--out", "here", "--widths", "1", "2", "3", "--resume"]
    expected = Config(preset="paper", steps=7, seed=3, out=pathlib.Path("here"), widths=(1, 2, 3), resume=True)
    assert cli.parse(toy(), argv) == expected


def test_the_flags_of_a_config_give_it_again():
    config = Config(preset="paper", steps=7, seed=3, out=pathlib.Path("a b"), widths=(1, 2), resume=True, strategy="mirrored")
    assert cli.parse(toy(), cli.config_argv(config, PRESETS)) == config


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--preset", "huge"], "huge"),
        (["--preset", ""], "--preset"),
        (["--stepps", "3"], "--stepps"),
        (["--steps", "many"], "many"),
        (["--strategy", "magic"], "magic"),
        (["--dataset", "svhn"], "svhn"),
        (["--out"], "--out"),
    ],
)
def test_a_bad_command_line_ends_in_code_2_and_a_message(argv, said, capsys):
    ran = []
    assert cli.main(toy(ran.append), argv) == 2
    out = capsys.readouterr()
    assert said in out.err and "Traceback" not in out.err and out.out == "" and not ran


def test_help_is_not_an_error(capsys):
    assert cli.main(toy(), ["--help"]) == 0
    assert "--preset" in capsys.readouterr().out


def test_a_user_error_is_one_line(capsys):
    def run(config):
        raise UserError("no data\nhere", remedy="Fetch it.")

    assert cli.main(toy(run), []) == 2
    assert capsys.readouterr().err == "error: no data here. Fetch it.\n"


def test_a_mistake_of_ours_is_one_line_and_its_traceback_is_kept(tmp_path, capsys):
    def run(config):
        with RunFolder.open(cli.RecipeConfig(out=tmp_path / "run"), "toy", argv=[]):
            return 1 / 0

    assert cli.main(toy(run), []) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and str(tmp_path / "run" / "error.log") in err
    assert "in run\n" in (tmp_path / "run" / "error.log").read_text()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device", "a/b"), MemoryError(), PermissionError(13, "Permission denied", "a")]
)
def test_what_no_program_can_mend_is_one_line_and_code_2(error, capsys):
    def run(config):
        raise error

    assert cli.main(toy(run), []) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_interruption_says_how_to_go_on(capsys):
    def run(config):
        raise KeyboardInterrupt

    assert cli.main(toy(run), ["--seed", "3", "--out", "my runs"]) == 130
    assert "python -m recipes.toy --seed 3 --out 'my runs' --resume" in capsys.readouterr().err


def test_run_may_be_named():
    assert cli.resolve("recipes.common.cli:command") is cli.command


def test_as_user_error_translates_settings_errors_only():
    with pytest.raises(UserError, match="odd"), as_user_error():
        raise ValueError("odd")
    with pytest.raises(ZeroDivisionError), as_user_error():
        raise ZeroDivisionError


def test_variables_for_tensorflow_are_set_unless_they_are(monkeypatch):
    monkeypatch.setenv("INNTF_ONE", "mine")
    monkeypatch.delenv("INNTF_TWO", raising=False)
    seen = {}
    recipe = toy(lambda config: seen.update({name: os.environ.get(name) for name in ("INNTF_ONE", "INNTF_TWO")}))
    recipe = dataclasses.replace(recipe, environment={"INNTF_ONE": "theirs", "INNTF_TWO": "theirs"})
    assert cli.main(recipe, []) == 0
    assert seen == {"INNTF_ONE": "mine", "INNTF_TWO": "theirs"}
    monkeypatch.delenv("INNTF_TWO")
