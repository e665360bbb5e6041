"""mode=similar: a saved model's nearest items of items, streamed to a file in chunks of them."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recseq.errors import ConfigError, DataError
from recseq.files import write_json
from recseq.group_options import SimilarOptions
from recseq.lifecycle.id_lists import as_type, read_ids
from recseq.lifecycle.of_model import begin_use, load_for
from recseq.lifecycle.table_writer import place_of, table_writer
from recseq.report.terminal import console


def find_similar(config: Mapping[str, Any], folder: Path) -> None:
    """Write the neighbours of items by the model of `model_path`, `summary.json` and where they come from.

    Args:
        config: A checked config.
        folder: The run's folder.

    Raises:
        ConfigError: The model compares no items.
        DataError: An item that it does not know.
    """
    options = SimilarOptions(**config["similar"])
    place, kind = place_of(options.path, options.format, folder, "similar")
    asked = read_ids(options.items, "item_id", "similar.items")
    loaded = load_for(config)
    known = loaded.vocabulary
    items = known.item_ids
    if asked is not None:
        items = as_type(asked, known.item_ids.dtype)
        strange = asked.filter(known.encode(items).is_null())
        if strange.len():
            raise DataError(
                f"similar.items names {asked.len():,} items, of which {strange.len():,} are not in the model's vocabulary, "
                f"for example {strange[0]!r}"
            )
    origin = begin_use(config, folder, loaded)
    started = time.perf_counter()
    n_rows = 0
    with table_writer(place, kind) as write:
        for first in range(0, items.len(), options.items_per_chunk):
            found = loaded.model.similar(items.slice(first, options.items_per_chunk), options.k, options.filter_itself)
            if found is None:
                raise ConfigError(
                    f"the model {loaded.name} compares no items; mode=similar needs one that does: sasrec, bert4rec, ease, item_knn"
                )
            write(found)
            n_rows += found.height
    seconds = time.perf_counter() - started
    write_json(folder / "provenance.json", origin)
    numbers = {"n_items": items.len(), "n_rows": n_rows, "seconds": round(seconds, 3)}
    write_json(folder / "summary.json", {"model": loaded.name, "path": str(place.absolute()), **numbers})
    console().print(
        f"{items.len():,} items, {n_rows:,} neighbours in {seconds:.1f} s\nNeighbours: {place}", highlight=False, soft_wrap=True
    )
