"""Searches as they are typed, with a model whose quality is config (tests/plugins/search_parts)."""

import json
import multiprocessing
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import polars as pl
import pytest
from command_line import PROGRAM, SMALL
from hydra.core.global_hydra import GlobalHydra
from mlflow.tracking import MlflowClient
from sweep_helpers import check_tree

from recseq import cli
from recseq.sweeps import callback
from recseq.sweeps.search import study as studies
from recseq.sweeps.search.objectives import Objective
from recseq.sweeps.search.options import OptunaSearch
from recseq.sweeps.search.space import Parameter, Space
from recseq.sweeps.search.study import Study
from recseq.sweeps.search.trial import END, STEPS_A_FOLD, comparable

PLUGINS = Path(__file__).parents[1] / "plugins"
USE = ("--config-dir", str(PLUGINS / "search_parts" / "conf"), *SMALL[:5], "plugins=[search_parts]", "model=noisy")
QUIET = "tracking=none"
Search = Callable[..., int]


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Search]:
    """Runs `recseq` in this process: exit code. What it leaves to be done at the end of the program is done at once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(PLUGINS)
    at_exit: list[Callable[[], None]] = []
    register = SimpleNamespace(register=lambda function, *arguments: at_exit.append(partial(function, *arguments)))
    monkeypatch.setattr("recseq.sweeps.callback.atexit", register)

    def run(*arguments: str) -> int:
        store = [] if QUIET in arguments else [f"tracking.uri=sqlite:///{tmp_path}/outputs/mlflow.db"]  # MLflow remembers a relative one
        monkeypatch.setattr(sys, "argv", ["recseq", *arguments, *store])
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0) if not isinstance(end.code, str) else 1
        finally:
            while at_exit:
                at_exit.pop()()
            GlobalHydra.instance().clear()
        return 0

    yield run
    GlobalHydra.instance().clear()


def sweeps(folder: Path) -> list[Path]:
    return sorted(folder.glob("outputs/sweeps/*/*"))


def summaries(sweep: Path) -> dict[int, dict[str, float]]:
    found = {}
    for path in sweep.glob("*/summary.json"):
        summary = json.loads(path.read_text())
        found[int(path.parent.name)] = {name: v["mean"] for name, v in summary["models"][summary["model"]].items()}
    return found


def the_study(folder: Path) -> optuna.Study:
    storage = f"sqlite:///{folder}/outputs/optuna.db"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


def test_a_grid_runs_every_combination_once(search: Search, tmp_path: Path) -> None:
    space = "+search.space={model.noise: [0.0, 0.5], trainer.max_epochs: {values: [1, 2], when: {model.noise: 0.5}}}"
    assert search(*USE, QUIET, "search=grid", space, "seed=1,2") == 0
    (sweep,) = sweeps(tmp_path)
    jobs = [json.loads((sweep / str(i) / "job.json").read_text())["overrides"][-3:] for i in range(6)]
    varied = [[o for o in job if o.startswith(("model.noise", "trainer.max", "seed"))] for job in jobs]
    assert varied == [
        ["model.noise=0.0", "seed=1"],
        ["model.noise=0.0", "seed=2"],
        ["model.noise=0.5", "trainer.max_epochs=1", "seed=1"],
        ["model.noise=0.5", "trainer.max_epochs=1", "seed=2"],
        ["model.noise=0.5", "trainer.max_epochs=2", "seed=1"],
        ["model.noise=0.5", "trainer.max_epochs=2", "seed=2"],
    ]
    assert pl.read_csv(sweep / "leaderboard.csv").height == len(summaries(sweep)) == 6


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "nsgaii"])
def test_samplers_stay_in_the_space_and_repeat_with_their_seed(sampler: str, tmp_path: Path) -> None:
    space = Space(
        (
            Parameter("loss", choices=("softmax", "gbce")),
            Parameter("loss.gbce_t", low=0.0, high=1.0, when={"loss": ("gbce",)}),
            Parameter("optimizer.lr", low=1e-4, high=1e-1, log=True),
            Parameter("model.n_blocks", low=1, high=4, integer=True),
        )
    )
    options = {"tpe": {"n_startup_trials": 3, "multivariate": False}, "cmaes": {"n_startup_trials": 1}, "nsgaii": {"population_size": 4}}

    def draws(seed: int, name: str, n: int = 6) -> list[dict[str, str]]:
        node = {"type": sampler, **options.get(sampler, {})}
        study = make_study(tmp_path, space, name=name, seed=seed, sampler=node)
        found = []
        for _ in range(n):
            asked = study.ask()
            assert asked is not None
            number, assignment = asked
            assert ("loss.gbce_t" in assignment) == (assignment["loss"] == "gbce")
            assert 1e-4 <= float(assignment["optimizer.lr"]) <= 1e-1
            assert assignment["model.n_blocks"] in {"1", "2", "3", "4"}
            study.tell(number, result(tmp_path / name / str(number), MAP=float(assignment["optimizer.lr"])))
            found.append(assignment)
        return found

    first = draws(1, "first")
    assert draws(1, "second") == first
    assert draws(2, "third", n=1) != first[:1]


def make_study(folder: Path, space: Space, name: str = "study", seed: int = 1, **options: Any) -> Study:
    defaults = {
        "space": {},
        "objectives": None,
        "n_trials": 5,
        "timeout": None,
        "n_jobs": 1,
        "storage": f"sqlite:///{folder}/optuna.db",
        "study_name": name,
        "sampler": {"type": "random"},
        "pruner": {"type": "none"},
    }
    objectives = [Objective("MAP", True)]
    return Study(OptunaSearch(seed=seed, **(defaults | options)), space, objectives, {"model": "a"}, name, max_resource=3)


def result(folder: Path, **means: float) -> Path:
    folder.mkdir(parents=True)
    metrics = {name: {"mean": value} for name, value in means.items()}
    (folder / "summary.json").write_text(json.dumps({"model": "m", "run_id": "", "objective": {}, "models": {"m": metrics}}))
    return folder


ONE = Space((Parameter("x", choices=("1", "2", "3")),))


def test_a_result_that_is_no_number_is_a_failed_trial(tmp_path: Path) -> None:
    study = make_study(tmp_path, ONE)
    for value in (float("nan"), float("inf"), 0.5):
        asked = study.ask()
        assert asked is not None
        study.tell(asked[0], result(tmp_path / str(asked[0]), MAP=value))
    assert study.counts() == {"finished": 1, "pruned": 0, "failed": 2, "interrupted": 0}
    assert study.n_done() == 3
    assert [trial.number for trial in study.best()] == [2]


def test_a_killed_sweeps_trials_count_when_they_had_ended_and_are_tried_again_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = make_study(tmp_path, ONE)
    monkeypatch.setattr(studies, "this_process", lambda: studies_owner(pid=2**22 + 1))
    texts = []
    for number in range(2):
        asked = killed.ask()
        assert asked is not None
        texts.append(asked[1])
        killed.note(number, tmp_path / f"job{number}", [])
    monkeypatch.undo()
    elsewhere = killed.ask()
    assert elsewhere is not None  # this process lives, so the trial is left alone
    result(tmp_path / "job0", MAP=0.25)

    again = make_study(tmp_path, ONE)
    again.settle()
    trials = again.study.get_trials()
    assert trials[0].state == optuna.trial.TrialState.COMPLETE
    assert trials[0].value == 0.25
    assert trials[1].state == optuna.trial.TrialState.FAIL
    assert trials[2].state == optuna.trial.TrialState.RUNNING
    assert again.n_done() == 2
    retried = again.ask()
    assert retried is not None
    assert retried[1] == texts[1]


def studies_owner(pid: int) -> dict[str, Any]:
    import socket

    return {"host": socket.gethostname(), "pid": pid, "started": 0.0}


def test_resumed_by_name_until_n_trials_in_total(search: Search, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = (*USE, QUIET, "search=optuna", "search.study_name=mine", "model.noise=interval(0,1)")
    assert search(*line, "search.n_trials=2") == 0
    assert search(*line, "search.n_trials=5") == 0
    assert "5 trials, 2 of them done" in capsys.readouterr().out
    first, second = sweeps(tmp_path)
    assert sorted(summaries(first)) == [0, 1]
    assert sorted(summaries(second)) == [2, 3, 4]
    study = the_study(tmp_path)
    assert len(study.trials) == 5
    assert len({trial.params["model.noise"] for trial in study.trials}) == 5
    assert search(*line, "search.n_trials=5") == 0  # nothing left to do
    assert len(the_study(tmp_path).trials) == 5
    assert search(*line, "search.n_trials=6", "splitter.test_size=14D") == 1
    assert "splitter.test_size was 7D, is 14D" in capsys.readouterr().err
    assert search(*line, "search.n_trials=6", "search.objectives=[NDCG]") == 1
    assert "optimises max MAP@10, now it would be max NDCG@10" in capsys.readouterr().err


def test_crashing_trials_are_recorded_and_survived(search: Search, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = (*USE, "search=optuna", "search/sampler=grid", "model.noise=0.0,0.9,0.5", "model.crash_above=0.8", "trainer=cpu")
    assert search(*line, "search.n_trials=10") == 1
    said = capsys.readouterr()
    assert "The grid is exhausted" in said.out
    assert "1 of 10 jobs failed: 1" in said.err
    assert [trial.state.name for trial in the_study(tmp_path).trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    (sweep,) = sweeps(tmp_path)
    table = pl.read_csv(sweep / "leaderboard.csv")
    assert table["job"].to_list() == [2, 0, 1]  # some noise is better than none here
    assert table["status"].to_list() == ["FINISHED", "FINISHED", "FAILED"]
    assert table["error"].to_list()[2] == "exploded"
    account = json.loads((sweep / "search.json").read_text())
    assert account["trials"] == {"finished": 2, "pruned": 0, "failed": 1, "interrupted": 0}
    (best,) = account["best"]
    assert best["trial"] == 2
    assert best["values"]["MAP@10"] == max(means["MAP@10"] for means in summaries(sweep).values())
    assert best["command"].endswith(" model.noise=0.5")
    assert " model.crash_above=0.8 " in best["command"]
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/outputs/mlflow.db")
    run_id = json.loads((sweep / "sweep.json").read_text())["run_id"]
    uploaded = {file.path for file in client.list_artifacts(run_id)}
    assert {"search.html", "search.json", "search_history.png", "search_importance.png"} <= uploaded
    assert "https://cdn" not in (sweep / "search.html").read_text()[:2000]


def test_a_trial_that_loses_is_stopped_after_its_first_fold(search: Search, tmp_path: Path) -> None:
    line = (*USE, "search=optuna", "search/sampler=grid", "search/pruner=median", "search.pruner.n_startup_trials=2")
    assert search(*line, "splitter.n_splits=3", "splitter.test_size=20D", "model.noise=0.0,0.05,1.0") == 0
    (sweep,) = sweeps(tmp_path)
    trials = the_study(tmp_path).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert list(trials[2].intermediate_values) == [END]
    assert sorted(trials[0].intermediate_values) == [END, STEPS_A_FOLD + END, 2 * STEPS_A_FOLD + END]
    assert trials[0].intermediate_values[2 * STEPS_A_FOLD + END] == pytest.approx(trials[0].value)
    note = json.loads((sweep / "2" / "job.json").read_text())
    assert note["status"] == "PRUNED"
    assert note["error"].startswith("pruned after fold 0: MAP@10 0.")
    assert sorted(path.name for path in (sweep / "2").glob("fold_*")) == ["fold_0"]
    assert not (sweep / "2" / "summary.json").exists()
    assert pl.read_csv(sweep / "leaderboard.csv")["status"].to_list() == ["FINISHED"] * 2 + ["PRUNED"]
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/outputs/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    level = {kind: [run.info.status for run in runs if run.data.tags["recseq.level"] == kind] for kind in ("sweep", "run", "fold")}
    assert level["sweep"] == ["FINISHED"]
    assert sorted(level["run"]) == ["FINISHED"] * 2 + ["KILLED"]
    assert level["fold"] == ["FINISHED"] * 7


@pytest.mark.parametrize("pruner", ["median", "percentile", "halving", "hyperband"])
def test_a_trial_that_loses_is_stopped_between_epochs(search: Search, tmp_path: Path, pruner: str) -> None:
    more = () if pruner in ("halving", "hyperband") else ("search.pruner.n_startup_trials=2",)
    more += () if pruner != "hyperband" else ("search.pruner.reduction_factor=2", "trainer.max_epochs=4")
    line = (*USE, QUIET, "search=optuna", "search/sampler=grid", f"search/pruner={pruner}", *more)
    noises = "model.noise=0.0,0.1,0.9,0.95,0.99,0.999"
    assert search(*line, noises, "model.n_epochs=4", "validation=last_range") == 0
    trials = the_study(tmp_path).trials
    states = [trial.state.name for trial in trials]
    assert states[0] == "COMPLETE"
    assert "PRUNED" in states
    pruned = next(trial for trial in trials if trial.state.name == "PRUNED")
    assert max(pruned.intermediate_values) < STEPS_A_FOLD - 1
    (sweep,) = sweeps(tmp_path)
    assert not list((sweep / str(pruned.number)).glob("fold_*"))
    assert "of fold 0: val_MAP@10" in json.loads((sweep / str(pruned.number) / "job.json").read_text())["error"]


def test_values_are_compared_with_their_kind_alone() -> None:
    values = {1: 0.9, 2: 0.8, END: 0.1, STEPS_A_FOLD + 1: 0.3, STEPS_A_FOLD + 2: 0.4, STEPS_A_FOLD + END: 0.2}
    assert comparable(values, STEPS_A_FOLD + 2, False) == {STEPS_A_FOLD + 1: 0.3, STEPS_A_FOLD + 2: 0.4}
    assert comparable(values, STEPS_A_FOLD + END, False) == {STEPS_A_FOLD + END: 0.2}
    assert comparable(values, 2, True) == {2: 0.8}
    assert comparable(values, STEPS_A_FOLD + END, True) == {2: 0.2}


def test_the_pareto_set_is_that_of_the_summaries(search: Search, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objectives = "search.objectives=[MAP@10,Serendipity@10]"
    assert search(*USE, QUIET, "search=optuna", objectives, "search.n_trials=8", "model.noise=interval(0,1)", "metrics.k=[5,10]") == 0
    (sweep,) = sweeps(tmp_path)
    points = {number: (means["MAP@10"], means["Serendipity@10"]) for number, means in summaries(sweep).items()}
    assert len(points) == 8
    dominated = {a for a, x in points.items() for y in points.values() if y[0] >= x[0] and y[1] >= x[1] and y != x}
    account = json.loads((sweep / "search.json").read_text())
    assert {trial["trial"] for trial in account["best"]} == set(points) - dominated
    assert account["objectives"] == {"MAP@10": "max", "Serendipity@10": "max"}
    for trial in account["best"]:
        assert tuple(trial["values"].values()) == points[trial["trial"]]
    assert (sweep / "search_pareto.png").stat().st_size > 1000
    assert "Pareto front" in (sweep / "search.html").read_text()
    assert f"Pareto set of max MAP@10 and max Serendipity@10: {len(account['best'])} trials" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search=optuna",), "search=optuna has nothing to search"),
        (("search=grid", "model.noise=interval(0,1)"), "a grid needs the values of model.noise one by one"),
        (("search=optuna", "search/sampler=grid", "model.noise=interval(0,1)"), "a grid needs the values of model.noise one by one"),
        (
            ("search=optuna", "search.objectives=[MAP,Serendipity]", "search/pruner=median", "seed=1,2"),
            "search/pruner=median stops trials by one objective, search.objectives has 2",
        ),
        (("search=optuna", "search.objectives=[MAPP]", "seed=1,2"), "search.objectives has 'MAPP'; did you mean 'MAP@10'"),
        (("search=optuna", "search.objectives=[]", "seed=1,2"), "search.objectives is [], must be a list of different metrics"),
        (("search=optuna", "search/pruner=median", "seed=1,2"), "has nothing to compare before a trial ends"),
        (
            ("search=optuna", "search/pruner=median", "splitter.n_splits=2", "splitter.test_size=7D,14D"),
            "which they do not share when splitter.test_size varies",
        ),
        (
            ("search=optuna", "search/pruner=halving", "validation=last_range", "trainer.max_epochs=1,2"),
            "counts epochs of trials of one length, but trainer.max_epochs varies",
        ),
        (("search=optuna", "search/sampler=cmaes", "model.noise=interval(0,1)"), "needs two parameters or more that are numbers"),
        (
            ("search=optuna", "search/sampler=cmaes", "search.objectives=[MAP,NDCG]", "seed=1,2"),
            "search/sampler=cmaes optimises one objective, search.objectives has 2",
        ),
        (("search=optuna", "search.n_trials=0", "seed=1,2"), "search.n_trials is 0, must be >= 1"),
        (("search=optuna", "search.sampler=cmaes", "seed=1,2"), "a sampler is chosen as a group: search/sampler=cmaes"),
        (("search=optuna", "search.n_trials=1,2", "seed=1,2"), "the search itself cannot be varied"),
        (("search=optuna", "model.noise=-1,0.5"), "with model.noise=-1: model.noise is -1, must be >= 0"),
        (("search=optuna", "model.nosie=0,1"), "with model.nosie=0: Could not override 'model.nosie'"),
        (("search=optuna", "search.storage=sqlite:////proc/nowhere/x.db", "seed=1,2"), "search.storage is 'sqlite:////proc/nowhere/x.db'"),
        (("search=optuna", "search.storage=nonsense", "seed=1,2"), "search.storage is 'nonsense', which cannot be opened"),
    ],
)
def test_a_mistake_is_told_before_any_job_starts(
    search: Search, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert search(*USE, QUIET, *arguments) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err
    assert not list(tmp_path.glob("outputs/sweeps/*/*/[0-9]*"))
    assert not (tmp_path / "outputs" / "optuna.db").exists()


def test_an_option_that_only_one_loss_has_needs_a_condition(search: Search, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = (*SMALL, QUIET, "search=grid", "loss=softmax,bce")
    assert search(*small, "loss.n_negatives=4,8") == 1
    assert "when: {loss: [bce, gbce]}" in capsys.readouterr().err
    condition = "+search.space={loss.n_negatives: {values: [4, 8], when: {loss: [bce]}}}"
    assert search(*small, condition) == 0
    assert len(summaries(sweeps(tmp_path)[-1])) == 3


def test_the_search_is_no_part_of_a_runs_identity(search: Search, tmp_path: Path) -> None:
    assert search(*USE, QUIET, "search=optuna", "search.n_trials=1", "model.noise=0.5,0.25", "hydra.sweep.dir=s") == 0
    program, *overrides = shlex.split(json.loads((tmp_path / "s" / "search.json").read_text())["best"][0]["command"])
    assert program == "recseq"
    assert not any(override.startswith("search") for override in overrides)
    assert search(*overrides, "hydra.run.dir=r") == 0
    hashes = [json.loads((tmp_path / path / "provenance.json").read_text())["recseq.config_hash"] for path in ("s/0", "r")]
    assert hashes[0] == hashes[1]


def open_at_once(barrier: Any, url: str) -> None:
    barrier.wait()
    studies.open_storage(url).get_all_studies()


def test_several_searches_make_one_fresh_store(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(4)
    started = [fork.Process(target=open_at_once, args=(barrier, f"sqlite:///{tmp_path}/new/fresh.db")) for _ in range(4)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * 4


def test_ctrl_c_leaves_a_study_that_goes_on(search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = (*USE, "search=optuna", "search.study_name=mine", "search.n_trials=3", "model.noise=interval(0,1)")
    import search_parts

    fit = search_parts.Noisy.fit
    calls: list[float] = []

    def interrupted(self: Any, *arguments: Any) -> None:
        calls.append(self.noise)
        if len(calls) == 2:
            raise KeyboardInterrupt
        fit(self, *arguments)

    monkeypatch.setattr(search_parts.Noisy, "fit", interrupted)
    assert search(*line) == 130
    study = the_study(tmp_path)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "WAITING"]
    (sweep,) = sweeps(tmp_path)
    assert json.loads((sweep / "search.json").read_text())["trials"] == {"finished": 1, "pruned": 0, "failed": 0, "interrupted": 1}
    assert search(*line, f"hydra.sweep.dir={sweep}") == 0
    assert [trial.state.name for trial in the_study(tmp_path).trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert calls[2] == calls[1]
    assert sorted(summaries(sweep)) == [0, 2, 3]


@pytest.mark.parametrize(
    "launcher",
    [
        "basic",
        pytest.param("processes", marks=pytest.mark.slow),
        pytest.param("joblib", marks=pytest.mark.slow),
        pytest.param("submitit_local", marks=pytest.mark.slow),
    ],
)
def test_trials_run_under_every_launcher(tmp_path: Path, launcher: str) -> None:
    """As typed, in a process of its own: workers have to find the plugin and the study by themselves."""
    if launcher not in ("basic", "processes"):
        pytest.importorskip(f"hydra_plugins.hydra_{launcher.split('_')[0]}_launcher")
    (tmp_path / "search_parts.py").write_text((PLUGINS / "search_parts" / "__init__.py").read_text())
    workers = {"submitit_local": ["hydra.launcher.timeout_min=10"], "basic": []}.get(launcher, ["hydra.launcher.n_jobs=2"])
    line = ["search=optuna", "search/sampler=grid", "search/pruner=median", "search.pruner.n_startup_trials=2", "search.n_jobs=2"]
    varied = ["splitter.n_splits=2", "splitter.test_size=20D", "model.noise=0.0,0.05,1.0,0.95", "model.crash_above=0.97"]
    command = [PROGRAM, *USE, *line, *varied, f"hydra/launcher={launcher}", *workers]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 1, done.stderr[-2000:]
    assert "1 of 20 jobs failed: 2" in done.stderr
    assert [trial.state.name for trial in the_study(tmp_path).trials] == ["COMPLETE", "COMPLETE", "FAIL", "PRUNED"]
    (sweep,) = sweeps(tmp_path)
    assert pl.read_csv(sweep / "leaderboard.csv")["status"].to_list() == ["FINISHED", "FINISHED", "PRUNED", "FAILED"]
    assert "Best trial 0" in done.stdout


@pytest.mark.parametrize("kind", ["grid", "optuna"])
def test_a_search_that_was_killed_goes_on_in_its_folder(
    search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """Killed after the second trial's results were written and before anybody was told."""
    import search_parts

    class Killed(BaseException):
        pass

    sampler = () if kind == "grid" else ("search/sampler=grid",)
    line = (*USE, f"search={kind}", *sampler, "hydra.sweep.dir=sweep")
    fit, calls = search_parts.Noisy.fit, []

    def counted(self: Any, *arguments: Any) -> None:
        calls.append(self.noise)
        fit(self, *arguments)

    def killed(*arguments: Any) -> None:
        if arguments[1] == 1:
            raise Killed
        write_job(*arguments)

    def untold(self: Study, number: int, folder: Any) -> Any:
        if number == 1:
            raise Killed
        return tell(self, number, folder)

    monkeypatch.setattr(search_parts.Noisy, "fit", counted)
    write_job, tell = callback.write_job, Study.tell
    with monkeypatch.context() as patch:
        patch.setattr("recseq.sweeps.callback.write_job", killed)
        patch.setattr(callback.SweepCallback, "_close", lambda self, status: callback.unlock_sweep(self.folder))
        patch.setattr(Study, "tell", untold)
        patch.setattr(studies, "this_process", lambda: studies_owner(pid=2**22 + 1))
        with pytest.raises(Killed):
            search(*line, "model.noise=0.0,0.5,0.25")
    assert calls == [0.0, 0.5]
    assert not (tmp_path / "sweep" / "1" / "job.json").exists()
    assert search(*line, "model.noise=0.0,0.5,0.25") == 0
    assert calls == [0.0, 0.5, 0.25]
    assert pl.read_csv(tmp_path / "sweep" / "leaderboard.csv")["status"].to_list() == ["FINISHED"] * 3
    check_tree(tmp_path, tmp_path / "sweep", n_folds=1)
    capsys.readouterr()
    if kind == "grid":
        assert search(*line, "model.noise=0.0,0.75,0.25") == 1
        assert "its job 1 was" in capsys.readouterr().err
    else:
        assert search(*line, "model.noise=0.0,0.5", "search.study_name=other") == 1
        assert "has trials of another study" in capsys.readouterr().err
    assert calls == [0.0, 0.5, 0.25]
