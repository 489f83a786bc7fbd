"""Writes the golden files: what PyTorch computes, for the tests of this folder to compare with.

    python tests/golden/generate.py pointwise  # one file, or several by name
    python tests/golden/generate.py            # all of them; needs torch, transformers, numpy, safetensors; 2.15 and 5.23 wrote the committed files

Only a change of the cases needs this; the tests read the committed files and need no Python. Written next to it:

    operations.safetensors   every operation of no other family: inputs, outputs, gradients of a weighted sum of the outputs
    pointwise.safetensors    the same of pointwise operations
    reductions.safetensors   the same of reductions over several axes, running sums and picks
    ctc.safetensors          the same of connectionist temporal classification
    <each>.json              the PyTorch version, the operations covered, the cases of each
    recurrent.safetensors    torch.nn.RNN, LSTM and GRU: layers, directions, ragged lengths, initial states, all gradients
    recurrent_variants.safetensors  the same of an LSTM with projection, peepholes and clip, and a GRU with the reset before the product
    attention.safetensors    attention over an encoder's outputs, each score, ragged lengths, all gradients
    language_models.safetensors  the language models without recurrent layers, carried state and all gradients
    convolution.safetensors  torch.nn.Conv1d with each padding, dilation, stride, groups, and the window tagger; all gradients
    seq2seq.safetensors      encoder-decoders over ragged pairs: cells, directions, attention; the loss and all gradients
    transformer.safetensors  attention layers, stacks, decoder-only and encoder-decoder Transformers; outputs, losses, all gradients
    checkpoints/             files as PyTorch and Hugging Face's transformers save models; checkpoints.safetensors what those compute
    losses.safetensors       losses with each reduction, weights, masks and classes that do not count; all gradients
    schedules.safetensors    rates of each update by PyTorch's schedulers
    optimizers.safetensors   20 steps of each optimizer, parameter by parameter
    training.safetensors     20 steps of AdamW with clip_grad_norm_ on a whole language model

Everything is computed in float64 from inputs that float32 holds exactly, and rounded to float32 once, on writing: so the
files hold the right answer to a float32's precision and a tolerance has to cover one program's rounding, not two.
The same seeds are used in every run; two runs with one PyTorch give equal files.
"""

import json
import sys
from pathlib import Path

import numpy
import torch
from safetensors.numpy import save_file

from attention import attention
from checkpoints import checkpoints
from convolution import convolution
from ctc import cases as ctc_cases
from language_models import language_models
from losses import losses
from operations import Case, Values, cases, torch_module
from optimizers import optimizers
from pointwise import cases as pointwise_cases
from recurrent_variants import recurrent_variants
from reductions import cases as reduction_cases
from schedules import schedules
from seq2seq import seq2seq
from transformer import transformer

HERE = Path(__file__).resolve().parent


def store(path: str, tensors: dict[str, torch.Tensor]):
    """Floats as F32, integers as U32."""
    arrays = {}
    for name, tensor in tensors.items():
        kind = numpy.float32 if tensor.is_floating_point() else numpy.uint32
        arrays[name] = numpy.ascontiguousarray(tensor.detach().numpy().astype(kind))
    save_file(arrays, HERE / path)
    (HERE / path).chmod(0o644)
    print(f"{path}: {len(arrays)} tensors, {(HERE / path).stat().st_size} bytes")


