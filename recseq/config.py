"""The composed config: its shell, and the check that finds every problem before anything runs."""

import importlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recseq.data.preprocessing import Preprocessing, check_preprocessing
from recseq.data.sources import SOURCES
from recseq.distributed.checks import check_ranks
from recseq.errors import ConfigError
from recseq.group_options import (
    EvaluateOptions,
    ExportOptions,
    MetricOptions,
    Node,
    Paths,
    RecommendOptions,
    SimilarOptions,
    Sizes,
    TrainOptions,
    UploadOptions,
)
from recseq.metrics import METRICS
from recseq.metrics.significance import SignificanceOptions
from recseq.models import MODELS
from recseq.nets.item_net import ITEM_NET_BLOCKS
from recseq.options import Range, did_you_mean
from recseq.registry import PartOf, check_options
from recseq.report.options import ReportOptions
from recseq.splitting import SPLITTERS
from recseq.sweeps.search.options import SEARCHES
from recseq.tracking import TRACKERS
from recseq.training.controls import check_controls
from recseq.training.losses import LOSSES
from recseq.training.optimizer import check_optimizer, check_use_of_rows
from recseq.training.scheduler import check_scheduler
from recseq.training.trainer import TrainerOptions
from recseq.training.validation import VALIDATIONS

NEEDS_MODEL = ("evaluate", "recommend", "similar", "export")


@dataclass(frozen=True, kw_only=True)
class Shell:
    """The top level of a config: what there is and of which type; the groups' insides are checked by their parts."""

    mode: Literal["cross_validate", "train", "evaluate", "recommend", "similar", "export", "describe", "fetch", "report", "upload"]
    seed: Annotated[int, Range(at_least=0, below=2**63)]
    plugins: list[str]
    reference_models: list[str]
    from_run: str | None
    train: Node
    model_path: str | None
    evaluate: Node
    recommend: Node
    similar: Node
    export: Node
    paths: Node
    dataset: Annotated[Node, PartOf(SOURCES)]
    preprocessing: Node
    splitter: Annotated[Node, PartOf(SPLITTERS)]
    loss: Annotated[Node, PartOf(LOSSES)]
    item_net: Node
    optimizer: Node
    scheduler: Node
    validation: Annotated[Node, PartOf(VALIDATIONS)]
    size: Node
    model: Node
    metrics: Node
    trainer: Node
    tracking: Annotated[Node, PartOf(TRACKERS)]
    report: Node
    upload: Node
    search: Annotated[Node, PartOf(SEARCHES)]


def import_plugins(modules: list[str]) -> None:
    """Import the user's modules, whose parts register themselves; the current folder is looked in too, as `python -m` does.

    Raises:
        ConfigError: A module that cannot be imported.
    """
    here = str(Path.cwd())
    if modules and not {"", here} & set(sys.path):
        sys.path.append(here)
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(f"plugins names {module!r}, which cannot be imported: {error}") from None


