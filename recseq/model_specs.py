"""Which models a run fits, and what each is composed of."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from recseq.config import check_model
from recseq.data.interactions import Interactions, ItemFeatures
from recseq.errors import ConfigError
from recseq.files import conf_folder
from recseq.group_options import MetricOptions, Node
from recseq.models import MODELS, Groups, Recommender
from recseq.options import did_you_mean
from recseq.plain import plain_dict
from recseq.training.context import FitContext
from recseq.training.trainer import TrainerOptions
from recseq.training.validation import VALIDATIONS

log = logging.getLogger(__name__)


BUILT_FROM = ("model", "loss", "item_net", "optimizer", "scheduler", "trainer", "validation", "metrics", "plugins")


@dataclass(frozen=True)
class ModelSpec:
    """A model of the run: the one asked for, or a reference.

    Args:
        name: What tables call it.
        config: Its composed config, plain Python.
        is_reference: Others are measured against it.
    """

    name: str
    config: Mapping[str, Any]
    is_reference: bool

    def build(self) -> Recommender:
        """The recommender, not yet fitted."""
        return MODELS.build(model_options(self.config["model"]), groups=groups_of(self.config))

    def fitted(self, train: Interactions, item_features: ItemFeatures | None, context: FitContext) -> Recommender:
        """The recommender, fitted."""
        model = self.build()
        model.fit(train, item_features, context)
        return model


@dataclass(frozen=True)
class WarmStarted(ModelSpec):
    """A model whose training begins from another's.

    Args:
        earlier: The other, fitted.
        keep_items: Keep its items that the training data lacks.
    """

    earlier: Recommender
    keep_items: bool

    def build(self) -> Recommender:
        """The recommender, not yet fitted."""
        model = super().build()
        model.warm_start(self.earlier, self.keep_items)
        return model


@dataclass(frozen=True)
class Ready(ModelSpec):
    """A model that has been fitted before.

    Args:
        model: It.
    """

    model: Recommender

    def fitted(self, train: Interactions, item_features: ItemFeatures | None, context: FitContext) -> Recommender:
        """The recommender as it is."""
        return self.model


def choose_models(config: dict[str, Any]) -> list[ModelSpec]:
    """The reference models and, last, the model asked for; a reference that is that very model is not fitted twice.

    Raises:
        ConfigError: Two different models under one name.
    """
    own = ModelSpec(config["model"]["name"], config, is_reference=False)
    specs: dict[str, ModelSpec] = {}
    for name in config["reference_models"]:
        reference = compose_reference(name, config["size"])
        reference |= {group: config[group] for group in ("trainer", "validation", "metrics", "plugins")}
        spec = ModelSpec(reference["model"]["name"], reference, is_reference=True)
        if spec.name == own.name:
            if groups_used(spec.config) != groups_used(own.config):
                raise ConfigError(
                    f"model.name is {own.name!r}, which is also the name of a reference model with other options; "
                    f"give one of them another name: model.name=... or reference_models=[...]"
                )
            own = ModelSpec(own.name, config, is_reference=True)
        else:
            specs[spec.name] = spec
    return [*specs.values(), own]


def groups_used(config: Mapping[str, Any]) -> dict[str, Any]:
    """The groups of a config that decide what its model is."""
    return {group: config[group] for group in ("model", *MODELS.find(config["model"]["type"], "model.type").uses)}


def log_unused_groups(model: ModelSpec, config: Mapping[str, Any]) -> None:
    """Say once which groups the model has no use for."""
    uses = MODELS.find(config["model"]["type"], "model.type").uses
    unused = [group for group in ("loss", "item_net", "optimizer", "scheduler", "size", "trainer", "validation") if group not in uses]
    if unused:
        log.info("model %s has no use for the groups %s; they are ignored", model.name, ", ".join(unused))
    n_ranks = TrainerOptions(**config["trainer"]).n_ranks
    if "trainer" in unused and n_ranks > 1:
        log.warning("model %s uses one device; trainer.devices and trainer.num_nodes (%d in all) have no effect on it", model.name, n_ranks)


def model_options(node: Node) -> dict[str, Any]:
    """A model's node without its display name."""
    return {key: value for key, value in node.items() if key != "name"}


def groups_of(config: Mapping[str, Any]) -> Groups:
    """The checked groups that a trained recommender is composed of."""
    blocks = {name: options for name, options in config["item_net"].items() if name != "auto"}
    return Groups(
        loss=config["loss"],
        item_net_blocks=blocks,
        item_net_auto=bool(config["item_net"].get("auto", False)),
        optimizer=config["optimizer"],
        scheduler=config["scheduler"],
        trainer=TrainerOptions(**config["trainer"]),
        validation=VALIDATIONS.build(config["validation"], scoring=MetricOptions(**config["metrics"]).scoring()),
        config={key: config[key] for key in BUILT_FROM},
    )


def compose_reference(name: str, size: Mapping[str, int]) -> dict[str, Any]:
    """The config of a reference model: the defaults with `model=<name>` and the run's sizes.

    Raises:
        ConfigError: No such model file, or one that cannot be run.
    """
    overrides = [f"model={name}", *(f"size.{key}={value}" for key, value in size.items())]
    available = sorted(path.stem for path in (conf_folder() / "model").glob("*.yaml"))
    try:
        if GlobalHydra.instance().is_initialized():
            composed = compose("config", overrides=overrides)
        else:
            with initialize_config_dir(str(conf_folder()), version_base="1.3"):
                composed = compose("config", overrides=overrides)
    except Exception as error:
        hint = did_you_mean(name, available)
        raise ConfigError(f"reference_models names {name!r}, which cannot be composed; {hint} ({str(error).splitlines()[0]})") from None
    for group in ("dataset", "splitter", "tracking"):  # the run's own stand for them
        OmegaConf.update(composed, group, {"type": "none"}, merge=False)
    config = plain_dict(composed)
    problems = check_model(config["model"])
    if problems:
        raise ConfigError.from_problems([f"reference model {name}: {problem}" for problem in problems])
    return config
