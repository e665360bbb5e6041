"""Every YAML composes, YAML and constructors do not drift apart, and every problem is found at once."""

import inspect
from pathlib import Path

import pytest
from conftest import composed
from omegaconf import DictConfig, OmegaConf

from recseq.config import Shell, check_config
from recseq.data.objectives import OBJECTIVES
from recseq.data.preprocessing import Preprocessing
from recseq.data.sources import SOURCES
from recseq.errors import ConfigError
from recseq.files import conf_folder
from recseq.group_options import EvaluateOptions, MetricOptions, Paths, RecommendOptions, SimilarOptions, Sizes, TrainOptions
from recseq.metrics import METRICS
from recseq.metrics.significance import SignificanceOptions
from recseq.models import MODELS
from recseq.nets.combiner import COMBINERS
from recseq.nets.item_net import ITEM_NET_BLOCKS
from recseq.nets.layers import LAYERS
from recseq.nets.positions import POSITIONS
from recseq.nets.similarity import SIMILARITIES
from recseq.registry import Registry, signature_of
from recseq.report.options import ReportOptions
from recseq.splitting import SPLITTERS
from recseq.sweeps.search.options import SEARCHES
from recseq.sweeps.search.pruners import PRUNERS
from recseq.sweeps.search.samplers import SAMPLERS
from recseq.tracking import TRACKERS
from recseq.training.lightning_module import MODULES
from recseq.training.losses import LOSSES
from recseq.training.negatives import NEGATIVES
from recseq.training.trainer import TrainerOptions
from recseq.training.validation import VALIDATIONS

GROUPS: dict[str, Registry] = {
    "dataset": SOURCES,
    "splitter": SPLITTERS,
    "loss": LOSSES,
    "tracking": TRACKERS,
    "validation": VALIDATIONS,
    "model/objective": OBJECTIVES,
    "model/positions": POSITIONS,
    "model/layers": LAYERS,
    "model/module": MODULES,
    "model/combiner": COMBINERS,
    "model/similarity": SIMILARITIES,
    "loss/negatives": NEGATIVES,
    "search": SEARCHES,
    "search/sampler": SAMPLERS,
    "search/pruner": PRUNERS,
}
# the part of a config that a group's file is found in; a sampler has its place in losses that sample
HOME = {"loss/negatives": "loss=bce", "search/sampler": "search=optuna", "search/pruner": "search=optuna"}
MASKED = ["model.use_key_padding_mask=true"]
NEEDED = {
    "dataset=tabular": ["dataset.path=x"],
    "model/layers=pre_ln": MASKED,
    "model/layers=ligr": MASKED,
    "optimizer=rowwise_adam": ["loss=gbce"],
    "item_net=pretrained": ["item_net.pretrained.path=x.parquet"],
}


def files(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def all_choices() -> list[str]:
    groups = [
        *GROUPS,
        "item_net",
        "optimizer",
        "scheduler",
        "model",
        "metrics",
        "size",
        "trainer",
        "report",
        "row",
        "preprocessing",
        "experiment",
    ]
    return [" ".join([*filter(None, [HOME.get(group)]), f"{group}={name}"]) for group in groups for name in files(group)]


def node_of(group: str, name: str) -> DictConfig:
    """The node that a group's file composes to."""
    home = [HOME[group]] if group in HOME else []
    return OmegaConf.select(composed(*home, f"{group}={name}"), group.replace("/", "."))


@pytest.mark.parametrize("choice", all_choices())
def test_every_file_composes_and_passes_the_check(choice: str) -> None:
    check_config(composed(*choice.split(), *NEEDED.get(choice, [])))


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in GROUPS for name in files(group)])
def test_yaml_holds_exactly_what_constructors_take(group: str, name: str) -> None:
    """YAML is the only home of defaults: the same keys in both, and no default in the constructor."""
    node = OmegaConf.to_container(node_of(group, name), resolve=True)
    assert isinstance(node, dict)
    registry = GROUPS[group]
    parameters = signature_of(registry.find(node.pop("type"), group))
    options = {key: parameter for key, parameter in parameters.items() if key not in registry.provided}
    assert set(node) - set(registry.of_flow) == set(options)
    for key, parameter in options.items():
        assert parameter.default is inspect.Parameter.empty, f"{group}={name}: {key} has a default in code"
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize(("group", "registry"), GROUPS.items())
def test_every_registered_part_has_a_yaml(group: str, registry: Registry) -> None:
    shipped = {node_of(group, name).type for name in files(group)}
    assert shipped == {name for name, part in registry.items() if part.__module__.startswith("recseq.")}


