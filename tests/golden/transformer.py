"""Golden cases of the Transformer family: attention layers, stacks, and the models made of them.

Where PyTorch has a module (nn.MultiheadAttention, nn.TransformerEncoder, nn.TransformerDecoder, nn.RMSNorm) the case uses it,
so the parameters' names are PyTorch's own; what PyTorch has not (rotations, slopes, terms by distance, grouped heads, gates) is
written plainly beside it, a head and a pair at a time. Rows run by themselves, over their true steps alone: there is no
padding that could hide a mistake. Tensors of a case: its inputs, the parameters and other leaves under their names, outputs,
`weight_<output>`, `loss` and `grad.<leaf>`.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from operations import Values


def fill(module: nn.Module, values: Values):
    """Seeded parameters; scales of normalisations lie around 1."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(values.uniform(-0.6, 0.6, *parameter.shape))
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)


def finish(name: str, tensors: dict, leaves: dict, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    loss.backward()
    tensors = tensors | leaves | {"loss": loss} | {f"grad.{k}": leaf.grad for k, leaf in leaves.items()}
    return {f"{name}.{k}": tensor for k, tensor in tensors.items()}


def causal(time: int) -> torch.Tensor:
    """True where a step may not look."""
    return torch.ones(time, time, dtype=torch.bool).triu(1)


# --- nn.MultiheadAttention


def attention_layer(name: str, kind: str, bias: bool = True) -> dict[str, torch.Tensor]:
    """`x [B,T,C]`, for cross-attention `memory [B,S,M]`, for ragged keys `lengths [B]`; `y` and `weights`, averaged over heads."""
    values = Values("transformer_" + name)
    rows, time, keys, channels, heads = 3, 4, 5, 8, 2
    width = 6 if kind == "cross" else None
    module = nn.MultiheadAttention(channels, heads, bias=bias, kdim=width, vdim=width, batch_first=True).double()
    fill(module, values)
    leaves = {"x": values.normal(rows, time, channels).requires_grad_(True)}
    tensors, options = {}, {}
    if kind == "cross":
        leaves["memory"] = values.normal(rows, keys, width).requires_grad_(True)
    if kind == "causal":
        options["attn_mask"] = causal(time)
    if kind in ("lengths", "cross"):
        tensors["lengths"] = torch.tensor([4, 1, 3] if kind == "lengths" else [2, 5, 4])
        steps = torch.arange(time if kind == "lengths" else keys)
        options["key_padding_mask"] = steps >= tensors["lengths"][:, None]
    memory = leaves.get("memory", leaves["x"])
    y, weights = module(leaves["x"], memory, memory, **options)
    loss = 0
    for output, tensor in {"y": y, "weights": weights}.items():
        tensors[output], tensors["weight_" + output] = tensor, values.normal(*tensor.shape)
        loss = loss + (tensor * tensors["weight_" + output]).sum()
    return finish(name, tensors, leaves | dict(module.named_parameters()), loss)


# --- nn.TransformerEncoder, nn.TransformerDecoder


def stack(
    name: str, decoder: bool, pre: bool, activation: str, normed: bool, bias: bool = True
) -> dict[str, torch.Tensor]:
    """`x [B,T,C]` and `lengths [B]`, of a decoder `memory [B,S,C]` and `memory_lengths [B]`; `y` (0 on padded steps)."""
    values = Values("transformer_" + name)
    rows, time, positions, channels, heads = 3, 4, 5, 8, 2
    layer = (nn.TransformerDecoderLayer if decoder else nn.TransformerEncoderLayer)(
        channels, heads, 10, dropout=0.0, activation=activation, batch_first=True, norm_first=pre, bias=bias
    )
    norm = nn.LayerNorm(channels, bias=bias) if normed else None
    module = nn.TransformerDecoder(layer, 2, norm) if decoder else nn.TransformerEncoder(layer, 2, norm, enable_nested_tensor=False)
    module = module.double()
    fill(module, values)
    leaves = {"x": values.normal(rows, time, channels).requires_grad_(True)}
    tensors = {"lengths": torch.tensor([2, 4, 1])}
    if decoder:
        leaves["memory"] = values.normal(rows, positions, channels).requires_grad_(True)
        tensors["memory_lengths"] = torch.tensor([5, 1, 3])
    told = []
    for b, length in enumerate(tensors["lengths"].tolist()):
        x = leaves["x"][b : b + 1, :length]
        if decoder:
            memory = leaves["memory"][b : b + 1, : tensors["memory_lengths"][b]]
            y = module(x, memory, tgt_mask=causal(length))
        else:
            y = module(x)
        told.append(F.pad(y[0], (0, 0, 0, time - length)))
    tensors["y"] = torch.stack(told)
    tensors["weight_y"] = values.normal(rows, time, channels)
    loss = (tensors["y"] * tensors["weight_y"]).sum()
    return finish(name, tensors, leaves | dict(module.named_parameters()), loss)


# --- feed-forward layers with gates


def feed_forward(name: str, gate: str, maps: list[str], bias: bool) -> dict[str, torch.Tensor]:
    """`x [B,T,C]` and `y`; the maps into the gate, beside it and out have these names."""
    values = Values("transformer_" + name)
    channels, between = 8, 10
    module = nn.Module()
    for map_name, sizes in zip(maps, [(channels, between), (channels, between), (between, channels)]):
        module.add_module(map_name, nn.Linear(*sizes, bias=bias))
    module = module.double()
    fill(module, values)
    into, beside, out = (getattr(module, map_name) for map_name in maps)
    x = values.normal(3, 4, channels).requires_grad_(True)
    y = out({"silu": F.silu, "gelu": F.gelu}[gate](into(x)) * beside(x))
    weight = values.normal(*y.shape)
    leaves = {"x": x} | dict(module.named_parameters())
    return finish(name, {"y": y, "weight_y": weight}, leaves, (y * weight).sum())


# --- the decoder-only model


@dataclass
class Gpt:
    positions: str = "learned"  # or "interleaved", "halves", "none"
    tied: bool = False
    rotary: str | None = None  # "interleaved" or "halves"
    alibi: bool = False
    radius: int | None = None
    window: int | None = None
    key_heads: int | None = None
    gated: bool = False
    channels: int = 8
    heads: int = 2

    def plain(self) -> bool:
        """Whether nn.TransformerEncoder will do."""
        return not (self.rotary or self.alibi or self.radius or self.window or self.key_heads or self.gated)


VOCAB, FEED_FORWARD, MOST = 7, 10, 8


def sinusoids(layout: str, count: int, channels: int) -> torch.Tensor:
    rows = torch.zeros(count, channels, dtype=torch.float64)
    for p in range(count):
        for i in range(channels // 2):
            if layout == "interleaved":
                angle = p / 10000 ** (2 * i / channels)
                rows[p, 2 * i], rows[p, 2 * i + 1] = math.sin(angle), math.cos(angle)
            else:
                angle = p / 10000 ** (i / (channels // 2 - 1))
                rows[p, i], rows[p, channels // 2 + i] = math.sin(angle), math.cos(angle)
    return rows


def turned(layout: str, x: torch.Tensor) -> torch.Tensor:
    """Rotary positions of one head's queries or keys [T, D], as products of complex numbers."""
    time, width = x.shape
    half = width // 2
    angles = torch.tensor([[p / 10000 ** (2 * i / width) for i in range(half)] for p in range(time)], dtype=torch.float64)
    parts = (x[:, 0::2], x[:, 1::2]) if layout == "interleaved" else (x[:, :half], x[:, half:])
    product = torch.complex(*parts) * torch.complex(angles.cos(), angles.sin())
    if layout == "interleaved":
        return torch.stack([product.real, product.imag], -1).reshape(time, width)
    return torch.cat([product.real, product.imag], -1)


def slopes(heads: int) -> list[float]:
    """As the paper's program has them."""
    if math.log2(heads).is_integer():
        start = 2 ** (-8 / heads)
        return [start * start**i for i in range(heads)]
    lower = 2 ** math.floor(math.log2(heads))
    return slopes(lower) + slopes(2 * lower)[0::2][: heads - lower]


class SelfAttention(nn.Module):
    def __init__(self, sizes: Gpt):
        super().__init__()
        self.sizes = sizes
        self.width = sizes.channels // sizes.heads
        self.key_heads = sizes.key_heads or sizes.heads
        joint = sizes.channels + 2 * self.key_heads * self.width
        self.in_proj_weight = nn.Parameter(torch.empty(joint, sizes.channels))
        self.in_proj_bias = nn.Parameter(torch.empty(joint))
        self.out_proj = nn.Linear(sizes.channels, sizes.channels)
        if sizes.radius:
            self.relative = nn.Embedding(sizes.heads, 2 * sizes.radius + 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One row [T, C] -> [T, C]."""
        sizes, time = self.sizes, len(x)
        joint = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        cut = [sizes.channels, self.key_heads * self.width, self.key_heads * self.width]
        q, k, v = (part.reshape(time, -1, self.width) for part in joint.split(cut, -1))
        results = []
        for h in range(sizes.heads):
            shared = h * self.key_heads // sizes.heads
            query, key = q[:, h], k[:, shared]
            if sizes.rotary:
                query, key = turned(sizes.rotary, query), turned(sizes.rotary, key)
            steps = []
            for i in range(time):
                first = max(0, i - sizes.window) if sizes.window else 0
                scores = []
                for j in range(first, i + 1):
                    score = query[i] @ key[j] / math.sqrt(self.width)
                    if sizes.alibi:
                        score = score - slopes(sizes.heads)[h] * (i - j)
                    if sizes.radius:
                        score = score + self.relative.weight[h, max(j - i, -sizes.radius) + sizes.radius]
                    scores.append(score)
                steps.append(torch.softmax(torch.stack(scores), 0) @ v[first : i + 1, shared])
            results.append(torch.stack(steps))
        return self.out_proj(torch.cat(results, -1))


class Block(nn.Module):
    def __init__(self, sizes: Gpt):
        super().__init__()
        channels = sizes.channels
        norm = nn.RMSNorm if sizes.gated else nn.LayerNorm
        self.self_attn = SelfAttention(sizes)
        self.linear1, self.linear2 = nn.Linear(channels, FEED_FORWARD), nn.Linear(FEED_FORWARD, channels)
        if sizes.gated:
            self.linear3 = nn.Linear(channels, FEED_FORWARD)
        self.norm1, self.norm2 = norm(channels, eps=1e-5), norm(channels, eps=1e-5)
        self.gated = sizes.gated

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.norm1(x))
        inner = self.norm2(x)
        inner = F.silu(self.linear1(inner)) * self.linear3(inner) if self.gated else F.gelu(self.linear1(inner))
        return x + self.linear2(inner)


class Blocks(nn.Module):
    def __init__(self, sizes: Gpt):
        super().__init__()
        self.layers = nn.ModuleList(Block(sizes) for _ in range(2))
        self.norm = (nn.RMSNorm if sizes.gated else nn.LayerNorm)(sizes.channels, eps=1e-5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class DecoderOnly(nn.Module):
    def __init__(self, sizes: Gpt):
        super().__init__()
        self.sizes = sizes
        channels = sizes.channels
        self.embedding = nn.Embedding(VOCAB, channels)
        if sizes.positions == "learned":
            self.positions = nn.Embedding(MOST, channels)
        if sizes.plain():
            layer = nn.TransformerEncoderLayer(
                channels, sizes.heads, FEED_FORWARD, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            self.blocks = nn.TransformerEncoder(layer, 2, nn.LayerNorm(channels), enable_nested_tensor=False)
        else:
            self.blocks = Blocks(sizes)
        if not sizes.tied:
            self.head = nn.Linear(channels, VOCAB)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """One row's ids [T] -> logits [T, V]."""
        x, time = self.embedding(tokens), len(tokens)
        if self.sizes.positions == "learned":
            x = x + self.positions.weight[:time]
        elif self.sizes.positions != "none":
            x = x + sinusoids(self.sizes.positions, time, self.sizes.channels)
        x = self.blocks(x[None], mask=causal(time))[0] if self.sizes.plain() else self.blocks(x)
        return F.linear(x, self.embedding.weight) if self.sizes.tied else self.head(x)


def gpt(name: str, sizes: Gpt, lengths: list[int]) -> dict[str, torch.Tensor]:
    """`sequences [B,T+1]`, of which row b has `lengths[b]` + 1 ids."""
    values = Values("transformer_" + name)
    model = DecoderOnly(sizes).double()
    fill(model, values)
    sequences = values.ids(VOCAB, len(lengths), max(lengths) + 1)
    losses = []
    for row, length in zip(sequences, lengths):
        losses.append(F.cross_entropy(model(row[:length]), row[1 : length + 1], reduction="none"))
    tensors = {"sequences": sequences, "lengths": torch.tensor(lengths)}
    return finish(name, tensors, dict(model.named_parameters()), torch.cat(losses).mean())


# --- the encoder-decoder model

SOURCE, TARGET, BOS, EOS = 9, 8, 1, 2


def encoder_decoder(name: str, pre: bool, learned: bool, tied: bool, smoothing: float) -> dict[str, torch.Tensor]:
    """`sources [B,S]` and `targets [B,T]` without start and end, `source_lengths [B]`, `target_lengths [B]`."""
    values = Values("transformer_" + name)
    channels, heads, most = 8, 2, 6
    options = {"dropout": 0.0, "activation": "gelu" if pre else "relu", "batch_first": True, "norm_first": pre}
    model = nn.Module()
    layer = nn.TransformerEncoderLayer(channels, heads, FEED_FORWARD, **options)
    model.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(channels), enable_nested_tensor=False)
    model.encoder.embedding = nn.Embedding(SOURCE, channels)
    layer = nn.TransformerDecoderLayer(channels, heads, FEED_FORWARD, **options)
    model.decoder = nn.TransformerDecoder(layer, 1, nn.LayerNorm(channels))
    model.decoder.embedding = nn.Embedding(TARGET, channels)
    if learned:
        model.encoder.positions, model.decoder.positions = nn.Embedding(most, channels), nn.Embedding(most, channels)
    if not tied:
        model.head = nn.Linear(channels, TARGET)
    model = model.double()
    fill(model, values)
    source_lengths, target_lengths = [5, 1, 3], [3, 4, 0]
    sources = values.ids(SOURCE, 3, max(source_lengths))
    targets = values.ids(TARGET - 3, 3, max(target_lengths)) + 3

    def embedded(side: nn.Module, ids: list[int]) -> torch.Tensor:
        x = side.embedding(torch.tensor(ids)) * math.sqrt(channels)
        places = side.positions.weight[: len(ids)] if learned else sinusoids("interleaved", len(ids), channels)
        return (x + places)[None]

    losses = []
    for b in range(3):
        sentence = targets[b, : target_lengths[b]].tolist()
        memory = model.encoder(embedded(model.encoder, sources[b, : source_lengths[b]].tolist()))
        x = embedded(model.decoder, [BOS] + sentence)
        y = model.decoder(x, memory, tgt_mask=causal(len(sentence) + 1))[0]
        logits = F.linear(y, model.decoder.embedding.weight) if tied else model.head(y)
        targeted = torch.tensor(sentence + [EOS])
        losses.append(F.cross_entropy(logits, targeted, reduction="none", label_smoothing=smoothing))
    tensors = {
        "sources": sources, "targets": targets,
        "source_lengths": torch.tensor(source_lengths), "target_lengths": torch.tensor(target_lengths),
    }
    return finish(name, tensors, dict(model.named_parameters()), torch.cat(losses).mean())


# --- the encoder-only model


def encoder_only(name: str) -> dict[str, torch.Tensor]:
    """`tokens [B,T]` as they are read, `lengths [B]`, `places [M]` and `targets [M]`, of which the last is a surplus one (place 0,
    target V)."""
    values = Values("transformer_" + name)
    channels, lengths, time = 8, [6, 1, 4], 6
    model = nn.Module()
    model.embedding, model.positions = nn.Embedding(VOCAB, channels), nn.Embedding(MOST, channels)
    model.token_types, model.norm = nn.Embedding(2, channels), nn.LayerNorm(channels, eps=1e-12)
    layer = nn.TransformerEncoderLayer(
        channels, 2, FEED_FORWARD, dropout=0.0, activation="gelu", batch_first=True, layer_norm_eps=1e-12
    )
    model.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    model.head = nn.Module()
    model.head.dense, model.head.norm = nn.Linear(channels, channels), nn.LayerNorm(channels, eps=1e-12)
    model.head.bias = nn.Parameter(torch.zeros(VOCAB))
    model = model.double()
    fill(model, values)
    rows, tokens = values.ids(VOCAB, 3, time), values.ids(VOCAB, 3, time)
    tokens[torch.arange(time) >= torch.tensor(lengths)[:, None]] = 0
    hidden = [(0, 1), (0, 5), (1, 0), (2, 0), (2, 3)]
    losses = []
    for b, length in enumerate(lengths):
        x = model.embedding(tokens[b, :length]) + model.positions.weight[:length] + model.token_types.weight[0]
        features = model.blocks(model.norm(x)[None])[0]
        for row, step in hidden:
            if row == b:
                inner = model.head.norm(F.gelu(model.head.dense(features[step])))
                logits = F.linear(inner, model.embedding.weight) + model.head.bias
                losses.append(F.cross_entropy(logits, rows[b, step]))
    tensors = {
        "tokens": tokens, "lengths": torch.tensor(lengths),
        "places": torch.tensor([b * time + t for b, t in hidden] + [0]),
        "targets": torch.tensor([rows[b, t] for b, t in hidden] + [VOCAB]),
    }
    return finish(name, tensors, dict(model.named_parameters()), torch.stack(losses).mean())


# --- positions from a dependency tree


def tree_distances(heads: list[int], most: int) -> list[list[int]]:
    """Edges between words by the method of Floyd and Warshall; `heads[i]` is the number of words where i is a root."""
    words = len(heads)
    edges = [[0 if i == j else most for j in range(words)] for i in range(words)]
    for word, head in enumerate(heads):
        if head < words:
            edges[word][head] = edges[head][word] = 1
    for k in range(words):
        for i in range(words):
            for j in range(words):
                edges[i][j] = min(edges[i][j], edges[i][k] + edges[k][j])
    return edges


def tree(name: str) -> dict[str, torch.Tensor]:
    """`heads [B,T]`, `distances [B,T,T]`; nn.MultiheadAttention under a bias by distance; `y`."""
    values = Values("transformer_" + name)
    rows, time, channels, count, most = 2, 5, 8, 2, 3
    module = nn.MultiheadAttention(channels, count, batch_first=True).double()
    module.tree = nn.Embedding(most + 1, count).double()
    fill(module, values)
    heads = [[1, 5, 1, 4, 2], [1, 2, 3, 4, 5]]
    distances = torch.tensor([tree_distances(row, most) for row in heads])
    x = values.normal(rows, time, channels).requires_grad_(True)
    bias = module.tree(distances).permute(0, 3, 1, 2)
    y, _ = module(x, x, x, attn_mask=bias.reshape(rows * count, time, time))
    weight = values.normal(*y.shape)
    tensors = {"heads": torch.tensor(heads), "distances": distances, "y": y, "weight_y": weight}
    return finish(name, tensors, {"x": x} | dict(module.named_parameters()), (y * weight).sum())


def transformer() -> dict[str, torch.Tensor]:
    ragged, full = [6, 1, 4], [5, 5]
    llama, plain = ["gate_proj", "up_proj", "down_proj"], ["linear1", "linear3", "linear2"]
    return {
        **attention_layer("attention_self", "self"),
        **attention_layer("attention_causal", "causal"),
        **attention_layer("attention_lengths", "lengths"),
        **attention_layer("attention_cross", "cross"),
        **attention_layer("attention_without_bias", "causal", bias=False),
        **attention_layer("attention_cross_without_bias", "cross", bias=False),
        **stack("encoder_without_bias", decoder=False, pre=True, activation="gelu", normed=True, bias=False),
        **stack("decoder_without_bias", decoder=True, pre=False, activation="relu", normed=False, bias=False),
        **feed_forward("feed_forward_swiglu", "silu", llama, bias=False),
        **feed_forward("feed_forward_geglu", "gelu", llama, bias=True),
        **feed_forward("feed_forward_geglu_plain", "gelu", plain, bias=False),
        **stack("encoder_pre", decoder=False, pre=True, activation="gelu", normed=True),
        **stack("encoder_post", decoder=False, pre=False, activation="relu", normed=False),
        **stack("decoder_pre", decoder=True, pre=True, activation="relu", normed=False),
        **stack("decoder_post", decoder=True, pre=False, activation="gelu", normed=True),
        **gpt("gpt_full", Gpt(), full),
        **gpt("gpt_tied", Gpt(tied=True), ragged),
        **gpt("gpt_interleaved", Gpt(positions="interleaved"), ragged),
        **gpt("gpt_halves", Gpt(positions="halves"), full),
        **gpt("gpt_rotary", Gpt(positions="none", rotary="interleaved"), ragged),
        **gpt("gpt_rotary_halves", Gpt(positions="none", rotary="halves"), full),
        **gpt("gpt_alibi", Gpt(positions="none", alibi=True, channels=6, heads=3), ragged),
        **gpt("gpt_relative", Gpt(positions="none", radius=2), ragged),
        **gpt("gpt_window", Gpt(window=2), ragged),
        **gpt("gpt_grouped", Gpt(key_heads=2, heads=4), ragged),
        **gpt("gpt_gated", Gpt(positions="none", rotary="halves", gated=True), ragged),
        **encoder_decoder("translation_post", pre=False, learned=False, tied=False, smoothing=0.0),
        **encoder_decoder("translation_pre", pre=True, learned=True, tied=True, smoothing=0.1),
        **encoder_only("bert"),
        **tree("tree"),
    }
