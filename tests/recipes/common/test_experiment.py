"""What a run has made is kept; where it goes on with other steps, it is made and exported anew."""

import dataclasses

import pytest

from recipes.checkerboard import experiment as checkerboard
from recipes.checkerboard.settings import PRESETS as CHECKERBOARDS
from recipes.common.errors import UserError
from recipes.common.experiment import Run
from recipes.common.run_folder import RunFolder
from recipes.toy_regression import experiment as toys
from recipes.toy_regression.settings import PRESETS as TOYS


def opened(path, **more):
    return RunFolder.open(dataclasses.replace(TOYS["smoke"], out=path, **more), "toy_regression", argv=[], may_change=["steps"])


def measured(steps):
    return {"mse": steps / 100, "history": [{"step": steps}]}


def test_what_was_made_after_other_steps_is_made_anew_and_its_export_forgotten(tmp_path):
    with opened(tmp_path) as folder:
        run = Run(folder, None, tmp_path)
        assert run.once("models", "a", lambda: measured(20), steps=20, exports=["a"])["mse"] == 0.2
        folder.note_progress(**folder.progress(), exported={"a": "a/1", "b": "b/1"}, exporting={"a": "mark", "b": "mark"})
        assert run.once("models", "a", pytest.fail, steps=20, exports=["a"]) == measured(20)
        assert folder.strings("exported") == {"a": "a/1", "b": "b/1"}
    with opened(tmp_path, steps=60, resume=True) as folder:
        run = Run(folder, None, tmp_path)
        assert run.once("models", "a", lambda: measured(60), steps=60, exports=["a"]) == measured(60)
        assert folder.strings("exported") == {"b": "b/1"} and folder.strings("exporting") == {"b": "mark"}
        assert folder.noted("models") == {"a": measured(60)}, "the steps are no measurement"
        assert run.once("models", "a", pytest.fail, steps=60, exports=["a"]) == measured(60)


def test_notes_of_earlier_versions_hold_for_the_steps_of_their_history(tmp_path):
    with opened(tmp_path) as folder:
        run = Run(folder, None, tmp_path)
        folder.note_progress(models={"a": measured(20), "b": {"mse": 1.0}, "c": [1]})
        assert run.once("models", "a", pytest.fail, steps=20) == measured(20)
        assert run.once("models", "a", lambda: measured(60), steps=60) == measured(60)
        assert run.once("models", "b", pytest.fail, steps=20) == {"mse": 1.0}
        assert run.once("models", "c", pytest.fail, steps=20) == [1]


@pytest.fixture
def killed(tmp_path, monkeypatch):
    """The settings of a regression of twenty steps that was killed between its export and its result."""
    base = dataclasses.replace(TOYS["smoke"], depth=1, points=20, out=tmp_path / "run", export_dir=tmp_path / "saved")

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(toys, "draw", die)
        with pytest.raises(KeyboardInterrupt):
            toys.run(base)
    return dataclasses.replace(base, resume=True)


def test_a_run_that_goes_on_with_more_steps_measures_and_exports_the_weights_of_those(killed):
    from inntf.serving import read_card

    result = toys.run(dataclasses.replace(killed, steps=40))
    progress = RunFolder.open(dataclasses.replace(killed, steps=40), "toy_regression", may_change=["steps"]).progress()
    last = progress["histories"]["flow_1e-06"][-1]
    assert last["step"] == 40 and result["metrics"]["flow_1e-06"]["mse"] == pytest.approx(last["mse"], rel=1e-5)
    assert result["exported"]["toy_regression"].endswith("/2")
    card = read_card(result["exported"]["toy_regression"])["training"]["measured"]
    assert card["mse"] == pytest.approx(last["mse"], rel=1e-5)


def test_fewer_steps_than_were_trained_are_refused(killed):
    with pytest.raises(UserError, match="none: is at step 20 already, received 10 steps, expected at least 20"):
        toys.run(dataclasses.replace(killed, steps=10))


def test_the_steps_of_a_schedule_that_ends_with_them_may_not_change(tmp_path):
    base = dataclasses.replace(CHECKERBOARDS["smoke"], out=tmp_path / "run", export_dir=tmp_path / "saved")
    with RunFolder.open(base, "checkerboard", argv=[]) as folder:
        folder.note_progress()
    for more in ({"steps_affine": 60}, {"steps_residual": 60}):
        with pytest.raises(UserError, match="holds another run .*steps_"):
            checkerboard.run(dataclasses.replace(base, resume=True, **more))