def weighted_sum(outputs: list[torch.Tensor], values: Values) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The loss of every case: each output times fixed weights, summed. Returns it and the weights."""
    weights = [values.normal(*output.shape) for output in outputs]
    return sum((output * weight).sum() for output, weight in zip(outputs, weights)), weights


def operations(family: str, cases: list[Case]):
    """`<case>.in<i>`, `<case>.out<i>`, `<case>.weight<i>`, `<case>.grad<i>` (gradient of input i, zeros where none flows)."""
    tensors, names = {}, {}
    for case in cases:
        names.setdefault(case.operation, []).append(case.name)
        inputs = [x.clone().requires_grad_(x.is_floating_point()) for x in case.inputs]
        outputs = case.function(*inputs)
        outputs = list(outputs) if isinstance(outputs, tuple) else [outputs]
        loss, weights = weighted_sum(outputs, Values(case.name + ".weight"))
        loss.backward()
        for i, tensor in enumerate(inputs):
            tensors[f"{case.name}.in{i}"] = tensor
            if tensor.requires_grad:
                tensors[f"{case.name}.grad{i}"] = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        for i, (output, weight) in enumerate(zip(outputs, weights)):
            tensors[f"{case.name}.out{i}"] = output
            tensors[f"{case.name}.weight{i}"] = weight
    store(f"{family}.safetensors", tensors)
    about = {"torch": torch.__version__.split("+")[0], "operations": list(names), "cases": names}
    (HERE / f"{family}.json").write_text(json.dumps(about, indent=1) + "\n")


def recurrent_case(name: str, kind: str, layers: int, bidirectional: bool, sizes: tuple[int, int, int, int],
                   lengths: list[int], state: bool = True):
    """`<case>.x [B,T,C]`, `.h0` and of an LSTM `.c0 [L*D,B,H]`, `.lengths [B]`, parameters under PyTorch's names, `.y .h_n
    .c_n`, their `.weight_*`, and `.grad.*` of everything that has one. Without `state` it starts from zeros."""
    values = Values(name)
    batch, time, inputs, hidden = sizes
    module = torch_module(kind, inputs, hidden, num_layers=layers, bidirectional=bidirectional)
    leaves = {"x": values.normal(batch, time, inputs)}
    parts = ["h", "c"] if kind == "lstm" else ["h"]
    if state:
        leaves |= {f"{part}0": values.normal(layers * (1 + bidirectional), batch, hidden) for part in parts}
    for parameter, tensor in module.named_parameters():
        leaves[parameter] = values.uniform(-0.5, 0.5, *tensor.shape)
    for leaf in leaves.values():
        leaf.requires_grad_(True)
    lengths = torch.tensor(lengths)
    packed = torch.nn.utils.rnn.pack_padded_sequence(leaves["x"], lengths, batch_first=True, enforce_sorted=False)
    parameters = {k: v for k, v in leaves.items() if k not in ("x", "h0", "c0")}
    start = [leaves[f"{part}0"] for part in parts] if state else []
    start = [tuple(start) if len(start) > 1 else start[0]] if start else []
    packed_y, last = torch.func.functional_call(module, parameters, (packed, *start))
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(packed_y, batch_first=True, total_length=time)
    last = last if isinstance(last, tuple) else (last,)
    outputs = {"y": y} | {f"{part}_n": tensor for part, tensor in zip(parts, last)}
    loss, weights = weighted_sum(list(outputs.values()), Values(name + ".weight"))
    loss.backward()
    tensors = {f"{name}.lengths": lengths}
    for leaf, tensor in leaves.items():
        tensors[f"{name}.{leaf}"] = tensor
        tensors[f"{name}.grad.{leaf}"] = tensor.grad
    for (output, tensor), weight in zip(outputs.items(), weights):
        tensors[f"{name}.{output}"] = tensor
        tensors[f"{name}.weight_{output}"] = weight
    return tensors


def recurrent():
    tensors = {}
    for kind in ("rnn_tanh", "rnn_relu", "lstm", "gru"):
        case = lambda name, *arguments: tensors.update(recurrent_case(f"{kind}.{name}", kind, *arguments))
        case("one_layer", 1, False, (4, 6, 5, 7), [6, 2, 5, 1])
        case("two_layers", 2, False, (5, 7, 4, 6), [3, 7, 1, 5, 7])
        case("bidirectional", 1, True, (4, 5, 3, 6), [2, 5, 1, 4])
        case("two_bidirectional_layers", 2, True, (3, 5, 4, 5), [5, 2, 3])
        case("full_length", 2, True, (2, 4, 3, 8), [4, 4])
        case("from_zeros", 1, False, (2, 3, 4, 5), [2, 3], False)
        # The longest row is shorter than the padding.
        case("padded_beyond", 1, True, (3, 6, 2, 4), [4, 1, 3])
    store("recurrent.safetensors", tensors)


class LanguageModel(torch.nn.Module):
    """embedding -> LSTM -> linear; the names of its parameters are those of the Rust model."""

    def __init__(self, vocab: int, embed: int, hidden: int, layers: int):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocab, embed)
        self.lstm = torch.nn.LSTM(embed, hidden, layers, batch_first=True)
        self.head = torch.nn.Linear(hidden, vocab)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        y, _ = self.lstm(self.embedding(tokens))
        return self.head(y)


def training():
    """`initial.<parameter>`, `final.<parameter>`, `tokens` and `targets [steps,B,T]`, `losses` and `norms [steps]`
    (before clipping), and each of AdamW's constants as a scalar under its name."""
    vocab, embed, hidden, layers, batch, time, steps = 11, 6, 8, 2, 3, 7, 20
    # eps is far above the usual 1e-8: with a tiny eps Adam's first steps are sign(gradient), which turns the rounding of
    # a gradient near zero into a full step and would measure luck. clip_norm lies in the range of the norms, so that
    # some steps are clipped and some are not (asserted below).
    constants = {"lr": 0.03, "beta1": 0.9, "beta2": 0.98, "eps": 1e-4, "weight_decay": 0.05, "clip_norm": 0.28}
    values = Values("training")
    model = LanguageModel(vocab, embed, hidden, layers).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(values.uniform(-0.5, 0.5, *parameter.shape))
    tensors = {f"initial.{name}": p.detach().clone() for name, p in model.named_parameters()}
    # Sequences that follow a rule with some noise: next = 2 * previous + 1 (mod V).
    start = values.ids(vocab, steps, batch, 1)
    noise = values.ids(10, steps, batch, time + 1) == 0
    columns = [start]
    for t in range(1, time + 1):
        columns.append((columns[-1] * 2 + 1 + noise[..., t : t + 1].long()) % vocab)
    text = torch.cat(columns, -1)
    tokens, targets = text[..., :-1], text[..., 1:]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=constants["lr"], betas=(constants["beta1"], constants["beta2"]),
        eps=constants["eps"], weight_decay=constants["weight_decay"],
    )
    losses, norms = [], []
    for step in range(steps):
        optimizer.zero_grad()
        logits = model(tokens[step])
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, vocab), targets[step].reshape(-1))
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), constants["clip_norm"]).detach())
        optimizer.step()
        losses.append(loss.detach())
    clipped = sum(bool(norm > constants["clip_norm"]) for norm in norms)
    print("losses", [f"{x:.3f}" for x in losses], "norms", [f"{x:.3f}" for x in norms], "clipped", clipped)
    assert 3 <= clipped <= steps - 3, "the clip threshold must matter in some steps and not in others"
    tensors.update({f"final.{name}": p for name, p in model.named_parameters()})
    tensors.update(tokens=tokens, targets=targets, losses=torch.stack(losses), norms=torch.stack(norms))
    tensors.update({name: torch.tensor(value, dtype=torch.float64) for name, value in constants.items()})
    store("training.safetensors", tensors)


# What writes each file.
FILES = {
    "operations": lambda: operations("operations", cases()),
    "pointwise": lambda: operations("pointwise", pointwise_cases()),
    "reductions": lambda: operations("reductions", reduction_cases()),
    "ctc": lambda: operations("ctc", ctc_cases()),
    "recurrent": recurrent,
    "recurrent_variants": lambda: store("recurrent_variants.safetensors", recurrent_variants()),
    "attention": lambda: store("attention.safetensors", attention()),
    "language_models": lambda: store("language_models.safetensors", language_models()),
    "convolution": lambda: store("convolution.safetensors", convolution()),
    "seq2seq": lambda: store("seq2seq.safetensors", seq2seq()),
    "transformer": lambda: store("transformer.safetensors", transformer()),
    "checkpoints": lambda: store("checkpoints.safetensors", checkpoints()),
    "losses": lambda: store("losses.safetensors", losses()),
    "schedules": lambda: store("schedules.safetensors", schedules()),
    "optimizers": lambda: store("optimizers.safetensors", optimizers()),
    "training": training,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or FILES:
        FILES[name]()