def check_config(composed: DictConfig) -> dict[str, Any]:
    """Resolve and check a composed config, and import its plugins.

    Returns:
        The config as plain Python.

    Raises:
        ConfigError: Every problem found, each with its config path.
    """
    try:
        plain = OmegaConf.to_container(composed, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"the configuration cannot be resolved: {error}") from None
    assert isinstance(plain, dict)
    config = {str(key): value for key, value in plain.items()}
    plugins = config.get("plugins")
    if isinstance(plugins, list):
        import_plugins([str(module) for module in plugins])
    problems = check_options(Shell, config, "")
    problems += check_model(config.get("model"))
    problems += check_item_net(config.get("item_net"))
    problems += check_optimizer(config["optimizer"], "optimizer") if "optimizer" in config else []
    problems += check_scheduler(config["scheduler"], "scheduler") if "scheduler" in config else []
    if not problems and "optimizer" in MODELS.find(config["model"]["type"], "model.type").uses:
        problems += check_use_of_rows(config["optimizer"], config["loss"], config["trainer"])
    groups = {
        **{"trainer": TrainerOptions, "size": Sizes, "paths": Paths, "preprocessing": Preprocessing},
        **{"report": ReportOptions, "upload": UploadOptions, "train": TrainOptions},
        **{"evaluate": EvaluateOptions, "recommend": RecommendOptions, "similar": SimilarOptions, "export": ExportOptions},
    }
    for group, options in groups.items():
        if isinstance(config.get(group), Mapping):  # else the shell has said so
            found = check_options(options, config[group], group)
            if options is Preprocessing and not found:
                found = check_preprocessing(Preprocessing(**config[group]))
            if options is TrainerOptions and not found:
                found = check_controls(config[group], config.get("optimizer"), config.get("scheduler"))
                found += check_ranks(config[group], config.get("model"))
            problems += found
    if isinstance(config.get("metrics"), Mapping):
        found = _check_metrics(config["metrics"], config.get("reference_models"))
        problems += found or _check_monitor(config.get("validation"), MetricOptions(**config["metrics"]))
    problems += _check_train(config)
    problems += _check_model_path(config) + _check_export(config)
    if config.get("mode") != "report" and isinstance(config.get("report"), Mapping):
        of = [f"report.{key}" for key in ("of", "experiment") if config["report"].get(key) is not None]
        problems += [f"{key} is set, which has an effect only with mode=report" for key in of]
    if isinstance(config.get("upload"), Mapping) and (config["upload"].get("of") is None) == (config.get("mode") == "upload"):
        set_or_not = "is needed with" if config["mode"] == "upload" else "is set, which has an effect only with"
        problems.append(f"upload.of {set_or_not} mode=upload: a folder of runs or sweeps, or a list of them")
    if problems:
        raise ConfigError.from_problems(problems)
    return config


def check_model(node: Any) -> list[str]:
    """Problems of a model node, each with its config path."""
    if not isinstance(node, Mapping):
        return []  # said already
    if not isinstance(node.get("name"), str):
        return ["model.name must be a text: what tables call the model"]
    return MODELS.check({key: value for key, value in node.items() if key != "name"}, "model")


def check_item_net(node: Any) -> list[str]:
    """Problems of an `item_net` node, each with its config path."""
    if not isinstance(node, Mapping):
        return []
    names = [name for name in node if name != "auto"]
    if not names:
        return [f"item_net is empty; allowed: auto, or a list of {', '.join(ITEM_NET_BLOCKS.names())}"]
    problems = []
    for name in names:
        options = node[name]
        problems += ITEM_NET_BLOCKS.check({"type": name, **options} if isinstance(options, Mapping) else options, f"item_net.{name}")
    if not isinstance(node.get("auto", False), bool):
        problems.append(f"item_net.auto is {node['auto']!r}, must be true or false")
    return problems


def _check_metrics(node: Node, reference_models: Any) -> list[str]:
    problems = check_options(MetricOptions, node, "metrics")
    if problems:
        return problems
    options = MetricOptions(**node)
    if not options.cutoffs:
        return ["metrics.k is empty, must be a number or a list of numbers"]
    references = reference_models if isinstance(reference_models, list) else []
    columns = []
    for name, inner in options.include.items():
        where = f"metrics.include.{name}"
        if not isinstance(inner, Mapping):
            problems.append(f"{where} is {inner!r}, must be a mapping of options; {{}} for none")
            continue
        found = METRICS.check({"type": name, **inner}, where)
        problems += found
        if not found:
            metric = METRICS.build({"type": name, **inner}, ref_k=options.ref_k)
            columns += [column for k in options.cutoffs for column in metric.column_names(k, references)]
    problems += check_options(SignificanceOptions, options.significance, "metrics.significance")
    if not options.include:
        problems.append("metrics.include is empty")
    elif columns and options.objective_column not in columns:
        problems.append(f"metrics.objective is {options.objective!r}; {did_you_mean(options.objective, columns)}")
    return problems


