"""Golden cases of optimizers: twenty steps of each, from the same parameters and by the same gradients.

The loss of step i is the sum over parameters of sin(p) * weights[i], so the gradient, cos(p) * weights[i], follows from the
parameters. `initial.<parameter>`, `weights.<parameter>` [STEPS, ...], and `<case>.<parameter>` [STEPS, ...], the parameter after
each step. The Rust twin is `tests/tests/training/golden_optimizers.rs`: the same cases, the same settings.

Lion is not in PyTorch; it is written out from algorithm 2 of its paper (arXiv 2302.06675). PyTorch's Muon computes its iteration in
bfloat16; here that is the precision of everything else.
"""

import torch

from operations import Values

STEPS = 20
SHAPES = {"wide": (3, 5), "tall": (6, 4), "vector": (7,), "cube": (2, 3, 4)}


class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr, betas, weight_decay):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                update = torch.sign(beta1 * m + (1 - beta1) * p.grad)
                p.sub_(group["lr"] * (update + group["weight_decay"] * p))
                m.copy_(beta2 * m + (1 - beta2) * p.grad)


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon for matrices, AdamW for the rest."""

    def __init__(self, params, lr, adam_lr, weight_decay, **muon):
        params = list(params)
        super().__init__(params, {})
        matrices, rest = [p for p in params if p.ndim == 2], [p for p in params if p.ndim != 2]
        self.parts = [
            torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, **muon),
            torch.optim.AdamW(rest, lr=lr * adam_lr, weight_decay=weight_decay, eps=1e-4),
        ]

    def step(self):
        for part in self.parts:
            part.step()


# eps is far above the usual: with a tiny one the first steps are the gradient's sign, which turns its rounding into a whole step.
CASES = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd_decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1),
    "sgd_momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    "sgd_dampening": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, dampening=0.5),
    "sgd_nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.03, betas=(0.9, 0.98), eps=1e-4, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.03, betas=(0.9, 0.98), eps=1e-4, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.02, alpha=0.95, eps=1e-3, weight_decay=0.05),
    "rmsprop_centered": lambda p: torch.optim.RMSprop(p, lr=0.02, alpha=0.95, eps=1e-2, momentum=0.8, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(
        p, lr=0.1, lr_decay=0.02, weight_decay=0.05, initial_accumulator_value=0.1, eps=1e-4
    ),
    "lion": lambda p: Lion(p, lr=0.02, betas=(0.9, 0.99), weight_decay=0.1),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=0.1, eps=(1e-4, 1e-3), d=1.0, weight_decay=0.05),
    "muon": lambda p: MuonWithAdamW(p, lr=0.05, adam_lr=0.5, weight_decay=0.1, momentum=0.9, nesterov=True),
    "muon_plain": lambda p: MuonWithAdamW(p, lr=0.05, adam_lr=1.0, weight_decay=0.0, momentum=0.9, nesterov=False),
}


def optimizers() -> dict[str, torch.Tensor]:
    values = Values("optimizers")
    initial = {name: values.uniform(-1.0, 1.0, *shape) for name, shape in SHAPES.items()}
    weights = {name: values.normal(STEPS, *shape) for name, shape in SHAPES.items()}
    tensors = {f"initial.{name}": p for name, p in initial.items()}
    tensors |= {f"weights.{name}": w for name, w in weights.items()}
    whole, torch.bfloat16 = torch.bfloat16, torch.float64
    try:
        for case, make in CASES.items():
            params = {name: torch.nn.Parameter(p.detach().clone()) for name, p in initial.items()}
            optimizer = make(params.values())
            after = {name: [] for name in params}
            for step in range(STEPS):
                for p in params.values():
                    p.grad = None
                sum((p.sin() * weights[name][step]).sum() for name, p in params.items()).backward()
                optimizer.step()
                for name, p in params.items():
                    after[name].append(p.detach().clone())
            tensors |= {f"{case}.{name}": torch.stack(steps) for name, steps in after.items()}
    finally:
        torch.bfloat16 = whole
    return tensors
