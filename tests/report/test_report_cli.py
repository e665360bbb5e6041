"""The tutorial as it is typed, in small, and reports over it."""

from pathlib import Path

import polars as pl
import pytest
from conftest import composed
from mlflow.tracking import MlflowClient
from omegaconf import OmegaConf
from test_cli import SMALL, recseq

from recseq.errors import ConfigError
from recseq.modes import run
from recseq.report.runs import runs_of_experiment

SIZES = (*SMALL[:5], "size=small", "size.n_factors=8", "size.n_heads=2", "trainer=debug")
FILES = {
    *("leaderboard.csv", "pivot.csv", "pivot.md", "significance.csv", "report.html"),
    *("pareto.html", "pareto.png", "pareto_item_net.html", "pareto_item_net.png"),
}


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("tutorial")
    done = recseq(folder, "experiment=tutorial", "row=popular,ease,sasrec_softmax_ids", "seed=1,2", *SIZES)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_tutorial_is_the_table_of_twelve_rows() -> None:
    from hydra import compose, initialize_config_dir

    from recseq.files import conf_folder

    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("config", overrides=["experiment=tutorial"], return_hydra_config=True)
    assert config.hydra.mode.name == "MULTIRUN"
    rows = config.hydra.sweeper.params.row.split(",")
    assert rows == [
        *("popular", "ease", "bert4rec_softmax_ids_categories", "sasrec_softmax_ids_categories", "sasrec_bce_ids_categories"),
        *("sasrec_gbce_ids_categories", "sasrec_softmax_ids", "sasrec_softmax_categories", "sasrec_bce_ids", "sasrec_bce_categories"),
        *("sasrec_gbce_ids", "sasrec_gbce_categories"),
    ]
    assert all((conf_folder() / "row" / f"{row}.yaml").exists() for row in rows)
    assert OmegaConf.to_container(composed("experiment=tutorial").reference_models) == ["popular"]


def test_the_tutorial_ends_in_a_pivot_table_and_pictures(tutorial: tuple[Path, str]) -> None:
    folder, stdout = tutorial
    (sweep,) = folder.glob("outputs/sweeps/*/*")
    assert {path.name for path in sweep.iterdir() if path.is_file()} >= FILES
    assert not list(sweep.glob(".*.partial"))
    pivot = pl.read_csv(sweep / "pivot.csv")
    assert dict(pivot.select("model", "item_net").iter_rows()) == {"popular": "-", "ease": "-", "sasrec_softmax_ids": "ids"}
    assert pivot["n"].to_list() == [2, 2, 2]
    leaderboard = pl.read_csv(sweep / "leaderboard.csv")
    for model, value, std in pivot.select("model", "MAP@10", "MAP@10_std").iter_rows():
        values = leaderboard.filter(pl.col("row") == model)["MAP@10"]
        assert value == pytest.approx(values.mean())
        assert std == pytest.approx(values.std())
    assert "demo (simulated), fold 0" in stdout
    assert "±" in stdout
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/outputs/mlflow.db")
    experiment = client.get_experiment_by_name("recseq")
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id], "tags.`recseq.level` = 'sweep'")
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} == FILES
    assert parent.info.status == "FINISHED"


def test_a_report_over_the_experiment_names_runs_whose_folders_are_gone(tutorial: tuple[Path, str]) -> None:
    folder, _ = tutorial
    (job,) = folder.glob("outputs/sweeps/*/*/5")
    job.rename(folder / "elsewhere")
    try:
        done = recseq(folder, "mode=report", "report.experiment=recseq", "report.baseline=popular")
    finally:
        (folder / "elsewhere").rename(job)
    assert done.returncode == 0, done.stderr
    (report,) = folder.glob("outputs/reports/*/*")
    assert {path.name for path in report.iterdir()} == FILES | {"run.log"}  # which says that the data came from the cache
    assert f"{job} is not there any more" in done.stdout.replace("\n", "")
    assert pl.read_csv(report / "leaderboard.csv").height == 5
    assert set(pl.read_csv(report / "significance.csv")["model"]) == {"popular"}
    with pytest.raises(ConfigError, match=r"report.experiment is 'recsek', which .* does not have; did you mean 'recseq'\?"):
        runs_of_experiment(f"sqlite:///{folder}/outputs/mlflow.db", "recsek")


def test_a_report_is_no_job_of_a_sweep(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no job of a sweep"):
        run(composed("mode=report", "report.of=x"), tmp_path / "0", sweep_folder=tmp_path)


def test_a_run_shows_examples_when_asked_to(tmp_path: Path) -> None:
    done = recseq(tmp_path, *SMALL[:5], "model=ease", "tracking=none", "report.show_examples=true", "report.users=1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(", known interactions: ") == 1
    assert done.stdout.count("Items near") == 3


def test_a_sweep_without_the_pictures_metrics_draws_others_and_a_bad_option_loses_no_result(tmp_path: Path) -> None:
    done = recseq(
        tmp_path, "-m", *SMALL[:5], "model=popular,ease", "tracking=none", "metrics.k=5", "report.users=[nobody]", "report.folds=[4]"
    )
    assert done.returncode == 0, done.stderr
    (sweep,) = tmp_path.glob("outputs/sweeps/*/*")
    assert "report.x is MAP@10, which the runs do not have; the picture shows MAP@5 instead" in done.stdout
    assert "report.folds is [4]; the runs have the folds 0" in done.stdout
    assert {"leaderboard.csv", "pivot.csv", "pareto.html", "pareto.png"} <= {path.name for path in sweep.iterdir()}
    assert not (sweep / "report.html").exists()
    assert "the report of the sweep could not be finished" in done.stdout + done.stderr
    assert "Leaderboard, 2 jobs" in done.stdout
