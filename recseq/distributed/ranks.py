"""Ranks that have met, and what they tell each other: bytes over gloo, never pickles."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store

from recseq.distributed.launch import Seat

# Ranks wait for rank 0 while it reads, measures and fits baselines: whether one has died is told by its connection, not by the clock.
PATIENCE = timedelta(days=7)
PIECE_BYTES = 2**28


@dataclass(frozen=True)
class Message:
    """What one rank tells another.

    Args:
        kind: What it is about.
        facts: Anything that JSON can say.
        tables: Tables by name.
    """

    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def pack(self) -> bytes:
        """As bytes: length of the head, head, tables as Arrow."""
        parts = []
        for table in self.tables.values():
            buffer = io.BytesIO()
            table.write_ipc(buffer)
            parts.append(buffer.getvalue())
        sizes = {name: len(part) for name, part in zip(self.tables, parts, strict=True)}
        head = json.dumps({"kind": self.kind, "facts": self.facts, "tables": sizes}).encode()
        return b"".join([len(head).to_bytes(8, "little"), head, *parts])

    @classmethod
    def unpack(cls, data: bytes) -> "Message":
        """The inverse of `pack`."""
        start = 8 + int.from_bytes(data[:8], "little")
        head = json.loads(data[8:start])
        tables = {}
        for name, size in head["tables"].items():
            tables[name] = pl.read_ipc(io.BytesIO(data[start : start + size]))
            start += size
        return cls(head["kind"], head["facts"], tables)


class Ranks:
    """This process's rank and its ways to the others.

    Args:
        seat: Its place.
        store: Where the ranks find each other.
    """

    def __init__(self, seat: Seat, store: Store) -> None:
        self.seat = seat
        self.rank = seat.rank
        self.n_ranks = seat.n_ranks
        self.backend = "gloo"
        self._store = store
        self._n_groups = 0
        self._control: Any = None
        self.use("gloo")

    def use(self, backend: str) -> None:
        """Make the process group that gradients go through: `gloo` on CPUs, `nccl` between CUDA devices; all ranks do so together."""
        if self._control is not None and backend == self.backend:
            return
        if self._control is not None:
            dist.destroy_process_group()
        self._n_groups += 1
        self.backend = backend
        store = PrefixStore(f"group{self._n_groups}", self._store)
        dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.n_ranks, timeout=PATIENCE)
        self._control = dist.new_group(backend="gloo", timeout=PATIENCE)

    def leave(self) -> None:
        """End this rank's part in the groups."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def broadcast(self, message: Message | None) -> Message:
        """Rank 0's message, in every rank; the others pass None."""
        data = b"" if message is None else message.pack()
        size = torch.tensor([len(data)])
        dist.broadcast(size, 0, group=self._control)
        content = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(int(size), dtype=torch.uint8)
        self._in_pieces(content, lambda piece: dist.broadcast(piece, 0, group=self._control))
        return message if message is not None else Message.unpack(content.numpy().tobytes())

    def send(self, message: Message, to: int) -> None:
        """Send to a rank, which receives it."""
        content = torch.frombuffer(bytearray(message.pack()), dtype=torch.uint8)
        dist.send(torch.tensor([len(content)]), to, group=self._control)
        self._in_pieces(content, lambda piece: dist.send(piece, to, group=self._control))

    def receive(self, of: int) -> Message:
        """The message that a rank sends."""
        size = torch.empty(1, dtype=torch.int64)
        dist.recv(size, of, group=self._control)
        content = torch.empty(int(size), dtype=torch.uint8)
        self._in_pieces(content, lambda piece: dist.recv(piece, of, group=self._control))
        return Message.unpack(content.numpy().tobytes())

    def gather(self, message: Message) -> list[Message]:
        """In rank 0 all ranks' messages, in their order; nothing in the others."""
        if self.rank > 0:
            self.send(message, 0)
            return []
        return [message, *(self.receive(rank) for rank in range(1, self.n_ranks))]

    def agree(self, compute: Callable[[], Any]) -> Any:
        """What rank 0 computes, in every rank; anything that JSON can say."""
        return self.broadcast(Message("agreed", {"value": compute()}) if self.rank == 0 else None).facts["value"]

    def follow(self, flag: bool) -> bool:
        """Rank 0's flag, in every rank; cheap enough for every step."""
        said = torch.tensor([flag], dtype=torch.uint8)
        dist.broadcast(said, 0, group=self._control)
        return bool(said)

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        """Mean over ranks, of a copy; whole numbers must have a whole one."""
        total = tensor.detach().cpu().clone()
        dist.all_reduce(total, group=self._control)
        return (total / self.n_ranks).to(tensor)

    def share_state(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Rank 0's tensors, in every rank; the others pass tensors of the same names, shapes and types."""
        found = {}
        for name, tensor in state.items():
            flat = tensor.detach().cpu().contiguous().flatten().clone()
            self._in_pieces(flat.view(torch.uint8), lambda piece: dist.broadcast(piece, 0, group=self._control))
            found[name] = flat.view(tensor.shape)
        return found

    def part_of(self, rows: pl.Series) -> pl.Series:
        """This rank's part of a list: in the order of ranks the parts are the list."""
        return self.parts_of(rows)[self.rank]

    def parts_of(self, rows: pl.Series) -> list[pl.Series]:
        """All ranks' parts of a list, of like size."""
        bounds = np.linspace(0, rows.len(), self.n_ranks + 1).round().astype(int)
        return [rows.slice(int(start), int(end - start)) for start, end in pairwise(bounds)]

    @staticmethod
    def _in_pieces(content: torch.Tensor, move: Callable[[torch.Tensor], Any]) -> None:
        for start in range(0, len(content), PIECE_BYTES):
            move(content[start : start + PIECE_BYTES])


def is_broken_connection(error: BaseException) -> bool:
    """Whether an error says that another rank is gone. torch has no class of its own for what gloo says."""
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("gloo", "NCCL", "onnection", "roken pipe"))


_met: list[Ranks] = []


def met() -> Ranks | None:
    """The ranks that this process works together with at the moment; None: it works alone."""
    return _met[0] if _met else None


def set_met(ranks: Ranks | None) -> None:
    """Note the ranks that this process works together with."""
    _met[:] = [] if ranks is None else [ranks]
