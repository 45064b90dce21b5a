"""Metrics as values, and as Prometheus reads them. Source: Prometheus' text exposition format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]
"""What the name goes on with, the labels, the value"""


class Family(NamedTuple):
    """Samples of one name. A counter's name gets `_total` when it is written."""

    name: str
    kind: str
    help: str
    samples: Sequence[Sample]

    @property
    def written(self) -> str:
        """The name of its samples."""
        return f"{self.name}_total" if self.kind == COUNTER else self.name


def gauge(name: str, help: str, samples: Iterable[tuple[Labels, float]]) -> Family:
    """What is so now."""
    return Family(name, GAUGE, help, [("", labels, value) for labels, value in samples])


def histogram(name: str, help: str, spreads: Iterable[tuple[Labels, Sequence[float], Sequence[int], float]]) -> Family:
    """Of each spread its labels, the upper edges, how many values came up to each (and above the last), their sum."""
    samples: list[Sample] = []
    for labels, edges, counts, total in spreads:
        so_far = 0
        for edge, count in zip((*(repr(float(edge)) for edge in edges), "+Inf"), counts, strict=True):
            so_far += count
            samples.append(("_bucket", {**labels, "le": edge}, so_far))
        samples += [("_sum", labels, total), ("_count", labels, so_far)]
    return Family(name, HISTOGRAM, help, samples)


def exposition(families: Iterable[Family]) -> str:
    """All of it, as Prometheus reads it."""
    return "".join(map(_family, families))


def _family(family: Family) -> str:
    name = family.written
    lines = [f"# HELP {name} {_escaped(family.help)}", f"# TYPE {name} {family.kind}"]
    for suffix, labels, value in family.samples:
        said = ",".join(f'{label}="{_escaped(text, quote=True)}"' for label, text in labels.items())
        lines.append(f"{name}{suffix}{'{' + said + '}' if said else ''} {_number(value)}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _escaped(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n").encode(errors="replace").decode()
    return text.replace('"', '\\"') if quote else text
