"""The program as it is typed."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml
from command_line import PROGRAM, SMALL, recseq

from recseq.cli import refuse_unknown_choices


def run_folder(folder: Path) -> Path:
    (found,) = (folder / "outputs" / "runs").glob("*/*")
    return found


def test_the_program_starts_without_torch() -> None:
    code = "import sys, recseq.cli; print([m for m in ('torch', 'pytorch_lightning', 'mlflow', 'polars') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_help_shows_examples_and_groups(tmp_path: Path) -> None:
    done = recseq(tmp_path, "--help")
    assert done.returncode == 0
    for text in (
        "== Examples ==",
        "recseq -m model=sasrec,popular",
        "dataset: amazon_2014, amazon_2018, amazon_2023, complete_journey, demo, demo_kion, kion, movielens_100k",
    ):
        assert text in done.stdout
    assert not (tmp_path / "outputs").exists()


def test_completion_knows_groups_and_files(tmp_path: Path) -> None:
    script = recseq(tmp_path, "-sc", "install=bash")
    assert script.returncode == 0
    assert "complete" in script.stdout
    environment = {"COMP_LINE": "recseq dataset=", "COMP_POINT": "15"}
    done = subprocess.run([PROGRAM, "-sc", "query=bash"], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert "dataset=movietweetings" in done.stdout.split()


def test_a_run_keeps_its_contract(tmp_path: Path) -> None:
    done = recseq(tmp_path, *SMALL, "splitter.n_splits=2", "splitter.test_size=10D", "seed=7", "metrics.k=[5,10]")
    assert done.returncode == 0, done.stderr
    folder = run_folder(tmp_path)
    assert {path.name for path in folder.iterdir()} == {
        *("config.yaml", "metrics.csv", "significance.csv", "summary.json", "provenance.json", "run.log", "fold_0", "fold_1"),
        *("run.json", "requirements.txt"),
    }
    assert str(folder) in done.stdout.replace("\n", "")
    assert "ui --host 127.0.0.1 --backend-store-uri sqlite:///outputs/mlflow.db" in done.stdout
    assert "demo (simulated)" in done.stdout

    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["seed"] == 7
    assert config["item_net"]["categories"]["dropout"] == config["model"]["dropout_rate"]

    metrics = pl.read_csv(folder / "metrics.csv")
    assert metrics.columns[:7] == ["model", "fold", "test_start", "test_end", "seed", "fit_seconds", "recommend_seconds"]
    assert "HitRate@10" in metrics.columns
    assert "Intersection@5_popular" in metrics.columns
    assert metrics.select("model", "fold").rows() == [("popular", 0), ("sasrec", 0), ("popular", 1), ("sasrec", 1)]

    summary = json.loads((folder / "summary.json").read_text())
    hits = metrics.filter(pl.col("model") == "sasrec")["MAP@10"]
    assert summary["models"]["sasrec"]["MAP@10"] == pytest.approx({"mean": hits.mean(), "std": hits.std(), "n": 2})
    assert summary["objective"] == {"MAP@10": pytest.approx(hits.mean())}

    compared = pl.read_csv(folder / "significance.csv")
    assert compared.select("model", "other").unique().rows() == [("sasrec", "popular")]
    assert set(compared["metric"]) == {name for name in metrics.columns if "@" in name and not name.endswith("_popular")}
    row = compared.row(by_predicate=pl.col("metric") == "MAP@10", named=True)
    means = [summary["models"][name]["MAP@10"]["mean"] for name in ("sasrec", "popular")]
    assert [row["mean"], row["other_mean"], row["difference"]] == pytest.approx([*means, means[0] - means[1]])
    assert row["low"] <= row["difference"] <= row["high"]
    assert "sasrec with 95 % intervals" in done.stdout
    assert "significantly higher, lower than popular: paired t-test, 95 %." in done.stdout

    for fold in (0, 1):
        part = folder / f"fold_{fold}"
        assert {path.name for path in part.iterdir()} == {
            *("recommendations.parquet", "test.parquet", "per_user.parquet", "fold.json", "checkpoints"),
            *("epochs.csv", "similar.parquet"),
        }
        found = pl.read_parquet(part / "recommendations.parquet")
        assert found.columns == ["model", "user_id", "item_id", "score", "rank"]
        assert set(found["model"]) == {"popular", "sasrec"}
        test = pl.read_parquet(part / "test.parquet")
        assert test.columns == ["user_id", "item_id"]
        assert not test.is_duplicated().any()
        per_user = pl.read_parquet(part / "per_user.parquet")
        row = metrics.filter((pl.col("model") == "sasrec") & (pl.col("fold") == fold))
        assert per_user.filter(pl.col("model") == "sasrec")["MAP@10"].mean() == pytest.approx(row["MAP@10"].item())

    provenance = json.loads((folder / "provenance.json").read_text())
    assert {"packages", "git_commit", "recseq.data_hash", "recseq.split_hash", "recseq.config_hash"} <= set(provenance)
    assert provenance["recseq.simulated"] == "true"


def test_the_same_seed_gives_the_same_numbers_in_a_new_process(tmp_path: Path) -> None:
    tables = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        done = recseq(tmp_path / name, *SMALL, "tracking=none", "dataset.n_interactions=1500")
        assert done.returncode == 0, done.stderr
        folder = run_folder(tmp_path / name)
        tables.append((pl.read_csv(folder / "metrics.csv").drop("fit_seconds", "recommend_seconds"), folder))
    assert tables[0][0].equals(tables[1][0])
    first, second = (pl.read_parquet(folder / "fold_0" / "recommendations.parquet") for _, folder in tables)
    assert first.equals(second)
    assert not (tmp_path / "first" / "outputs" / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("item_net=[ids,typo]",), "item_net has no 'typo'; allowed: auto, categories, ids"),
        (("model=sasrek",), "model has no 'sasrek'; did you mean 'sasrec'?"),
        (("model.n_blocks=0", "seed=x"), "The configuration has 2 problems:"),
        (("dataset=movietweetings", "dataset.path=nowhere"), "ratings.dat"),
        (("dataset=tabular",), "dataset.path must be set"),
        (("reference_models=[popullar]",), "did you mean 'popular'?"),
        (("model=popular", "model.inverse=true"), "model.name is 'popular', which is also the name of a reference model"),
        (("splitter.test_size=1000D",), "no train rows"),
        (("splitter.test_size=99999999999D",), "longer than any calendar"),
        (("splitter.test_size=9999999D",), "before the calendar begins"),
        (("splitter.test_size=7W",), "must be a number of days or hours"),
        (("optimizer.lr=-1",), "Invalid learning rate"),
        (("optimizer.lr=1e20", "trainer.limit_train_batches=20", "trainer.max_epochs=2"), "training diverged"),
        (("trainer.num_nodes=2",), "trainer.num_nodes is 2, but nobody has started the program on other machines"),
        (("metrics.objective=Intersection@10",), "did you mean 'Intersection@10_popular'?"),
        (("seed=99999999999999999999999",), "seed is 99999999999999999999999, must be >= 0 and <"),
        (("tracking.uri=http://127.0.0.1:9",), "tracking.uri is 'http://127.0.0.1:9', which cannot be opened"),
        (("item_net=[ids]", "reference_models=[sasrec]"), "is also the name of a reference model with other options"),
        (("tracking.uri=sqlite:////proc/nowhere/x.db",), "tracking.uri is 'sqlite:////proc/nowhere/x.db', which cannot be opened"),
    ],
)
def test_a_users_mistake_ends_in_one_message_and_exit_code_1(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = recseq(tmp_path, "trainer=debug", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not list(tmp_path.glob("outputs/runs/*/*/summary.json"))


def test_popular_is_its_own_reference_and_says_what_it_ignores(tmp_path: Path) -> None:
    done = recseq(tmp_path, *SMALL[:5], "model=popular", "tracking=none")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("has no use for the groups loss, item_net, optimizer, scheduler, size, trainer") == 1
    table = pl.read_csv(run_folder(tmp_path) / "metrics.csv")
    assert table["model"].to_list() == ["popular"]
    assert table["Intersection@10_popular"].to_list() == [1.0]
    assert not (run_folder(tmp_path) / "significance.csv").exists()  # there is nothing to compare with
    assert "popular with 95 % intervals" in done.stdout


def test_a_sweep_runs_every_job_though_one_fails(tmp_path: Path) -> None:
    done = recseq(tmp_path, "-m", *SMALL[:5], "trainer=debug", "tracking=none", "model=popular", "splitter.test_size=1000D,7D")
    assert done.returncode == 1
    jobs = sorted(tmp_path.glob("outputs/sweeps/*/*/*/summary.json"))
    assert [path.parent.name for path in jobs] == ["1"]


def test_a_folder_with_results_is_not_written_over(tmp_path: Path) -> None:
    arguments = (*SMALL[:5], "model=popular", "tracking=none", "hydra.run.dir=fixed")
    assert recseq(tmp_path, *arguments).returncode == 0
    before = (tmp_path / "fixed" / "config.yaml").read_text()
    again = recseq(tmp_path, *arguments, "seed=5")
    assert again.returncode == 1
    assert "holds results of another run" in again.stderr
    assert (tmp_path / "fixed" / "config.yaml").read_text() == before


def test_cutoffs_can_be_changed_alone(tmp_path: Path) -> None:
    done = recseq(tmp_path, *SMALL[:5], "model=popular", "tracking=none", "metrics.k=[3,5]")
    assert done.returncode == 0, done.stderr
    assert list(json.loads((run_folder(tmp_path) / "summary.json").read_text())["objective"]) == ["MAP@5"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_in_training_says_so_and_marks_the_run_killed(tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    process = subprocess.Popen(
        [PROGRAM, "trainer=cpu", "trainer.max_epochs=1000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "epoch 1 of 1000" in line:
            process.send_signal(signal.SIGINT)
            break
    said += process.communicate(timeout=120)[0]
    assert process.returncode == 130, said
    assert "Interrupted" in said
    assert "Traceback" not in said
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/outputs/mlflow.db")
    assert {run.info.status for run in client.search_runs(["1"])} == {"KILLED"}
    assert not list(tmp_path.glob("outputs/runs/*/*/fold_*"))


def test_launchers_of_plugins_are_left_to_hydra() -> None:
    refuse_unknown_choices(["-m", "hydra/launcher=submitit_local"])
    with pytest.raises(SystemExit, match="loss has no 'typo'"):
        refuse_unknown_choices(["loss=typo"])
