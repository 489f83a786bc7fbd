"""The golden cases of single operations that are not pointwise: input values, and the same function in PyTorch.

A case is a name `<operation>` or `<operation>_<what is special>`, a list of inputs and a function of them. Every case
draws from a generator seeded by its own name, so a new case leaves the values of all others as they were. Inputs stay
away from kinks (0 for abs and relu, equal values for max) because there two right answers exist for a gradient.

The Rust twin of this table is `tests/tests/operations/golden_operations.rs`: the same names, the same constants.
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


def torch_module(kind: str, inputs: int, hidden: int, **options) -> torch.nn.Module:
    """A recurrent module of PyTorch by this project's name for it."""
    modules = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    cell, _, activation = kind.partition("_")
    if activation:
        options["nonlinearity"] = activation
    return modules[cell](inputs, hidden, batch_first=True, **options).double()


def torch_layer(kind: str, reverse: bool, x_proj, w_hh, b_hn, states, lengths):
    """One direction of PyTorch's own module, its input projection being the identity: [B,T,G*H] -> y [B,T,H], h_n [B,H]
    and, of an LSTM, c_n. Both directions of the module get the same weights; the wanted one is handed back."""
    rows, hidden = w_hh.shape
    bias = torch.cat([torch.zeros(rows - len(b_hn), dtype=w_hh.dtype), b_hn])
    flat = {"weight_ih": torch.eye(rows, dtype=w_hh.dtype), "weight_hh": w_hh, "bias_ih": 0 * bias, "bias_hh": bias}
    module = torch_module(kind, rows, hidden, bidirectional=True)
    parameters = {f"{name}_l0{suffix}": v for name, v in flat.items() for suffix in ("", "_reverse")}
    packed = torch.nn.utils.rnn.pack_padded_sequence(x_proj, lengths, batch_first=True, enforce_sorted=False)
    both = tuple(torch.stack([state, state]) for state in states)
    packed_y, last = torch.func.functional_call(module, parameters, (packed, both if len(both) > 1 else both[0]))
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(packed_y, batch_first=True, total_length=x_proj.shape[1])
    last = last if isinstance(last, tuple) else (last,)
    return y.chunk(2, -1)[reverse].contiguous(), *(state[int(reverse)] for state in last)


def torch_packed(x, lengths):
    """The data of PyTorch's PackedSequence, with zeros on the rows that are left of B*T."""
    data = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False).data
    return F.pad(data, (0, 0, 0, x.shape[0] * x.shape[1] - len(data)))


def torch_unpacked(data, lengths, time: int):
    """Padded sequences from the rows of a PackedSequence."""
    like = torch.zeros(len(lengths), time, data.shape[1], dtype=data.dtype)
    packed = torch.nn.utils.rnn.pack_padded_sequence(like, lengths, batch_first=True, enforce_sorted=False)
    packed = packed._replace(data=data[: len(packed.data)])
    return torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True, total_length=time)[0]


