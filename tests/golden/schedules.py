"""Golden cases of learning rates over time: PyTorch's schedulers around an optimizer whose rate is 1.

`<schedule>` [STEPS] holds the rate of each update; `plateau.values` what was measured after each, and `plateau` the rate that
was set then. The Rust twin is `tests/tests/training/golden_schedules.rs`: the same names, the same settings.
"""

import torch
from torch.optim import lr_scheduler

from operations import Values

STEPS = 60


def schedules() -> dict[str, torch.Tensor]:
    cases = {
        "linear": lambda o: lr_scheduler.LinearLR(o, start_factor=0.25, end_factor=1.0, total_iters=8),
        "linear_down": lambda o: lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.125, total_iters=40),
        "step": lambda o: lr_scheduler.StepLR(o, step_size=7, gamma=0.5),
        "exponential": lambda o: lr_scheduler.ExponentialLR(o, gamma=0.95),
        "restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=9, eta_min=0.1),
        "restarts_growing": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=5, T_mult=2, eta_min=0.0),
        "one_cycle": lambda o: lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=STEPS),
        "one_cycle_other": lambda o: lr_scheduler.OneCycleLR(
            o, max_lr=1.0, total_steps=STEPS, pct_start=0.4, div_factor=10.0, final_div_factor=100.0
        ),
    }
    tensors = {}
    for name, make in cases.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = make(optimizer)
        rates = []
        for step in range(STEPS):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if step + 1 < STEPS:
                scheduler.step()
        tensors[name] = torch.tensor(rates, dtype=torch.float64)
    return tensors | plateau()


def plateau() -> dict[str, torch.Tensor]:
    """A value that falls, with noise, and stays: `lower`; and its mirror image, `higher`."""
    values = Values("plateau")
    steps = torch.arange(STEPS, dtype=torch.float64)
    measured = (torch.exp(-steps / 9.0) + 1.0 + 0.02 * values.normal(STEPS)).float().double()
    tensors = {"plateau.values": measured}
    for name, sign, settings in [
        ("lower", 1.0, dict(mode="min", patience=3, factor=0.5, threshold=1e-2)),
        ("higher", -1.0, dict(mode="max", patience=2, factor=0.3, cooldown=4, min_lr=0.01)),
    ]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, **settings)
        rates = []
        for value in measured:
            optimizer.step()
            # PyTorch's relative threshold moves the best of negative values the wrong way, so they are made positive.
            scheduler.step(float(value if sign > 0 else 3.0 - value))
            rates.append(optimizer.param_groups[0]["lr"])
        tensors[f"plateau.{name}"] = torch.tensor(rates, dtype=torch.float64)
        assert 1 < len(set(rates)), "the value must stay somewhere"
    return tensors
