"""The golden cases of single operations: input values, and the same function in PyTorch.

A case is a name `<operation>` or `<operation>_<what is special>`, a list of inputs and a function of them. Every case
draws from a generator seeded by its own name, so a new case leaves the values of all others as they were. Inputs stay
away from kinks (0 for abs and relu, equal values for max) because there two right answers exist for a gradient.

The Rust twin of this table is `tests/tests/golden_operations.rs`: the same names, the same constants.
"""

import zlib
from dataclasses import dataclass
from typing import Callable

import torch
import torch.nn.functional as F


class Values:
    """Seeded values of one case; every float is exactly representable in float32."""

    def __init__(self, name: str):
        self.generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float32).double()

    def uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        raw = torch.rand(shape, generator=self.generator, dtype=torch.float32)
        return (raw * (high - low) + low).double()

    def away_from_zero(self, gap: float, *shape: int) -> torch.Tensor:
        raw = self.normal(*shape).float()
        return torch.where(raw < 0, raw - gap, raw + gap).double()

    def distinct(self, *shape: int) -> torch.Tensor:
        """A permutation of evenly spaced values: no two are equal."""
        count = torch.Size(shape).numel()
        order = torch.randperm(count, generator=self.generator)
        return (order.reshape(shape).float() * 0.125 - count / 16).double()

    def ids(self, below: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, below, shape, generator=self.generator)


@dataclass
class Case:
    """`function(*inputs)` gives a tensor or a tuple of them; integer inputs get no gradient."""

    operation: str
    name: str
    inputs: list[torch.Tensor]
    function: Callable


def torch_lstm(x_proj, w_hh, h0, c0, lengths):
    """torch.nn.LSTM itself, its input projection being the identity: [B,T,4H] -> y [B,T,H], h_n [B,H], c_n [B,H]."""
    hidden = w_hh.shape[1]
    zero = torch.zeros(4 * hidden, dtype=w_hh.dtype)
    flat = [torch.eye(4 * hidden, dtype=w_hh.dtype), w_hh, zero, zero]
    packed = torch.nn.utils.rnn.pack_padded_sequence(x_proj, lengths, batch_first=True, enforce_sorted=False)
    module = torch.nn.LSTM(4 * hidden, hidden, batch_first=True).double()
    names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    packed_y, (h_n, c_n) = torch.func.functional_call(module, dict(zip(names, flat)), (packed, (h0[None], c0[None])))
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(packed_y, batch_first=True, total_length=x_proj.shape[1])
    return y, h_n[0], c_n[0]