@pytest.mark.parametrize("name", files("model"))
def test_model_yaml_holds_exactly_what_its_constructor_takes(name: str) -> None:
    node = composed(f"model={name}").model
    options = set(signature_of(MODELS.find(node.type, "model"))) - set(MODELS.provided)
    assert set(node) - {"type", "name"} == options


def test_plain_groups_hold_exactly_their_dataclasses_fields() -> None:
    config = composed()
    assert set(config) == set(signature_of(Shell))
    for node, options in (
        (config.trainer, TrainerOptions),
        (config.size, Sizes),
        (config.paths, Paths),
        (config.train, TrainOptions),
        (config.evaluate, EvaluateOptions),
        (config.recommend, RecommendOptions),
        (config.similar, SimilarOptions),
        (config.preprocessing, Preprocessing),
        (config.metrics, MetricOptions),
    ):
        assert set(node) == set(signature_of(options))
    assert set(config.report) == set(signature_of(ReportOptions))
    assert set(config.metrics.significance) == set(signature_of(SignificanceOptions))
    for name, block in composed("item_net=auto").item_net.items():
        if name != "auto":
            assert set(block) == set(signature_of(ITEM_NET_BLOCKS.find(name, ""))) - set(ITEM_NET_BLOCKS.provided)
    for name, inner in composed("metrics=full" if "full" in files("metrics") else "metrics=default").metrics.include.items():
        assert set(inner) <= set(signature_of(METRICS.find(name, "")))


