"""mode=train: a model that stays, alone, of each fold, and with the composition of an earlier run."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml
from command_line import SMALL, in_new_process, recseq
from conftest import composed
from mlflow.tracking import MlflowClient

from recseq import experiment
from recseq.config import check_config
from recseq.errors import ConfigError
from recseq.lifecycle import load_model, locate
from recseq.lifecycle.from_run import find_run, keep_values, merge_overrides
from recseq.models import Request
from recseq.modes import run
from recseq.opening import read_dataset
from recseq.splitting import SPLITTERS

QUIET = (*SMALL, "trainer.enable_progress_bar=false")


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def mlflow(uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=uri)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cross-validated run whose folds' models were kept, and a model trained on all rows by its composition."""
    home = tmp_path_factory.mktemp("home")
    typed = ("splitter.n_splits=2", "loss=gbce", "loss.n_negatives=7", "validation=last_interaction")
    done = recseq(home, *QUIET, *typed, "train.save_folds=true", "seed=3")
    assert done.returncode == 0, done.stderr
    first = only(home, "outputs/runs/*/*")
    done = recseq(home, "mode=train", f"from_run={first}", "loss.n_negatives=9", "size.n_blocks=1", "train.save_folds=false")
    assert done.returncode == 0, done.stderr
    assert f"Model folder: {only(home, 'outputs/models/*/*')}/model" in done.stdout
    return home


@pytest.fixture
def uri(home: Path) -> str:
    return f"sqlite:///{home}/outputs/mlflow.db"


def recommend_as_the_fold_did(first: Path, home: Path) -> None:
    import os

    os.chdir(home)
    for index in range(2):
        loaded = load_model(first / f"fold_{index}" / "model", accelerator="cpu")
        dataset = read_dataset(loaded.config)
        fold = list(SPLITTERS.build(loaded.config["splitter"]).split(dataset.interactions))[index]
        users = pl.read_parquet(first / f"fold_{index}" / "test.parquet")["user_id"].unique().sort()
        ours = loaded.model.recommend(Request(users, fold.train, k=10))
        theirs = pl.read_parquet(first / f"fold_{index}" / "recommendations.parquet").filter(pl.col("model") == "sasrec").drop("model")
        assert ours.equals(theirs)
        assert loaded.provenance["trained_on"]["fold"] == index
        assert loaded.provenance["trained_on"]["n_rows"] == len(fold.train)


def test_a_fold_s_model_recommends_in_a_new_process_what_it_did(home: Path) -> None:
    first = only(home, "outputs/runs/*/*")
    in_new_process(recommend_as_the_fold_did, first, home)
    card = (first / "fold_1" / "model" / "README.md").read_text()
    value = pl.read_csv(first / "metrics.csv").filter(pl.col("fold") == 1, pl.col("model") == "sasrec")["MAP@10"].item()
    assert f"| MAP@10 | {value:.6g} |" in card


def test_from_run_takes_the_run_s_composition_and_what_is_typed_wins(home: Path) -> None:
    first, second = (yaml.safe_load((only(home, f"outputs/{kind}/*/*") / "config.yaml").read_text()) for kind in ("runs", "models"))
    assert second["loss"] == {**first["loss"], "n_negatives": 9}
    assert first["loss"]["n_negatives"] == 7
    kept = {"fold": None, "save_folds": False, "warm_start": None, "only_new": False}
    assert second["train"] == kept | {"log_model": False, "register": None}
    changed = {key for key in first if first[key] != second[key]}
    assert changed == {"mode", "loss", "size", "train", "from_run", "trainer"}
    assert second["trainer"] == {**first["trainer"], "enable_progress_bar": True}  # of the run alone


def test_a_trained_model_is_on_all_rows_with_card_and_provenance(home: Path) -> None:
    folder = only(home, "outputs/models/*/*")
    loaded = load_model(folder / "model", accelerator="cpu")
    dataset = read_dataset(check_config(composed(*SMALL)))
    assert loaded.provenance["trained_on"]["rows"] == "all rows"
    assert loaded.provenance["trained_on"]["n_rows"] == len(dataset.interactions)
    assert loaded.config["seed"] == 3
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["facts"] == loaded.manifest.facts
    card = (folder / "model" / "README.md").read_text()
    first = only(home, "outputs/runs/*/*")
    mean = json.loads((first / "summary.json").read_text())["models"]["sasrec"]["MAP@10"]["mean"]
    assert f"Mean over the folds of the run {first}, that differs in loss.n_negatives, size.n_blocks:" in card
    assert f"| MAP@10 | {mean:.6g} |" in card
    assert "| val_MAP@10 | " in card
    assert {path.name for path in folder.iterdir()} >= {"model", "epochs.csv", "config.yaml", "provenance.json", "checkpoints"}