def cases() -> list[Case]:
    """All cases, in the order of the graph's list of operations."""
    found: list[Case] = []

    def case(operation: str, suffix: str, inputs: Callable[[Values], list[torch.Tensor]], function: Callable):
        name = operation + ("_" + suffix if suffix else "")
        found.append(Case(operation, name, inputs(Values(name)), function))

    def unary(operation: str, function: Callable, make: Callable[[Values], torch.Tensor]):
        case(operation, "", lambda v: [make(v)], function)

    same = lambda v: [v.normal(3, 5), v.normal(3, 5)]
    row = lambda v: [v.normal(2, 3, 5), v.normal(5)]
    column = lambda v: [v.normal(2, 3, 5), v.normal(3, 1)]
    divisor = lambda v: [v.normal(3, 5), v.away_from_zero(0.5, 3, 5)]
    case("add", "", same, torch.add)
    case("add", "row", row, torch.add)
    case("add", "column", column, torch.add)
    case("add", "scalar", lambda v: [v.normal(3, 5)], lambda x: x + 1.5)
    case("sub", "", same, torch.sub)
    case("sub", "row", row, torch.sub)
    case("sub", "from_scalar", lambda v: [v.normal(3, 5)], lambda x: 1.5 - x)
    case("mul", "", same, torch.mul)
    case("mul", "row", row, torch.mul)
    case("mul", "column", column, torch.mul)
    case("mul", "scalar", lambda v: [v.normal(3, 5)], lambda x: x * -2.5)
    case("div", "", divisor, torch.div)
    case("div", "row", lambda v: [v.normal(2, 3, 5), v.away_from_zero(0.5, 5)], torch.div)
    case("div", "of_scalar", lambda v: [v.away_from_zero(0.5, 3, 5)], lambda x: 1.5 / x)
    unary("neg", torch.neg, lambda v: v.normal(3, 5))
    unary("exp", torch.exp, lambda v: v.normal(3, 5))
    unary("ln", torch.log, lambda v: v.uniform(0.1, 5.0, 3, 5))
    unary("sqrt", torch.sqrt, lambda v: v.uniform(0.1, 5.0, 3, 5))
    extreme = lambda v: [torch.tensor([-1000.0, -100.0, -20.0, -0.0, 1e-6, 20.0, 100.0, 1000.0]).double()]
    for operation, function in [("tanh", torch.tanh), ("sigmoid", torch.sigmoid)]:
        unary(operation, function, lambda v: v.normal(3, 5) * 2)
        case(operation, "extreme", extreme, function)
    unary("relu", torch.relu, lambda v: v.away_from_zero(0.1, 3, 5))
    for operation, function in [("gelu", F.gelu), ("silu", F.silu)]:
        unary(operation, function, lambda v: v.normal(3, 5) * 2)
        case(operation, "extreme", extreme, function)
    unary("square", torch.square, lambda v: v.normal(3, 5))
    unary("abs", torch.abs, lambda v: v.away_from_zero(0.1, 3, 5))
    case("maximum", "", same, torch.maximum)
    case("maximum", "row", row, torch.maximum)
    case("minimum", "", same, torch.minimum)
    case("minimum", "row", row, torch.minimum)

    # The third shape of each leaves a part of every tile empty, whatever the tile.
    left, right = lambda x: x, lambda x: x.mT
    for operation, a, b in [("matmul", left, left), ("matmul_t", left, right), ("t_matmul", right, left)]:
        product = lambda x, y, a=a, b=b: a(x) @ b(y)
        stored = lambda x, y, a=a, b=b: [a(x).contiguous(), b(y).contiguous()]
        case(operation, "", lambda v, s=stored: s(v.normal(3, 4), v.normal(4, 5)), product)
        case(operation, "batched", lambda v, s=stored: s(v.normal(2, 3, 4), v.normal(2, 4, 5)), product)
        case(operation, "ragged", lambda v, s=stored: s(v.normal(9, 17), v.normal(17, 35)), product)
        if operation != "t_matmul":
            case(operation, "shared", lambda v, s=stored: s(v.normal(2, 3, 4), v.normal(4, 5)), product)

    cube = lambda v: [v.normal(3, 4, 5)]
    for axis in (0, 1, 2):
        case("sum", f"axis{axis}", cube, lambda x, axis=axis: x.sum(axis))
        case("mean", f"axis{axis}", cube, lambda x, axis=axis: x.mean(axis))
        case("max", f"axis{axis}", lambda v: [v.distinct(3, 4, 5)], lambda x, axis=axis: x.amax(axis))
    case("sum", "all", cube, lambda x: x.sum())
    case("mean", "all", cube, lambda x: x.mean())
    case("sum", "long", lambda v: [v.normal(2, 700)], lambda x: x.sum(1))

    case("reshape", "", cube, lambda x: x.reshape(6, 10))
    case("transpose", "", cube, lambda x: x.transpose(0, 2).contiguous())
    case("transpose", "inner", lambda v: [v.normal(2, 3, 4, 5)], lambda x: x.transpose(1, 2).contiguous())
    case("slice", "", cube, lambda x: x[:, 1:3].contiguous())
    case("slice", "last", cube, lambda x: x[..., 2:5].contiguous())
    case("pad", "", cube, lambda x: F.pad(x, (0, 0, 1, 2)))
    case("pad", "last", cube, lambda x: F.pad(x, (2, 1)))
    pair = lambda v: [v.normal(2, 3, 4), v.normal(2, 2, 4), v.normal(2, 1, 4)]
    case("concat", "", pair, lambda a, b, c: torch.cat([a, b, c], 1))
    case("concat", "last", lambda v: [v.normal(3, 4), v.normal(3, 2)], lambda a, b: torch.cat([a, b], 1))
    case("broadcast_to", "", lambda v: [v.normal(4)], lambda x: x.expand(2, 3, 4).contiguous())
    case("broadcast_to", "middle", lambda v: [v.normal(2, 1, 4)], lambda x: x.expand(2, 3, 4).contiguous())

    softmax = lambda x: x.softmax(-1)
    log_softmax = lambda x: x.log_softmax(-1)
    large = lambda v: [v.normal(3, 6) * 30 + 1000]
    for operation, function in [("softmax", softmax), ("log_softmax", log_softmax)]:
        case(operation, "", lambda v: [v.normal(2, 3, 7)], function)
        case(operation, "large", large, function)
        case(operation, "wide", lambda v: [v.normal(2, 300)], function)
    classes = lambda v: [v.normal(6, 5), v.ids(5, 6)]
    case("cross_entropy", "", classes, F.cross_entropy)
    case("cross_entropy", "large", lambda v: [large(v)[0], v.ids(6, 3)], F.cross_entropy)
    ignored = lambda v: [v.normal(6, 5), torch.tensor([1, 2, 0, 2, 4, 2])]
    case("cross_entropy", "ignore", ignored, lambda x, t: F.cross_entropy(x, t, ignore_index=2))
    repeated = lambda v: [v.normal(5, 4), torch.tensor([[1, 4, 1], [0, 1, 4]])]
    case("gather_rows", "", repeated, lambda table, ids: F.embedding(ids, table))
    # At p = 0 dropout is the identity; which elements it drops at p > 0 is this project's own choice.
    case("dropout", "", lambda v: [v.normal(3, 5)], lambda x: F.dropout(x, 0.0))

    def lstm(v: Values, batch: int, time: int, hidden: int, lengths: list[int]):
        states = [v.normal(batch, hidden), v.normal(batch, hidden)]
        weights = v.normal(4 * hidden, hidden).float() * 0.5
        return [v.normal(batch, time, 4 * hidden), weights.double(), *states, torch.tensor(lengths)]

    case("lstm", "", lambda v: lstm(v, 2, 3, 4, [3, 3]), torch_lstm)
    case("lstm", "ragged", lambda v: lstm(v, 5, 4, 3, [2, 4, 1, 3, 4]), torch_lstm)
    case("lstm", "batch_of_nine", lambda v: lstm(v, 9, 2, 5, [2, 1, 2, 2, 1, 2, 2, 2, 1]), torch_lstm)

    def attention(suffix: str, sizes: tuple[int, ...], more: Callable = lambda v: [], mask: Callable = None, **options):
        """q [B,Tq,H,D], k [B,Tk,Hkv,D], v [B,Tk,Hkv,Dv], then what `more` gives, which `mask` makes a mask of: [..,Tq,Tk],
        of booleans or added to the scores."""
        batch, heads, key_heads, queries, keys, width, value_width = sizes
        inputs = lambda v: [
            v.normal(batch, queries, heads, width),
            v.normal(batch, keys, key_heads, width),
            v.normal(batch, keys, key_heads, value_width),
            *more(v),
        ]

        def function(q, k, v, *rest):
            attn_mask = mask(*rest) if mask else None
            heads_first = [x.transpose(1, 2) for x in (q, k, v)]
            y = F.scaled_dot_product_attention(*heads_first, attn_mask=attn_mask, enable_gqa=True, **options)
            return y.transpose(1, 2).contiguous()

        def weights(q, k, *rest):
            shared = k.transpose(1, 2).repeat_interleave(heads // key_heads, 1)
            scores = q.transpose(1, 2) @ shared.mT / width**0.5
            added = mask(*rest) if mask else torch.zeros(queries, keys)
            if options.get("is_causal"):
                added = torch.ones(queries, keys, dtype=torch.bool).tril()
            scores = scores.masked_fill(~added, -torch.inf) if added.dtype == torch.bool else scores + added
            return scores.softmax(-1)

        case("attention", suffix, inputs, function)
        if not options.get("scale"):
            case("attention_weights", suffix, lambda v: inputs(v)[:2] + more(v), weights)

    apart = lambda queries, keys, start=0: torch.arange(keys) - torch.arange(queries)[:, None] - start
    attention("", (2, 3, 3, 5, 5, 4, 4))
    attention("causal", (2, 2, 2, 9, 9, 5, 5), is_causal=True)
    attention("cross", (2, 2, 2, 5, 35, 8, 3))
    attention("grouped", (2, 6, 2, 7, 7, 4, 4), is_causal=True)
    attention("scaled", (1, 2, 2, 6, 6, 4, 4), scale=0.3)
    attention("offset", (2, 2, 2, 4, 11, 4, 4), mask=lambda: apart(4, 11, 7) <= 0)
    attention("window", (1, 2, 2, 40, 40, 4, 4), mask=lambda: apart(40, 40).abs() <= 3)
    lengths = torch.tensor([6, 1, 3])
    below = lambda lengths: (torch.arange(6) < lengths[:, None])[:, None, None]
    attention("lengths", (3, 2, 2, 4, 6, 4, 4), lambda v: [lengths], below)
    attention("bias", (2, 3, 3, 5, 7, 4, 4), lambda v: [v.normal(3, 5, 7)], lambda bias: bias)
    attention("bias_of_rows", (2, 3, 3, 5, 7, 4, 4), lambda v: [v.normal(2, 1, 5, 7)], lambda bias: bias)
    slopes = lambda v: [torch.tensor([0.5, 0.25]).double()]
    linear = lambda slopes: -slopes[:, None, None] * apart(6, 6).abs()
    attention("slopes", (2, 2, 2, 6, 6, 4, 4), slopes, linear)
    relative = lambda table: table[:, apart(6, 8).clamp(-2, 2) + 2]
    attention("relative", (2, 2, 2, 6, 8, 4, 4), lambda v: [v.normal(2, 5)], relative)
    return found
