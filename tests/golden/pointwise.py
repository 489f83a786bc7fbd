"""The golden cases of pointwise operations. What a case is, says `operations.py`.

The Rust twin of this table is `tests/tests/operations/golden_pointwise.rs`: the same names, the same constants.
"""

from typing import Callable

import torch
import torch.nn.functional as F

from operations import Case, Values


def cases() -> list[Case]:
    """All cases, by operation."""
    found: list[Case] = []

    def case(operation: str, suffix: str, inputs: Callable[[Values], list[torch.Tensor]], function: Callable):
        name = operation + ("_" + suffix if suffix else "")
        found.append(Case(operation, name, inputs(Values(name)), function))

    def unary(operation: str, function: Callable, make: Callable[[Values], torch.Tensor]):
        case(operation, "", lambda v: [make(v)], function)

    given = lambda *values: lambda v: [torch.tensor(values).double()]

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
    gelu_tanh = lambda x: F.gelu(x, approximate="tanh")
    for operation, function in [("gelu", F.gelu), ("gelu_tanh", gelu_tanh), ("silu", F.silu)]:
        unary(operation, function, lambda v: v.normal(3, 5) * 2)
        case(operation, "extreme", extreme, function)
    case("swiglu", "", same, lambda a, b: F.silu(a) * b)
    unary("square", torch.square, lambda v: v.normal(3, 5))
    unary("abs", torch.abs, lambda v: v.away_from_zero(0.1, 3, 5))
    case("maximum", "", same, torch.maximum)
    case("maximum", "row", row, torch.maximum)
    case("minimum", "", same, torch.minimum)
    case("minimum", "row", row, torch.minimum)

    normal = lambda v: [v.normal(3, 5)]
    wide = lambda v: [v.normal(3, 5) * 2]
    case("recip", "", lambda v: [v.away_from_zero(0.5, 3, 5)], torch.reciprocal)
    turns = given(0.0, 1.5, 3.0, 100.0, -1000.0, 20000.0, -65535.0, 123456.0, 1234567.0, -7654321.0, 16777215.0)
    for operation, function in [("sin", torch.sin), ("cos", torch.cos)]:
        case(operation, "", lambda v: [v.normal(3, 5) * 4], function)
        case(operation, "large", turns, function)
    case("erf", "", wide, torch.erf)
    case("erf", "extreme", extreme, torch.erf)
    halves = given(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997, -0.75, 7.0, 8388609.0, -1e30)
    for operation, function in [("floor", torch.floor), ("ceil", torch.ceil), ("round", torch.round)]:
        case(operation, "", lambda v: [v.normal(3, 5) * 3], function)
        case(operation, "halves", halves, function)
    case("sign", "", normal, torch.sign)
    case("sign", "zero", given(-2.0, -0.0, 0.0, 1e-30, 3.0), torch.sign)
    case("clamp", "", normal, lambda x: x.clamp(-0.75, 0.875))
    case("clamp", "ends", given(-0.75, 0.875, -1.0, 1.0, 0.0), lambda x: x.clamp(-0.75, 0.875))
    case("clamp", "below", normal, lambda x: x.clamp(min=0.25))
    case("clamp", "crossed", normal, lambda x: x.clamp(0.5, -0.5))

    case("pow", "", lambda v: [v.uniform(0.2, 3.0, 3, 5), v.normal(3, 5)], torch.pow)
    case("pow", "row", lambda v: [v.uniform(0.2, 3.0, 2, 3, 5), v.normal(5)], torch.pow)
    # A negative base has no gradient for its exponent, so this one is a constant.
    whole = torch.tensor([3.0, -2.0, 2.0, 0.0, 1.0]).double()
    case("pow", "negative", lambda v: [v.away_from_zero(0.5, 3, 5)], lambda x: x.pow(whole))
    exponents = torch.tensor([0.0, 0.5, 1.0, 2.0, 3.0, -1.0, -0.5]).double()
    case("pow", "of_zero", lambda v: [torch.zeros(7).double(), exponents], torch.pow)
    positive = lambda v: [v.uniform(0.2, 3.0, 3, 5)]
    for name, exponent in [("two", 2.0), ("three", 3.0), ("four", 4.0), ("five", 5.0), ("inverse", -1.0), ("zero", 0.0)]:
        inputs = lambda v: [v.away_from_zero(0.5, 3, 5)]
        case("pow", name, inputs, lambda x, exponent=exponent: x.pow(exponent))
    for name, exponent in [("half", 0.5), ("minus_half", -0.5), ("fraction", 2.75)]:
        case("pow", name, positive, lambda x, exponent=exponent: x.pow(exponent))
    case("pow", "scalar_of_zero", given(0.0, 0.0), lambda x: x.pow(1.5))

    few = lambda v: [v.ids(3, 3, 5).double(), v.ids(3, 3, 5).double() + 0.0]
    compared = {"greater": torch.gt, "greater_equal": torch.ge, "less": torch.lt, "less_equal": torch.le, "equal": torch.eq}
    for operation, function in compared.items():
        case(operation, "", few, lambda a, b, function=function: function(a, b).double() * (a + 2.0))
    chosen = lambda c, a, b: torch.where(c != 0, a, b)
    bits = lambda v, *shape: v.ids(2, *shape).double()
    case("select", "", lambda v: [bits(v, 3, 5), v.normal(3, 5), v.normal(3, 5)], chosen)
    case("select", "row", lambda v: [bits(v, 3, 1), v.normal(2, 3, 5), v.normal(5)], chosen)
    inf = torch.inf
    hidden = [[1.0, 0.0, -2.0, 0.0, 1.0], [1.0, inf, 2.0, -inf, 3.0], [inf, 4.0, -inf, 5.0, 6.0]]
    case("select", "infinite", lambda v: list(torch.tensor(hidden).double()), chosen)

    slopes = [("leaky_relu", lambda x: F.leaky_relu(x, 0.25)), ("elu", lambda x: F.elu(x, 1.5)), ("selu", F.selu)]
    smooth = [("softplus", F.softplus), ("mish", F.mish), ("hard_swish", F.hardswish)]
    for operation, function in slopes + smooth:
        case(operation, "", wide, function)
        case(operation, "extreme", extreme, function)
    case("leaky_relu", "zero", given(-1.0, 0.0, 1.0), lambda x: F.leaky_relu(x, 0.25))
    case("hard_swish", "ends", given(-4.0, -3.0, -2.0, 2.0, 3.0, 4.0), F.hardswish)
    return found
