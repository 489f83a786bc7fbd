"""Golden cases of the recurrent encoder-decoder: the loss of a ragged batch and the gradient of every parameter.

Each sentence runs by itself, over its true tokens alone and step by step, with torch.nn.LSTM and torch.nn.GRU as cells: there
is no padding, no mask and no batch that could hide a mistake in the model's own. Tensors of a case: `sources [B,S]` and
`targets [B,T]` (without start and end), `source_lengths [B]` and `target_lengths [B]`, `teacher [B,T+1]` (1 where a token is
given, 0 where the decoder reads its own), the parameters under their names, `loss` and `grad.<parameter>`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from attention import attend
from operations import Values

SOURCE, TARGET, BOS, EOS = 9, 8, 1, 2


@dataclass
class Sizes:
    cell: str
    layers: int
    bidirectional: bool
    score: str | None
    wiring: str | None
    embed: int = 5
    hidden: int = 6
    width: int = 7


class Attention(nn.Module):
    def __init__(self, sizes: Sizes, memory: int):
        super().__init__()
        self.kind = sizes.score
        if sizes.score == "general":
            self.key = nn.Linear(memory, sizes.hidden, bias=False)
        if sizes.score == "additive":
            self.query = nn.Linear(sizes.hidden, sizes.width, bias=False)
            self.key = nn.Linear(memory, sizes.width, bias=False)
            self.score = nn.Linear(sizes.width, 1, bias=False)

    def forward(self, query: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        return attend(self.kind, dict(self.named_parameters()), query, memory)[0]


class Encoder(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        self.sizes = sizes
        self.embedding = nn.Embedding(SOURCE, sizes.embed)
        cell = {"lstm": nn.LSTM, "gru": nn.GRU}[sizes.cell]
        setattr(self, sizes.cell, cell(sizes.embed, sizes.hidden, sizes.layers, bidirectional=sizes.bidirectional))
        if sizes.bidirectional:
            names = [f"{t}_l{l}" for t in ("h", "c")[: 1 + (sizes.cell == "lstm")] for l in range(sizes.layers)]
            self.bridge = nn.ModuleDict({name: nn.Linear(2 * sizes.hidden, sizes.hidden) for name in names})

    def forward(self, source: torch.Tensor):
        """Ids [S] -> outputs [S, M], start states [L, H] of each tensor."""
        outputs, state = getattr(self, self.sizes.cell)(self.embedding(source))
        states = list(state) if self.sizes.cell == "lstm" else [state]
        if self.sizes.bidirectional:
            for i, name in enumerate(("h", "c")[: len(states)]):
                # PyTorch orders the first axis by layer, then by direction.
                starts = [
                    self.bridge[f"{name}_l{l}"](torch.cat([states[i][2 * l], states[i][2 * l + 1]]))
                    for l in range(self.sizes.layers)
                ]
                states[i] = torch.stack([torch.tanh(s) if name == "h" else s for s in starts])
        return outputs, states


class Decoder(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        self.sizes = sizes
        memory = sizes.hidden * (2 if sizes.bidirectional else 1)
        self.embedding = nn.Embedding(TARGET, sizes.embed)
        if sizes.score:
            self.attention = Attention(sizes, memory)
        also = {None: 0, "luong": 0, "feeding": sizes.hidden, "bahdanau": memory}[sizes.wiring]
        cell = {"lstm": nn.LSTM, "gru": nn.GRU}[sizes.cell]
        setattr(self, sizes.cell, cell(sizes.embed + also, sizes.hidden, sizes.layers))
        if sizes.wiring in ("luong", "feeding"):
            self.combine = nn.Linear(memory + sizes.hidden, sizes.hidden)
        features = sizes.hidden + (memory + sizes.embed if sizes.wiring == "bahdanau" else 0)
        self.head = nn.Linear(features, TARGET)

    def forward(self, outputs, states, given: list[int], teacher: list[int]) -> torch.Tensor:
        """Logits [steps, V] of one sentence."""
        wiring, logits = self.sizes.wiring, []
        fed = torch.zeros(self.sizes.hidden, dtype=outputs.dtype)
        for token, forced in zip(given, teacher):
            token = token if forced or not logits else int(logits[-1].argmax())
            x = e = self.embedding(torch.tensor(token))
            if wiring == "bahdanau":
                context = self.attention(states[0][-1], outputs)
                x = torch.cat([e, context])
            if wiring == "feeding":
                x = torch.cat([e, fed])
            state = tuple(states) if self.sizes.cell == "lstm" else states[0]
            output, state = getattr(self, self.sizes.cell)(x[None], state)
            states = list(state) if self.sizes.cell == "lstm" else [state]
            features = output[0]
            if wiring == "bahdanau":
                features = torch.cat([features, context, e])
            if wiring in ("luong", "feeding"):
                features = fed = torch.tanh(self.combine(torch.cat([self.attention(features, outputs), features])))
            logits.append(self.head(features))
        return torch.stack(logits)


class Seq2Seq(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        self.encoder, self.decoder = Encoder(sizes), Decoder(sizes)


def case(name: str, sizes: Sizes, source_lengths: list[int], target_lengths: list[int], sampled: bool):
    values = Values("seq2seq_" + name)
    model = Seq2Seq(sizes).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(values.uniform(-0.8, 0.8, *parameter.shape))
    rows = len(source_lengths)
    sources = values.ids(SOURCE, rows, max(source_lengths))
    targets = values.ids(TARGET - 3, rows, max(target_lengths)) + 3
    teacher = torch.ones(rows, targets.shape[1] + 1, dtype=torch.float64)
    if sampled:
        teacher[:, 1:] = values.ids(2, *teacher[:, 1:].shape).double()
    losses, read = [], 0
    for b in range(rows):
        sentence = targets[b, : target_lengths[b]].tolist()
        outputs, states = model.encoder(sources[b, : source_lengths[b]])
        logits = model.decoder(outputs, states, [BOS] + sentence, teacher[b].tolist())
        losses.append(F.cross_entropy(logits, torch.tensor(sentence + [EOS]), reduction="none"))
        read += int((1 - teacher[b, : len(sentence) + 1]).sum())
    assert (read > 0) == sampled
    loss = torch.cat(losses).mean()
    loss.backward()
    tensors = {
        "sources": sources, "targets": targets, "teacher": teacher, "loss": loss,
        "source_lengths": torch.tensor(source_lengths), "target_lengths": torch.tensor(target_lengths),
    }
    for parameter, tensor in model.named_parameters():
        tensors |= {parameter: tensor, "grad." + parameter: tensor.grad}
    return {f"{name}.{k}": tensor for k, tensor in tensors.items()}


def seq2seq() -> dict[str, torch.Tensor]:
    ragged = {"source_lengths": [5, 1, 3], "target_lengths": [3, 4, 0], "sampled": False}
    return {
        **case("gru_bahdanau", Sizes("gru", 1, True, "additive", "bahdanau"), **ragged),
        **case("lstm_feeding", Sizes("lstm", 2, False, "general", "feeding"), **ragged),
        **case("lstm_plain", Sizes("lstm", 2, True, None, None), **ragged),
        **case("gru_luong", Sizes("gru", 1, False, "dot", "luong"), **ragged),
        **case("gru_sampled", Sizes("gru", 2, True, "additive", "luong"), **{**ragged, "sampled": True}),
    }
