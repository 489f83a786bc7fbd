"""The golden cases of reductions over several axes, running sums, and what indices pick.

As in `operations.py`, whose form they have; they lie in a file of their own, `reductions.safetensors`. An index has no
gradient, so the cases of `argmax` and `argmin` multiply by it.

The Rust twin of this table is `tests/tests/operations/golden_reductions.rs`.
"""

from typing import Callable

import torch
import torch.nn.functional as F

from operations import Case, Values


def cases() -> list[Case]:
    found: list[Case] = []

    def case(operation: str, suffix: str, inputs: Callable[[Values], list[torch.Tensor]], function: Callable):
        name = operation + ("_" + suffix if suffix else "")
        found.append(Case(operation, name, inputs(Values(name)), function))

    cube = lambda v: [v.normal(3, 4, 5)]
    distinct = lambda v: [v.distinct(3, 4, 5)]
    for operation, inputs, function in [
        ("sum", cube, torch.sum), ("mean", cube, torch.mean), ("max", distinct, torch.amax), ("min", distinct, torch.amin),
        ("logsumexp", cube, torch.logsumexp),
    ]:
        case(operation, "axes", inputs, lambda x, f=function: f(x, (0, 1)))
        case(operation, "axes_apart", inputs, lambda x, f=function: f(x, (2, 0)))
        case(operation, "kept", inputs, lambda x, f=function: f(x, (0, 2), keepdim=True))
    for axis in (0, 1, 2):
        case("min", f"axis{axis}", distinct, lambda x, axis=axis: x.amin(axis))
        case("prod", f"axis{axis}", cube, lambda x, axis=axis: x.prod(axis))
        case("logsumexp", f"axis{axis}", cube, lambda x, axis=axis: x.logsumexp(axis))
        case("cumsum", f"axis{axis}", cube, lambda x, axis=axis: x.cumsum(axis))
        case("argmax", f"axis{axis}", cube, lambda x, axis=axis: x * x.argmax(axis, keepdim=True))
        case("argmin", f"axis{axis}", cube, lambda x, axis=axis: x * x.argmin(axis, keepdim=True))
    few = lambda v: [v.ids(3, 4, 7).double()]
    case("max", "tied", few, lambda x: x.amax((0, 1)))
    case("min", "tied", few, lambda x: x.amin(1))
    case("argmax", "tied", few, lambda x: x * x.argmax(1, keepdim=True))
    case("argmin", "tied", few, lambda x: x * x.argmin(1, keepdim=True))
    case("argmax", "all", cube, lambda x: x * x.argmax())
    case("prod", "kept", cube, lambda x: x.prod(1, keepdim=True))
    case("prod", "all", lambda v: [v.uniform(0.5, 1.5, 3, 4)], lambda x: x.prod())
    # Rows of no zero, of one and of two.
    zeros = torch.tensor([[1.0, 1, 1, 1], [1, 0, 1, 1], [0, 1, 1, 0]]).double()
    case("prod", "zeros", lambda v: [v.away_from_zero(0.2, 3, 4) * zeros], lambda x: x.prod(1))
    case("logsumexp", "large", lambda v: [v.normal(3, 6) * 30 + 1000], lambda x: x.logsumexp(-1))
    hidden = torch.tensor([[0.0, -torch.inf, 0, 0], [-torch.inf, -torch.inf, -torch.inf, 0]]).double()
    case("logsumexp", "hidden", lambda v: [v.normal(2, 4) + hidden], lambda x: x.logsumexp(-1))
    case("cumsum", "long", lambda v: [v.normal(2, 700)], lambda x: x.cumsum(1))
    for axis, shape in [(0, (5, 4, 5)), (1, (3, 2, 5)), (2, (3, 4, 1))]:
        picks = lambda v, axis=axis, shape=shape: [v.normal(3, 4, 5), v.ids((3, 4, 5)[axis], *shape)]
        case("gather", f"axis{axis}", picks, lambda x, index, axis=axis: x.gather(axis, index))
    smaller = lambda v: [v.normal(3, 4, 5), v.ids(4, 2, 6, 3)]
    case("gather", "smaller", smaller, lambda x, index: x.gather(1, index))
    classes = lambda v: [v.normal(5, 4), v.ids(5, 2, 3)]
    case("one_hot", "", classes, lambda x, ids: F.one_hot(ids, 5).double() @ x)
    return found