def _check_train(config: Node) -> list[str]:
    """Options about saved models that the mode has no use for."""
    mode, node = config.get("mode"), config.get("train")
    options = node if isinstance(node, Mapping) else {}
    of_train = {"from_run": config.get("from_run"), "train.fold": options.get("fold"), "train.register": options.get("register")}
    problems = [f"{key} is set, which has an effect only with mode=train" for key, value in of_train.items() if value is not None]
    problems = [] if mode == "train" else problems
    if options.get("warm_start") is not None and mode not in ("train", "cross_validate"):
        problems.append("train.warm_start is set, which has an effect only with mode=train and mode=cross_validate")
    trainer = config.get("trainer")
    if (
        options.get("warm_start") is not None
        and isinstance(trainer, Mapping)
        and (trainer.get("devices"), trainer.get("num_nodes")) != (1, 1)
    ):
        problems.append("train.warm_start is set, but ranks of several devices begin from fresh weights; use trainer.devices=1")
    if options.get("only_new") is True and (mode != "train" or options.get("warm_start") is None):
        problems.append("train.only_new is true, which has an effect only with mode=train and train.warm_start=...")
    if options.get("save_folds") is True and mode != "cross_validate":
        problems.append("train.save_folds is true, which has an effect only with mode=cross_validate; mode=train saves its model anyway")
    return problems + _check_logged_model(config, options)


def _check_export(config: Node) -> list[str]:
    node = config.get("export")
    options = node if isinstance(node, Mapping) else {}
    if config.get("mode") != "export":
        return [] if options.get("path") is None else ["export.path is set, which has an effect only with mode=export"]
    if options.get("onnx") is False and options.get("item_vectors") is False:
        return ["export.onnx and export.item_vectors are false: there is nothing to export"]
    return []


def _check_logged_model(config: Node, options: Node) -> list[str]:
    problems = []
    register = options.get("register")
    if options.get("log_model") is True:
        if config.get("mode") != "train" and not options.get("save_folds"):
            problems.append("train.log_model is true, which has an effect only with mode=train, or with train.save_folds=true")
        tracking = config.get("tracking")
        kind = tracking.get("type") if isinstance(tracking, Mapping) else None
        if not TRACKERS.check(tracking, "tracking") and not TRACKERS.find(str(kind), "tracking").keeps_models:
            problems.append(f"train.log_model is true, but tracking={kind} keeps no models: tracking=mlflow, or train.log_model=false")
    elif register is not None:
        problems.append("train.register is set, which needs train.log_model=true")
    if isinstance(register, str) and not re.fullmatch(r"[^/:.@%\"']+(@(?!latest$|v\d+$)[\w-]+)?", register):
        problems.append(f"train.register is {register!r}, must be a name without / : . % and quotes, or name@alias")
    return problems


def _check_model_path(config: Node) -> list[str]:
    """Whether a model is named where the mode needs one, and nowhere else."""
    mode, path = config.get("mode"), config.get("model_path")
    if (mode in NEEDS_MODEL) == (path is not None):
        return []
    modes = ", ".join(f"mode={each}" for each in NEEDS_MODEL)
    if path is not None:
        return [f"model_path is set, which has an effect only with {modes}"]
    return [f"model_path is needed with mode={mode}: a model's folder, runs:/<id>/model, or models:/name/version"]


def _check_monitor(validation: Any, options: MetricOptions) -> list[str]:
    """Whether validation's metrics, which know no reference model, have the one that it monitors."""
    if not isinstance(validation, Mapping) or not isinstance(monitor := validation.get("monitor"), str):
        return []  # none is asked for, or the shell has said what is wrong
    scoring = options.scoring()
    columns = scoring.directions([])
    if scoring.column(monitor) in columns:
        return []
    return [f"validation.monitor is {monitor!r}; {did_you_mean(monitor, columns)}"]
