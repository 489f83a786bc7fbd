"""Golden cases of losses: PyTorch's functions, with each reduction, weights and masks, and their gradients.

Tensors of a case: what is differentiated (`a`, `b`, `logits`), what is not (`target`, `weight`, `classes`, `labels`), the result
`y`, the weights `weight_y` that the loss sums it with, `loss` and `grad.<leaf>`. The Rust twin is
`tests/tests/models/golden_losses.rs`.
"""

import torch
import torch.nn.functional as F

from operations import Values


def finish(name: str, leaves: dict, fixed: dict, y: torch.Tensor, values: Values) -> dict[str, torch.Tensor]:
    weight = values.normal(*y.shape) if y.dim() else torch.ones((), dtype=torch.float64)
    loss = (y * weight).sum()
    loss.backward()
    tensors = leaves | fixed | {"y": y, "weight_y": weight, "loss": loss}
    tensors |= {f"grad.{k}": leaf.grad for k, leaf in leaves.items()}
    return {f"{name}.{k}": tensor for k, tensor in tensors.items()}


def leaf(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone().requires_grad_(True)


def regression(kind: str, reduction: str, weighted: bool) -> dict[str, torch.Tensor]:
    name = f"{kind}_{reduction}" + ("_weighted" if weighted else "")
    values = Values("loss_" + name)
    a, target = leaf(values.normal(3, 4)), values.normal(3, 4)
    function = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": lambda *x, **k: F.huber_loss(*x, delta=0.75, **k)}[kind]
    if not weighted:
        return finish(name, {"a": a}, {"target": target}, function(a, target, reduction=reduction), values)
    # One weight a row, the second 0.
    weight = torch.tensor([[0.5], [0.0], [2.0]], dtype=torch.float64)
    losses = function(a, target, reduction="none") * weight
    y = {"none": losses, "sum": losses.sum(), "mean": losses.sum() / weight.expand(3, 4).sum()}[reduction]
    return finish(name, {"a": a}, {"target": target, "weight": weight}, y, values)


def classes(name: str, reduction: str, weights: bool, smoothing: float, ignored: int | None) -> dict[str, torch.Tensor]:
    """Targets [2, 5] of 4 classes; `ignored` is a class, or 4, which is none. PyTorch has classes second."""
    values = Values("loss_classes_" + name)
    logits = leaf(values.normal(2, 5, 4))
    target = values.ids(4 if ignored is None else 5, 2, 5) if ignored != 1 else values.ids(4, 2, 5)
    if ignored is not None:
        target[0, 1] = ignored
    of_classes = values.uniform(0.25, 2.0, 4)
    y = F.cross_entropy(
        logits.transpose(1, 2), target, weight=of_classes if weights else None, reduction=reduction,
        label_smoothing=smoothing, ignore_index=-100 if ignored is None else ignored,
    )
    return finish(f"classes_{name}", {"logits": logits}, {"target": target, "classes": of_classes}, y, values)


def bce(name: str, reduction: str, positive: bool) -> dict[str, torch.Tensor]:
    values = Values("loss_bce_" + name)
    logits = values.normal(3, 4) * 3.0
    # Where a naive form overflows or has no derivative.
    logits[0, 0], logits[0, 1], logits[0, 2] = 120.0, -120.0, 0.0
    logits, labels = leaf(logits.float().double()), (values.normal(3, 4) > 0).double()
    weight = values.uniform(0.5, 3.0, 4)
    y = F.binary_cross_entropy_with_logits(
        logits, labels, reduction=reduction, pos_weight=weight if positive else None
    )
    return finish(f"bce_{name}", {"logits": logits}, {"target": labels, "positive": weight}, y, values)


def cosine(reduction: str) -> dict[str, torch.Tensor]:
    values = Values("loss_cosine_" + reduction)
    a, b = leaf(values.normal(6, 3)), leaf(values.normal(6, 3))
    labels = torch.tensor([1.0, -1.0, 1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
    y = F.cosine_embedding_loss(a, b, labels, margin=0.1, reduction=reduction)
    return finish(f"cosine_{reduction}", {"a": a, "b": b}, {"labels": labels}, y, values)


def contrastive() -> dict[str, torch.Tensor]:
    values = Values("loss_contrastive")
    a, b = leaf(values.normal(4, 3)), leaf(values.normal(4, 3))
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / 0.5
    targets = torch.arange(4)
    y = (F.cross_entropy(scores, targets) + F.cross_entropy(scores.T, targets)) / 2
    return finish("contrastive", {"a": a, "b": b}, {}, y, values)


def ctc(reduction: str) -> dict[str, torch.Tensor]:
    """One target is empty; the mean divides by the number of labels, and by 1 where there is none."""
    values = Values("loss_ctc_" + reduction)
    logits = leaf(values.normal(3, 6, 4))
    fixed = {"target": torch.tensor([[1, 2, 2], [3, 0, 0], [1, 1, 1]]), "steps": torch.tensor([6, 4, 5]), "labels": torch.tensor([3, 1, 0])}
    y = F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), *fixed.values(), reduction=reduction)
    return finish(f"ctc_{reduction}", {"logits": logits}, fixed, y, values)


def losses() -> dict[str, torch.Tensor]:
    tensors = {}
    for kind in ["mse", "mae", "huber"]:
        for reduction in ["mean", "sum", "none"]:
            tensors |= regression(kind, reduction, False) | regression(kind, reduction, True)
    for reduction in ["mean", "sum", "none"]:
        tensors |= ctc(reduction)
        tensors |= classes(reduction, reduction, True, 0.0, None) | cosine(reduction) | bce(reduction, reduction, False)
    tensors |= classes("plain", "mean", False, 0.1, 4)
    tensors |= classes("ignored_class", "mean", True, 0.0, 1)
    tensors |= classes("ignored_none", "mean", True, 0.0, 4)
    tensors |= classes("smoothed", "mean", True, 0.1, None)
    tensors |= classes("smoothed_ignored", "mean", True, 0.1, 4)
    tensors |= classes("smoothed_each", "none", True, 0.1, 1)
    tensors |= bce("positive", "mean", True)
    return tensors | contrastive()
