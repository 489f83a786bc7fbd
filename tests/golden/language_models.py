"""Golden cases of the language models that are no recurrent networks: Markov chain, window, latent state, convolutions.

Each case runs two ragged windows after one another: the first from a zero state, the second from the state that the first
left, computed symbol by symbol in the plainest way, so that the Rust models' shifted copies and doubled sums are compared
with something that has neither. Tensors of a case: `tokens<i>` and `targets<i> [B,T]` (V where a row has ended),
`lengths<i> [B]`, the parameters under their names, `logits<i> [B,T,V]` (0 on padded steps), `loss` (the sum of both means)
and `grad.<parameter>`.
"""

from typing import Callable

import torch
import torch.nn.functional as F

from operations import Values

VOCAB, BATCH, TIMES = 7, 3, (6, 5)
LENGTHS = ([6, 2, 4], [1, 5, 3])


def markov(p: dict[str, torch.Tensor]) -> Callable:
    """One symbol's logits from the symbols read so far in its row."""
    return lambda read: p["transition.weight"][read[-1]]


def window(p: dict[str, torch.Tensor], order: int) -> Callable:
    def logits(read: list[int]) -> torch.Tensor:
        channels = p["embedding.weight"].shape[1]
        seen = [p["embedding.weight"][i] for i in read[-order:]]
        zeros = [torch.zeros(channels, dtype=torch.float64)] * (order - len(seen))
        hidden = torch.tanh(F.linear(torch.cat(zeros + seen), p["hidden.weight"], p["hidden.bias"]))
        return F.linear(hidden, p["head.weight"], p["head.bias"])

    return logits


def latent(p: dict[str, torch.Tensor]) -> Callable:
    def logits(read: list[int]) -> torch.Tensor:
        a = torch.sigmoid(p["decay"])
        h = torch.zeros_like(a)
        for i in read:
            h = a * h + torch.sqrt(1 - a * a) * p["embedding.weight"][i]
        hidden = torch.tanh(F.linear(h, p["hidden.weight"], p["hidden.bias"]))
        return F.linear(hidden, p["head.weight"], p["head.bias"])

    return logits


def convolutions(p: dict[str, torch.Tensor], layers: int, growth: int) -> Callable:
    def logits(read: list[int]) -> torch.Tensor:
        x = p["embedding.weight"][torch.tensor(read)].T[None]  # [1, C, t]
        for l in range(layers):
            weight = p[f"layers.{l}.weight"]
            dilation = growth**l
            before = F.pad(x, ((weight.shape[2] - 1) * dilation, 0))
            x = x + F.glu(F.conv1d(before, weight, p[f"layers.{l}.bias"], dilation=dilation), dim=1)
        return F.linear(x[0, :, -1], p["head.weight"], p["head.bias"])

    return logits


def case(name: str, shapes: dict[str, tuple], model: Callable) -> dict[str, torch.Tensor]:
    values = Values(name)
    parameters = {k: values.uniform(-1.0, 1.0, *shape).requires_grad_(True) for k, shape in shapes.items()}
    predict = model(parameters)
    tensors, losses = {}, []
    read = [[] for _ in range(BATCH)]
    for i, (time, lengths) in enumerate(zip(TIMES, LENGTHS)):
        tokens, targets = values.ids(VOCAB, BATCH, time), values.ids(VOCAB, BATCH, time)
        rows = []
        for b, length in enumerate(lengths):
            tokens[b, length:], targets[b, length:] = 0, VOCAB
            row = torch.zeros(time, VOCAB, dtype=torch.float64)
            for t in range(length):
                read[b].append(int(tokens[b, t]))
                row[t] = predict(read[b])
            rows.append(row)
        logits = torch.stack(rows)
        losses.append(F.cross_entropy(logits.reshape(-1, VOCAB), targets.reshape(-1), ignore_index=VOCAB))
        tensors |= {f"tokens{i}": tokens, f"targets{i}": targets, f"lengths{i}": torch.tensor(lengths), f"logits{i}": logits}
    loss = sum(losses)
    loss.backward()
    tensors["loss"] = loss
    tensors |= parameters | {f"grad.{k}": p.grad for k, p in parameters.items()}
    return {f"{name}.{k}": tensor for k, tensor in tensors.items()}


def language_models() -> dict[str, torch.Tensor]:
    channels, hidden, state = 3, 4, 5
    head = {"head.weight": (VOCAB, hidden), "head.bias": (VOCAB,)}
    windows = {}
    for order in (1, 4):
        shapes = {
            "embedding.weight": (VOCAB, channels), "hidden.weight": (hidden, order * channels), "hidden.bias": (hidden,), **head
        }
        windows |= case(f"window{order}", shapes, lambda p: window(p, order))
    stacks = {}
    for name, kernel, layers, growth in (("conv", 3, 2, 1), ("conv_dilated", 2, 3, 2)):
        shapes = {"embedding.weight": (VOCAB, channels), "head.weight": (VOCAB, channels), "head.bias": (VOCAB,)}
        for l in range(layers):
            shapes |= {f"layers.{l}.weight": (2 * channels, channels, kernel), f"layers.{l}.bias": (2 * channels,)}
        stacks |= case(name, shapes, lambda p: convolutions(p, layers, growth))
    shapes = {
        "embedding.weight": (VOCAB, state), "decay": (state,),
        "hidden.weight": (hidden, state), "hidden.bias": (hidden,), **head,
    }
    return {
        **case("markov", {"transition.weight": (VOCAB, VOCAB)}, markov),
        **windows,
        **case("latent", shapes, latent),
        **stacks,
    }
