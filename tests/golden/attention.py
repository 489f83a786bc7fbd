"""Golden cases of attention over an encoder's outputs, for each score.

Written sentence by sentence over the true positions alone, without masks, as the papers' formulas stand there. Tensors of a
case: `queries [B,T,Q]`, `values [B,S,M]`, `lengths [B]`, the parameters under their names, `context [B,T,M]`, `weights
[B,T,S]` (0 beyond the length), `weight_context`, `weight_weights`, `loss` and `grad.*`.
"""

import torch

from operations import Values


def scores(score: str, p: dict[str, torch.Tensor], q: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    """Score of one query with each of the positions m [S, M]."""
    if score == "dot":
        return torch.stack([q @ position for position in m])
    if score == "general":
        return torch.stack([q @ (p["key.weight"] @ position) for position in m])
    return torch.stack(
        [(p["score.weight"] @ torch.tanh(p["query.weight"] @ q + p["key.weight"] @ position)).squeeze(0) for position in m]
    )


def attend(score: str, p: dict[str, torch.Tensor], q: torch.Tensor, m: torch.Tensor):
    """One query over the true positions m [S, M]: context [M], weights [S]."""
    weights = torch.softmax(scores(score, p, q, m), 0)
    return weights @ m, weights


def parameter_shapes(score: str, query: int, memory: int, width: int) -> dict[str, tuple]:
    return {
        "dot": {},
        "general": {"key.weight": (query, memory)},
        "additive": {"query.weight": (width, query), "key.weight": (width, memory), "score.weight": (1, width)},
    }[score]


def case(score: str, query: int, memory: int, width: int, steps: int, positions: int, lengths: list[int]):
    values = Values("attention_" + score)
    shapes = {
        "queries": (len(lengths), steps, query), "values": (len(lengths), positions, memory),
        **parameter_shapes(score, query, memory, width),
    }
    leaves = {k: values.uniform(-1.0, 1.0, *shape).requires_grad_(True) for k, shape in shapes.items()}
    rows = []
    for b, length in enumerate(lengths):
        told = [attend(score, leaves, q, leaves["values"][b, :length]) for q in leaves["queries"][b]]
        padded = [torch.nn.functional.pad(weights, (0, positions - length)) for _, weights in told]
        rows.append((torch.stack([context for context, _ in told]), torch.stack(padded)))
    outputs = {"context": torch.stack([r[0] for r in rows]), "weights": torch.stack([r[1] for r in rows])}
    tensors = {"lengths": torch.tensor(lengths), **outputs, **leaves}
    loss = 0
    for name, output in outputs.items():
        tensors["weight_" + name] = values.normal(*output.shape)
        loss = loss + (output * tensors["weight_" + name]).sum()
    loss.backward()
    tensors |= {"loss": loss} | {f"grad.{k}": leaf.grad for k, leaf in leaves.items()}
    return {f"{score}.{k}": tensor for k, tensor in tensors.items()}


def attention() -> dict[str, torch.Tensor]:
    return {
        **case("dot", query=6, memory=6, width=0, steps=3, positions=5, lengths=[5, 1, 3]),
        **case("general", query=4, memory=7, width=0, steps=3, positions=5, lengths=[2, 5, 4]),
        # More pairs than operands, so that the sums of all pairs are made inside the kernels that reduce them.
        **case("additive", query=4, memory=7, width=6, steps=12, positions=11, lengths=[11, 1, 4]),
    }