BAD = {
    "metrics.k=[]": "metrics.k is empty",
    "metrics.significance.confidence=95": "metrics.significance.confidence is 95, must be > 0 and < 1",
    "metrics.significance.n_resamples=0": "metrics.significance.n_resamples is 0, must be >= 1",
    "metrics.significance.test=anova": "metrics.significance.test is 'anova'; allowed: t, wilcoxon",
    "metrics.significance=null": "metrics.significance is None, must be a mapping",
    "metrics.include.HitRate=3": "metrics.include.HitRate is 3, must be a mapping",
    "dataset=tabular": "dataset.path must be set: dataset.path=...",
    "model=popular model.period_days=1e300": "must be <= 36500 and > 0",
    "model.n_factors=250 model.n_heads=3": "model.n_heads is 3, must divide model.n_factors, which is 250",
    "model.n_blocks=0": "model.n_blocks is 0, must be >= 1",
    "model.n_blocks=two": "model.n_blocks is 'two', must be a whole number",
    "model.dropout_rate=1": "model.dropout_rate is 1, must be >= 0 and < 1",
    "model.causal=false": "would see its own targets",
    "+model.n_block=1": "model.n_block is not an option here; did you mean 'n_blocks'?",
    "+modle.n_blocks=1": "modle is not an option here; did you mean 'mode'?",
    "loss.type=softmx": "loss.type is 'softmx', no such loss; did you mean 'softmax'?",
    "model.layers.type=x.y.Z": "model.layers.type is 'x.y.Z', which cannot be imported",
    "mode=trian": "mode is 'trian'",
    "train.fold=0": "train.fold is set, which has an effect only with mode=train",
    "from_run=x": "from_run is set, which has an effect only with mode=train",
    "mode=train train.save_folds=true": "train.save_folds is true, which has an effect only with mode=cross_validate",
    "mode=train train.fold=-1": "train.fold is -1, must be >= 0",
    "mode=evaluate": "model_path is needed with mode=evaluate",
    "model_path=x": "model_path is set, which has an effect only with mode=evaluate, mode=recommend, mode=similar",
    "seed=-1": "seed is -1, must be >= 0",
    "metrics.objective=MAP@20": "metrics.objective is 'MAP@20'; did you mean 'MAP@10'?",
    "metrics.k=0": "metrics.k is 0, must be >= 1",
    "metrics.include.MAP.divide_by_k=maybe": "metrics.include.MAP.divide_by_k is 'maybe', must be true or false",
    "+metrics.include.Recal={}": "no such metric",
    "metrics=full metrics.include.HitRateByHistory.bands=[5,1]": "metrics.include.HitRateByHistory.bands is [5, 1], must increase",
    "metrics=full metrics.include.HitRateByHistory.bands=[]": "metrics.include.HitRateByHistory.bands is empty",
    "metrics=full metrics.include.HitRateByPopularity.borders=[0.1,0.2,0.3]": "must be one or two shares",
    "metrics=full metrics.include.LongTailShare.head_share=1": "metrics.include.LongTailShare.head_share is 1, must be > 0 and < 1",
    "metrics=full metrics.objective=HitRateByHistory@10_7": "metrics.objective is 'HitRateByHistory@10_7'; did you mean",
    "optimizer._target_=torch.optim.Admm": "optimizer._target_ is 'torch.optim.Admm', which cannot be imported",
    "optimizer._target_=builtins.dict": "no torch optimizer",
    "+optimizer.lrr=1": "optimizer.lrr is not an option here",
    "trainer.devices=0": "trainer.devices is 0, must be >= 1",
    "trainer.devices=4 trainer.num_nodes=2 model.batch_size=7": "model.batch_size is 7, the users of a batch over all",
    "trainer=ddp trainer.find_lr=true": "trainer.find_lr is true, which looks on one device",
    "trainer.accelerator=tpu": "trainer.accelerator is 'tpu'; did you mean",
    "plugins=[not_there]": "plugins names 'not_there', which cannot be imported",
    "model.train_min_user_interactions=1": "must be >= 2",
}


@pytest.mark.parametrize(("overrides", "message"), BAD.items())
def test_problems_name_the_path_what_was_found_and_what_is_allowed(overrides: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(composed(*overrides.split()))
    assert message in str(caught.value)


@pytest.mark.parametrize("objective", ["HitRateByHistory_5-9", "HitRateByPopularity@5_tail", "Gini", "Intersection_popular"])
def test_any_column_may_be_the_objective(objective: str) -> None:
    check_config(composed("metrics=full", "metrics.k=[5,10]", f"metrics.objective={objective}"))


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(composed("model.n_blocks=0", "seed=x", "trainer.max_epochs=0", "splitter.n_splits=0", "+loss.n_negatives=3"))
    assert str(caught.value).startswith("The configuration has 5 problems:")


def test_an_option_of_another_loss_is_refused_by_hydra_itself() -> None:
    with pytest.raises(Exception, match="n_negatives"):
        composed("loss=softmax", "loss.n_negatives=3")


def test_a_part_from_outside_is_reached_by_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_parts.py").write_text(
        "from recseq.training.losses import Loss, LOSSES\n"
        "class Zero(Loss):\n"
        "    def __init__(self, *, scale: float) -> None:\n"
        "        super().__init__()\n"
        "    def forward(self, hidden, batch, items):\n"
        "        return hidden.sum() * 0\n"
        "LOSSES.register('zero')(Zero)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    check_config(composed("loss.type=my_parts.Zero", "~loss.logits_t", "+loss.scale=2"))
    check_config(composed("plugins=[my_parts]", "loss.type=zero", "~loss.logits_t", "+loss.scale=2"))
    with pytest.raises(ConfigError, match=r"loss\.scale is missing"):
        check_config(composed("plugins=[my_parts]", "loss.type=zero"))
