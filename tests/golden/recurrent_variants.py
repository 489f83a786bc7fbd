"""Golden cases of recurrent layers that PyTorch has not, or has under an option: an LSTM with a projection, with peepholes and with
a clip, and a GRU with the reset before the product.

The equations are written out here, step by step in float64; gradients are PyTorch's. The projection is compared with
`torch.nn.LSTM(proj_size=..)` on the way, so that the walk over layers, directions and lengths is known to be right.

Tensors of a case are those of `recurrent.safetensors`, and `weight_hr_l0` [P, H], `weight_ch_l0` [3H] (peepholes of i, f, o). The
Rust twin is `tests/tests/models/golden_recurrent.rs`.
"""

import torch

from operations import Values


def lstm(x, state, w, clip):
    """x [4H] of one row with both biases; gates i, f, g, o as PyTorch's. Peepholes and clip as ONNX has them (operator LSTM)."""
    h, c = state
    z = (x + w["weight_hh"] @ h).split(c.shape[0])
    p = w["weight_ch"].split(c.shape[0]) if "weight_ch" in w else [torch.zeros_like(c)] * 3
    bounded = lambda z: z if clip is None else z.clamp(-clip, clip)
    i = torch.sigmoid(bounded(z[0] + p[0] * c))
    f = torch.sigmoid(bounded(z[1] + p[1] * c))
    c = f * c + i * torch.tanh(bounded(z[2]))
    h = torch.sigmoid(bounded(z[3] + p[2] * c)) * torch.tanh(c)
    return (w["weight_hr"] @ h if "weight_hr" in w else h), c


def gru(x, state, w, clip):
    """x [3H] of one row with both biases; ONNX's operator GRU with linear_before_reset = 0, Keras's GRU with reset_after = False."""
    (h,) = state
    (x_r, x_z, x_n), (w_r, w_z, w_n) = x.chunk(3), w["weight_hh"].chunk(3)
    r, z = torch.sigmoid(x_r + w_r @ h), torch.sigmoid(x_z + w_z @ h)
    n = torch.tanh(x_n + w_n @ (r * h))
    return ((1 - z) * n + z * h,)


def run(step, leaves, layers, directions, lengths, clip):
    """Outputs [B, T, D*P], 0 on padding, and final states [L*D, B, .]."""
    x, parts = leaves["x"], [name for name in ("h0", "c0") if name in leaves]
    finals = [[] for _ in parts]
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            suffix = f"_l{layer}" + ("_reverse" if direction else "")
            w = {name.removesuffix(suffix): p for name, p in leaves.items() if name.endswith(suffix)}
            rows, lasts = [], [[] for _ in parts]
            for b, length in enumerate(lengths):
                state = tuple(leaves[part][layer * directions + direction, b] for part in parts)
                seen = [None] * length
                for t in reversed(range(length)) if direction else range(length):
                    state = step(w["weight_ih"] @ x[b, t] + w["bias_ih"] + w["bias_hh"], state, w, clip)
                    seen[t] = state[0]
                padding = x.shape[1] - length
                rows.append(torch.stack(seen + [torch.zeros_like(state[0])] * padding))
                for last, part in zip(lasts, state):
                    last.append(part)
            outputs.append(torch.stack(rows))
            for final, last in zip(finals, lasts):
                final.append(torch.stack(last))
        x = torch.cat(outputs, -1)
    return [x, *map(torch.stack, finals)]


def case(name, kind, layers, bidirectional, sizes, lengths, projection=0, peepholes=False, clip=None):
    values = Values(name)
    batch, time, inputs, hidden = sizes
    module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind]
    options = {"proj_size": projection} if projection else {}
    module = module(inputs, hidden, num_layers=layers, bidirectional=bidirectional, batch_first=True, **options)
    directions = 1 + bidirectional
    width = projection or hidden
    leaves = {"x": values.normal(batch, time, inputs), "h0": values.normal(layers * directions, batch, width)}
    if kind == "lstm":
        leaves["c0"] = values.normal(layers * directions, batch, hidden)
    parameters = {parameter: values.uniform(-0.5, 0.5, *tensor.shape) for parameter, tensor in module.named_parameters()}
    if peepholes:
        for parameter in [p for p in parameters if p.startswith("weight_hh")]:
            parameters[parameter.replace("weight_hh", "weight_ch")] = values.uniform(-1, 1, 3 * hidden)
    leaves |= parameters
    for leaf in leaves.values():
        leaf.requires_grad_(True)
    outputs = run({"lstm": lstm, "gru": gru}[kind], leaves, layers, directions, lengths, clip)
    if kind == "lstm" and not peepholes and clip is None:
        packed = torch.nn.utils.rnn.pack_padded_sequence(leaves["x"], torch.tensor(lengths), batch_first=True, enforce_sorted=False)
        y, last = torch.func.functional_call(module, parameters, (packed, (leaves["h0"], leaves["c0"])))
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=time)
        assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(outputs, [y, *last])), name
    weights = [Values(name + ".weight").normal(*output.shape) for output in outputs]
    sum((output * weight).sum() for output, weight in zip(outputs, weights)).backward()
    tensors = {f"{name}.lengths": torch.tensor(lengths)}
    for leaf, tensor in leaves.items():
        tensors |= {f"{name}.{leaf}": tensor, f"{name}.grad.{leaf}": tensor.grad}
    for output, tensor, weight in zip(["y", "h_n", "c_n"], outputs, weights):
        tensors |= {f"{name}.{output}": tensor, f"{name}.weight_{output}": weight}
    return tensors


def recurrent_variants() -> dict[str, torch.Tensor]:
    tensors = {}
    for variant, kind, options in [
        ("lstm_projection", "lstm", {"projection": 3}),
        ("lstm_peepholes", "lstm", {"peepholes": True}),
        # A third of what the activations get lies beyond it.
        ("lstm_clip", "lstm", {"clip": 0.75}),
        ("lstm_all", "lstm", {"projection": 2, "peepholes": True, "clip": 1.5}),
        ("gru_reset_before", "gru", {}),
    ]:
        add = lambda name, *arguments: tensors.update(case(f"{variant}.{name}", kind, *arguments, **options))
        add("one_layer", 1, False, (4, 6, 5, 7), [6, 2, 5, 1])
        add("two_bidirectional_layers", 2, True, (3, 5, 4, 5), [5, 2, 3])
        add("full_length", 2, True, (2, 4, 3, 8), [4, 4])
    return tensors
