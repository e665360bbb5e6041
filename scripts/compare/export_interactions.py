"""Write the data of a run folder in canonical form, for programs that cannot read its source: RecTools' environment, say.

    .venv/bin/python scripts/compare/export_interactions.py outputs/runs/<date>/<time> FOLDER

Reads the dataset that the run's `config.yaml` names and writes `FOLDER/interactions.parquet` (user_id, item_id, datetime, weight) and,
where items have categories, `FOLDER/item_categories.parquet` (item_id, feature, value).
"""

import argparse
from pathlib import Path

import yaml

from recseq.config import import_plugins
from recseq.data.prepared import read_prepared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    config = yaml.safe_load((options.run_folder / "config.yaml").read_text(encoding="utf-8"))
    import_plugins(config["plugins"])
    dataset = read_prepared(config)
    options.folder.mkdir(parents=True, exist_ok=True)
    dataset.interactions.frame.write_parquet(options.folder / "interactions.parquet")
    if dataset.item_features is not None:
        dataset.item_features.categorical.write_parquet(options.folder / "item_categories.parquet")
    print(f"{dataset.label}: {len(dataset.interactions):,} interactions to {options.folder}")


if __name__ == "__main__":
    main()