def test_a_trained_model_is_an_mlflow_run_with_the_model_as_artifact(home: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = only(home, "outputs/models/*/*")
    run_id = json.loads((folder / "summary.json").read_text())["run_id"]
    client = mlflow(uri)
    logged = client.get_run(run_id)
    assert logged.info.status == "FINISHED"
    assert logged.data.tags["recseq.level"] == "train"
    assert logged.data.tags["recseq.folder"] == str(folder)
    assert logged.data.params["loss.n_negatives"] == "9"
    assert "train_loss" in logged.data.metrics
    assert len(logged.inputs.dataset_inputs) == 1
    files = {file.path for file in client.list_artifacts(run_id, "model")}
    assert files == {f"model/{file.name}" for file in (folder / "model").iterdir()}
    client.create_registered_model("winner")
    version = client.create_model_version("winner", f"{logged.info.artifact_uri}/model", run_id).version
    client.set_registered_model_alias("winner", "best", version)
    first = json.loads((only(home, "outputs/runs/*/*") / "summary.json").read_text())["run_id"]
    tracking = {"type": "mlflow", "uri": uri}
    for path in (f"runs:/{run_id}/model", f"models:/winner/{version}", "models:/winner@best", f"runs:/{first}/fold_0/model"):
        assert load_model(locate(path, tracking)).name == "sasrec"
    assert locate(str(folder / "model"), tracking) == folder / "model"
    for path, message in (
        ("runs:/0123/model", "is not in the MLflow store"),
        (f"runs:/{run_id}/modle", "is not in the MLflow store"),
        ("models:/loser/1", "is not in the MLflow store"),
        ("models:/winner@worst", "is not in the MLflow store"),
        ("models:/winner", "is models:/name/version or models:/name@alias"),
        ("s3://somewhere/model", "allowed: a folder, runs:/"),
    ):
        with pytest.raises(ConfigError, match=message):
            locate(path, tracking)
    with pytest.raises(ConfigError, match="tracking=none is none"):
        locate("models:/winner/1", {"type": "none"})
    with pytest.raises(ConfigError, match="there is no such file"):
        locate("models:/winner/1", {"type": "mlflow", "uri": f"sqlite:///{home}/nothing.db"})


def test_an_id_is_found_by_its_folder_or_where_that_is_gone_by_its_artifacts(home: Path, uri: str) -> None:
    first = only(home, "outputs/runs/*/*")
    run_id = json.loads((first / "summary.json").read_text())["run_id"]
    tracking = {"type": "mlflow", "uri": uri}
    by_folder, by_id = find_run(str(first), tracking), find_run(run_id, tracking)
    assert by_id.overrides == by_folder.overrides == [*QUIET[:-1], *by_folder.overrides[-5:]]
    assert by_folder.overrides[-1] == "seed=3"
    away = first.rename(first.with_name("away"))
    try:
        elsewhere = find_run(run_id, tracking)
    finally:
        away.rename(first)
    assert elsewhere == by_id
    assert elsewhere.metrics() == by_folder.metrics() != {}
    client = mlflow(uri)
    children = client.search_runs([client.get_run(run_id).info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
    with pytest.raises(ConfigError, match=f"no run but a fold; the run above it is {run_id}"):
        find_run(children[0].info.run_id, tracking)
    bare = client.create_run(client.get_run(run_id).info.experiment_id, tags={"recseq.level": "run", "recseq.folder": "/gone"}).info.run_id
    with pytest.raises(ConfigError, match="whose folder /gone is not on this machine and whose artifacts lack it"):
        find_run(bare, tracking)
    client.delete_run(bare)


def test_a_run_that_cannot_be_begun_from_is_one_line(home: Path, tmp_path: Path) -> None:
    for reference, message in (
        ("outputs/runs/nowhere", "no such folder"),
        ("0123abc", "neither a folder nor a run of"),
        (str(tmp_path), "no run's folder"),
        (str(only(home, "outputs/models/*/*/model")), None),
    ):
        if message is None:
            assert find_run(reference, {}).overrides  # a model's folder says what it was composed of
            continue
        with pytest.raises(ConfigError, match=message):
            find_run(reference, {"type": "mlflow", "uri": f"sqlite:///{home}/outputs/mlflow.db"})
    done = recseq(home, "mode=train", "from_run=0123abc")
    assert done.returncode == 1
    assert done.stderr.startswith("from_run is '0123abc': neither a folder nor a run of sqlite:///outputs/mlflow.db")
    assert len(done.stderr.splitlines()) == 1
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(ConfigError, match="a whole sweep; name one of its jobs"):
        find_run(str(tmp_path), {})


def test_new_overrides_replace_old_ones_of_the_same_key_or_group() -> None:
    before = ["loss=bce", "loss.n_negatives=5", "model/layers=ligr", "+model.x=1", "seed=1", "loss/negatives=popularity"]
    assert merge_overrides(before, ["mode=train", "seed=2"]) == [*before[:4], "loss/negatives=popularity", "mode=train", "seed=2"]
    assert merge_overrides(before, ["loss=softmax"]) == ["model/layers=ligr", "+model.x=1", "seed=1", "loss=softmax"]
    assert merge_overrides(before, ["model.layers.type=x", "-m"])[-2:] == ["model.layers.type=x", "-m"]


def test_values_of_the_run_stay_when_conf_has_changed_since(home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = shutil.copytree(only(home, "outputs/runs/*/*"), tmp_path / "run", ignore=shutil.ignore_patterns("fold_*"))
    config = yaml.safe_load((first / "config.yaml").read_text())
    config["model"]["dropout_rate"] = 0.3  # today's default is 0.2
    config["optimizer"]["lr"] = 0.5
    config["model"]["use_pos_emb"] = False
    (first / "config.yaml").write_text(yaml.safe_dump(config))
    run = find_run(str(first), {})
    overrides = merge_overrides(run.overrides, ["mode=train", "optimizer.lr=0.001", "paths.outputs=x"])
    now = check_config(composed(*overrides))
    found = keep_values(now, run, overrides)
    assert (found["model"]["dropout_rate"], found["optimizer"]["lr"], found["model"]["use_pos_emb"]) == (0.3, 0.001, False)
    assert {key for key in found if found[key] != now[key]} == {"model"}
    assert "conf/ has changed since" in caplog.text
    assert "model.dropout_rate=0.3, model.use_pos_emb=False" in caplog.text


def test_an_interrupted_training_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = (*QUIET, "mode=train", "train.fold=0", "splitter.n_splits=2", "trainer.max_epochs=2", f"paths.outputs={tmp_path}/out")
    run(composed(*options), tmp_path / "whole")

    class BreakError(Exception):
        pass

    def broken(*args: object) -> None:
        raise BreakError

    for where in ("save_model", "write_json"):  # before the model is written, and after
        with monkeypatch.context() as patch:
            patch.setattr(experiment, where, broken)
            with pytest.raises(BreakError):
                run(composed(*options), tmp_path / "run")
        assert (tmp_path / "run" / "model").is_dir() == (where == "write_json")
    run(composed(*options), tmp_path / "run")
    weights = [(tmp_path / name / "model" / "weights.safetensors").read_bytes() for name in ("whole", "run")]
    assert weights[0] == weights[1]
    assert (tmp_path / "whole" / "epochs.csv").read_text() == (tmp_path / "run" / "epochs.csv").read_text()
    client = mlflow(f"sqlite:///{tmp_path}/out/mlflow.db")
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert [logged.info.status for logged in runs] == ["FINISHED"] * 2
    assert [point.step for point in client.get_metric_history(runs[0].info.run_id, "train_loss")] == [1, 2]
    assert load_model(tmp_path / "run" / "model").provenance["trained_on"]["rows"] == "the train part of fold 0"
    with pytest.raises(ConfigError, match="holds results of another run"):
        run(composed(*options), tmp_path / "run")
    run(composed(*options, "tracking.skip_finished=true"), tmp_path / "again")
    assert (tmp_path / "again" / "model" / "weights.safetensors").read_bytes() == weights[0]
    assert not (tmp_path / "again" / "run.json").exists()
    with pytest.raises(ConfigError, match=r"train\.fold is 2; the splitter makes the folds 0 to 1"):
        run(composed(*options, "train.fold=2"), tmp_path / "other")
    same = [word for word in options if not word.startswith(("mode=", "train."))]
    run(composed(*same, "tracking.skip_finished=true"), tmp_path / "validated")  # is no other's finished run
    assert (tmp_path / "validated" / "metrics.csv").exists()


def test_a_training_that_was_not_tracked_is_uploaded(tmp_path: Path) -> None:
    base = (*QUIET, f"paths.outputs={tmp_path}/out")
    run(composed(*base, "mode=train", "tracking=none"), tmp_path / "run")
    run(composed(*base, "mode=upload", f"upload.of={tmp_path}/run"), tmp_path / "upload")
    client = mlflow(f"sqlite:///{tmp_path}/out/mlflow.db")
    (logged,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert logged.data.tags["recseq.level"] == "train"
    assert "train_loss" in logged.data.metrics
    assert load_model(locate(f"runs:/{logged.info.run_id}/model", {"type": "mlflow", "uri": f"sqlite:///{tmp_path}/out/mlflow.db"})).name


def test_train_is_no_job_of_a_sweep(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mode=train is no job of a sweep"):
        run(composed(*QUIET, "mode=train"), tmp_path / "0", tmp_path)
