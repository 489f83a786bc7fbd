"""Golden cases of convolution along time: `torch.nn.Conv1d` itself with each padding, dilation, stride and groups, and the window tagger.

Tensors of a layer's case: `x [B,T,C]` (torch's has channels before time), the parameters under their names in PyTorch, `y`
and the weights `weight_y` that the loss sums it with, `loss` and `grad.<leaf>`. The tagger's rows are ragged and run alone:
`tokens [B,T]`, `lengths [B]`, `y [B,T,K]` is 0 on padded steps.
"""

import torch
import torch.nn.functional as F
from torch import nn

from operations import Values


def finish(name: str, tensors: dict, leaves: dict, y: torch.Tensor, values: Values) -> dict[str, torch.Tensor]:
    tensors |= {"y": y, "weight_y": values.normal(*y.shape)}
    tensors["loss"] = (y * tensors["weight_y"]).sum()
    tensors["loss"].backward()
    tensors |= leaves | {f"grad.{k}": leaf.grad for k, leaf in leaves.items()}
    return {f"{name}.{k}": tensor for k, tensor in tensors.items()}


def layer(name: str, padding: str, kernel: int, dilation: int, time: int) -> dict[str, torch.Tensor]:
    values = Values("conv1d_" + name)
    rows, channels, output = 2, 3, 4
    beyond = "same" if padding == "same" else 0
    module = nn.Conv1d(channels, output, kernel, dilation=dilation, padding=beyond).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(values.uniform(-1.0, 1.0, *parameter.shape))
    x = values.normal(rows, time, channels).requires_grad_(True)
    before = F.pad(x.mT, ((kernel - 1) * dilation, 0)) if padding == "causal" else x.mT
    return finish(name, {}, {"x": x} | dict(module.named_parameters()), module(before).mT, values)


def strided(
    name: str, channels: int, output: int, kernel: int, time: int, around: tuple[int, int] = (0, 0), **options
) -> dict[str, torch.Tensor]:
    """`options` are those of `nn.Conv1d`: stride, dilation, groups, bias."""
    values = Values("conv1d_" + name)
    module = nn.Conv1d(channels, output, kernel, **options).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(values.uniform(-1.0, 1.0, *parameter.shape))
    x = values.normal(2, time, channels).requires_grad_(True)
    return finish(name, {}, {"x": x} | dict(module.named_parameters()), module(F.pad(x.mT, around)).mT, values)


def tagger(name: str, radius: int) -> dict[str, torch.Tensor]:
    values = Values(name)
    vocab, channels, hidden, labels, time, lengths = 7, 3, 4, 5, 6, [6, 2, 4]
    shapes = {
        "embedding.weight": (vocab, channels),
        "hidden.weight": (hidden, channels, 2 * radius + 1), "hidden.bias": (hidden,),
        "head.weight": (labels, hidden), "head.bias": (labels,),
    }
    p = {k: values.uniform(-1.0, 1.0, *shape).requires_grad_(True) for k, shape in shapes.items()}
    tokens = values.ids(vocab, len(lengths), time)
    rows = []
    for row, length in zip(tokens, lengths):
        x = p["embedding.weight"][row[:length]].T
        h = torch.tanh(F.conv1d(x, p["hidden.weight"], p["hidden.bias"], padding="same")).T
        rows.append(F.pad(F.linear(h, p["head.weight"], p["head.bias"]), (0, 0, 0, time - length)))
    tensors = {"tokens": tokens, "lengths": torch.tensor(lengths)}
    return finish(name, tensors, p, torch.stack(rows), values)


def convolution() -> dict[str, torch.Tensor]:
    return {
        **layer("valid", "valid", 3, 1, 5),
        **layer("valid_dilated", "valid", 3, 2, 7),
        **layer("same", "same", 3, 1, 5),
        **layer("same_even", "same", 4, 1, 5),
        **layer("same_dilated", "same", 2, 3, 6),
        **layer("causal", "causal", 3, 1, 5),
        **layer("causal_dilated", "causal", 3, 2, 5),
        **layer("one", "same", 1, 1, 4),
        **strided("strided", 3, 4, 3, 8, stride=2),
        **strided("strided_padded", 3, 4, 4, 7, (1, 2), stride=3, dilation=2),
        **strided("strided_causal", 3, 4, 3, 6, (4, 0), stride=2, dilation=2),
        **strided("without_bias", 3, 4, 3, 5, (2, 2), bias=False),
        **strided("grouped", 6, 4, 3, 6, (1, 1), groups=2),
        **strided("grouped_strided", 6, 9, 2, 9, stride=2, dilation=3, groups=3, bias=False),
        **strided("depthwise", 5, 5, 3, 6, (1, 1), groups=5),
        **strided("depthwise_strided", 4, 4, 4, 11, (3, 0), stride=2, dilation=2, groups=4),
        **strided("depthwise_multiplied", 4, 8, 3, 5, (2, 0), groups=4),
        **strided("depthwise_long", 4, 4, 9, 13, (4, 4), stride=2, groups=4),
        **strided("depthwise_long_multiplied", 2, 6, 9, 10, (3, 2), groups=2),
        **tagger("tagger", 2),
    }