def cases() -> list[Case]:
    """All cases, in the order of the graph's list of operations."""
    found: list[Case] = []

    def case(operation: str, suffix: str, inputs: Callable[[Values], list[torch.Tensor]], function: Callable):
        name = operation + ("_" + suffix if suffix else "")
        found.append(Case(operation, name, inputs(Values(name)), function))

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
    case("permute", "", cube, lambda x: x.permute(1, 2, 0).contiguous())
    case("permute", "patches", lambda v: [v.normal(2, 2, 3, 2, 2, 4)], lambda x: x.permute(0, 1, 3, 2, 4, 5).contiguous())
    case("permute", "around", lambda v: [v.normal(2, 3, 2, 2, 3, 2)], lambda x: x.permute(5, 4, 3, 2, 1, 0).contiguous())
    case("slice", "", cube, lambda x: x[:, 1:3].contiguous())
    case("slice", "last", cube, lambda x: x[..., 2:5].contiguous())
    case("slice_step", "", cube, lambda x: x[:, ::2].contiguous())
    case("slice_step", "last", cube, lambda x: x[..., 1:5:3].contiguous())
    case("slice_step", "back", cube, lambda x: x.flip(1)[:, ::3].contiguous())
    case("flip", "", cube, lambda x: torch.flip(x, (1,)))
    case("flip", "two", cube, lambda x: torch.flip(x, (0, 2)))
    case("windows", "", cube, lambda x: x.unfold(1, 3, 1).contiguous())
    case("windows", "step", lambda v: [v.normal(2, 9, 3)], lambda x: x.unfold(1, 4, 2).contiguous())
    case("windows", "apart", lambda v: [v.normal(2, 3, 9)], lambda x: x.unfold(-1, 2, 4).contiguous())
    case("windows", "dilated", lambda v: [v.normal(2, 9, 3)], lambda x: x.unfold(1, 5, 1)[..., ::2].contiguous())
    case("pad", "", cube, lambda x: F.pad(x, (0, 0, 1, 2)))
    case("pad", "last", cube, lambda x: F.pad(x, (2, 1)))
    case("pad_with", "", cube, lambda x: F.pad(x, (0, 0, 1, 2), value=-1.5))
    case("pad_with", "last", cube, lambda x: F.pad(x, (2, 1), value=3.5))
    case("tile", "", lambda v: [v.normal(2, 3)], lambda x: torch.tile(x, (2, 3)))
    case("tile", "repeat", lambda v: [v.normal(2, 3)], lambda x: x.repeat(4, 2, 1))
    pair = lambda v: [v.normal(2, 3, 4), v.normal(2, 2, 4), v.normal(2, 1, 4)]
    case("concat", "", pair, lambda a, b, c: torch.cat([a, b, c], 1))
    case("concat", "last", lambda v: [v.normal(3, 4), v.normal(3, 2)], lambda a, b: torch.cat([a, b], 1))
    many = lambda v: [v.normal(2, 1 + i % 3, 2) for i in range(9)]
    case("concat", "many", many, lambda *parts: torch.cat(parts, 1))
    four = lambda v: [v.normal(2, 2, n, 3) for n in (1, 2, 4)]
    case("concat", "four", four, lambda *parts: torch.cat(parts, 2))
    slices = lambda x: torch.cat([x[:, 0:3], x[:, 1:4], x[:, 2:5]], 2)
    case("concat", "slices", lambda v: [v.normal(2, 5, 3)], slices)
    case("broadcast_to", "", lambda v: [v.normal(4)], lambda x: x.expand(2, 3, 4).contiguous())
    case("broadcast_to", "middle", lambda v: [v.normal(2, 1, 4)], lambda x: x.expand(2, 3, 4).contiguous())

    softmax = lambda x: x.softmax(-1)
    log_softmax = lambda x: x.log_softmax(-1)
    large = lambda v: [v.normal(3, 6) * 30 + 1000]
    for operation, function in [("softmax", softmax), ("log_softmax", log_softmax)]:
        case(operation, "", lambda v: [v.normal(2, 3, 7)], function)
        case(operation, "large", large, function)
        case(operation, "wide", lambda v: [v.normal(2, 300)], function)
    scaled = lambda v: [v.normal(2, 3, 7), v.normal(7), v.normal(7)]
    layer_norm = lambda x, w=None, b=None: F.layer_norm(x, x.shape[-1:], w, b, 1e-5)
    rms_norm = lambda x, w=None: F.rms_norm(x, x.shape[-1:], w, 1e-6)
    case("layer_norm", "", scaled, layer_norm)
    case("layer_norm", "plain", lambda v: [v.normal(3, 300) * 2 + 30], layer_norm)
    case("rms_norm", "", lambda v: scaled(v)[:2], rms_norm)
    case("rms_norm", "plain", lambda v: [v.normal(3, 300) * 2], rms_norm)
    classes = lambda v: [v.normal(6, 5), v.ids(5, 6)]
    case("cross_entropy", "", classes, F.cross_entropy)
    case("cross_entropy", "large", lambda v: [large(v)[0], v.ids(6, 3)], F.cross_entropy)
    ignored = lambda v: [v.normal(6, 5), torch.tensor([1, 2, 0, 2, 4, 2])]
    case("cross_entropy", "ignore", ignored, lambda x, t: F.cross_entropy(x, t, ignore_index=2))
    smoothed = lambda x, t, **o: F.cross_entropy(x, t, label_smoothing=0.1, **o)
    case("cross_entropy", "smoothed", classes, smoothed)
    case("cross_entropy", "smoothed_ignore", ignored, lambda x, t: smoothed(x, t, ignore_index=2))
    repeated = lambda v: [v.normal(5, 4), torch.tensor([[1, 4, 1], [0, 1, 4]])]
    case("gather_rows", "", repeated, lambda table, ids: F.embedding(ids, table))
    behind = lambda v: [v.normal(3, 6, 4), v.normal(3, 2, 4), torch.tensor([4, 0, 1])]

    def append(cache, rows, first):
        places = (first[:, None] + torch.arange(rows.shape[1]))[..., None].expand_as(rows)
        return cache.scatter(1, places, rows)

    case("append", "", behind, append)
    # At p = 0 dropout is the identity; which elements it drops at p > 0 is this project's own choice.
    case("dropout", "", lambda v: [v.normal(3, 5)], lambda x: F.dropout(x, 0.0))

    # PyTorch leaves the order of equal lengths open, so there are none.
    distinct = torch.tensor([3, 5, 1, 4])
    case("pack", "", lambda v: [v.normal(4, 5, 3), distinct], torch_packed)
    case("unpack", "", lambda v: [v.normal(20, 3), distinct], lambda x, lengths: torch_unpacked(x, lengths, 5))

    def layer(kind: str, suffix: str, sizes: tuple[int, int, int], lengths: list[int], reverse: bool = False):
        """Inputs: x_proj [B,T,G*H], w_hh [G*H,H], of a GRU b_hn [H], h0 and of an LSTM c0 [B,H], lengths [B]."""
        (operation, _, activation), (batch, time, hidden) = kind.partition("_"), sizes
        rows = {"rnn": 1, "lstm": 4, "gru": 3}[operation] * hidden

        def inputs(v: Values):
            states = [v.normal(batch, hidden) for _ in range(2 if operation == "lstm" else 1)]
            weights = (v.normal(rows, hidden).float() * 0.5).double()
            bias = [v.normal(hidden)] if operation == "gru" else []
            return [v.normal(batch, time, rows), weights, *bias, *states, torch.tensor(lengths)]

        def function(x_proj, w_hh, *rest):
            bias, states = (rest[0], rest[1:-1]) if operation == "gru" else (w_hh.new_zeros(0), rest[:-1])
            return torch_layer(kind, reverse, x_proj, w_hh, bias, states, rest[-1])

        case(operation, "_".join(filter(None, [activation, suffix])), inputs, function)

    for kind in ("rnn_tanh", "rnn_relu", "lstm", "gru"):
        layer(kind, "", (2, 3, 4), [3, 3])
        layer(kind, "ragged", (5, 4, 3), [2, 4, 1, 3, 4])
        layer(kind, "ragged_reverse", (5, 4, 3), [2, 4, 1, 3, 4], reverse=True)
        layer(kind, "batch_of_nine", (9, 2, 5), [2, 1, 2, 2, 1, 2, 2, 2, 1])

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
