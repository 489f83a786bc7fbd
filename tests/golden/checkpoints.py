"""Checkpoints as other libraries write them, and what their models compute: small, randomly initialised.

`checkpoints/<name>.safetensors` is the state_dict of a module of PyTorch; `checkpoints/<name>/` is what `save_pretrained` of
Hugging Face's transformers writes, the configuration cut down to what describes the model. `checkpoints.safetensors` holds
each one's inputs and outputs, computed in float64.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import BertConfig, BertForMaskedLM, BertModel, GPT2Config, GPT2LMHeadModel

from operations import Values
from transformer import causal, fill

FOLDER = Path(__file__).resolve().parent / "checkpoints"


def state_dict(name: str, module: nn.Module):
    fill(module, Values("checkpoint_" + name))
    path = FOLDER / f"{name}.safetensors"
    save_file(module.state_dict(), path)
    path.chmod(0o644)
    return module.double()


def torch_modules() -> dict[str, torch.Tensor]:
    """`<name>.x [B,T,C]`, of cross-attention and the decoder `<name>.memory [B,S,M]`, `<name>.y`."""
    rows, time, keys, channels, heads = 2, 4, 3, 8, 2
    tensors = {}

    def keep(name: str, **more: torch.Tensor):
        tensors.update({f"{name}.{k}": tensor for k, tensor in more.items()})

    def x(name: str) -> torch.Tensor:
        return Values("checkpoint_x_" + name).normal(rows, time, channels)

    def memory(name: str, width: int) -> torch.Tensor:
        return Values("checkpoint_memory_" + name).normal(rows, keys, width)

    with torch.no_grad():
        module = state_dict("attention", nn.MultiheadAttention(channels, heads, batch_first=True))
        keep("attention", x=(a := x("attention")), y=module(a, a, a)[0])
        module = nn.MultiheadAttention(channels, heads, kdim=6, vdim=6, batch_first=True)
        module = state_dict("cross_attention", module)
        a, m = x("cross"), memory("cross", 6)
        keep("cross_attention", x=a, memory=m, y=module(a, m, m)[0])
        layer = nn.TransformerEncoderLayer(channels, heads, 10, dropout=0.0, batch_first=True)
        module = state_dict("encoder", nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))
        keep("encoder", x=(a := x("encoder")), y=module(a))
        layer = nn.TransformerDecoderLayer(channels, heads, 10, dropout=0.0, batch_first=True, norm_first=True)
        module = state_dict("decoder", nn.TransformerDecoder(layer, 2, nn.LayerNorm(channels)))
        a, m = x("decoder"), memory("decoder", channels)
        keep("decoder", x=a, memory=m, y=module(a, m, tgt_mask=causal(time)))
    return tensors


def saved(name: str, model: nn.Module):
    """The model as `save_pretrained` writes it, with initial values large enough to matter."""
    fill(model, Values("checkpoint_" + name))
    model.eval().save_pretrained(FOLDER / name)
    path = FOLDER / name / "config.json"
    config = json.loads(path.read_text())
    unused = [key for key in config if key.startswith(("_", "task_", "summary_")) or key in ("transformers_version", "dtype")]
    path.write_text(json.dumps({key: value for key, value in config.items() if key not in unused}, indent=1) + "\n")
    for file in (FOLDER / name).iterdir():
        if file.name == "generation_config.json":
            file.unlink()
        else:
            file.chmod(0o644)
    return model.double()


def hugging_face() -> dict[str, torch.Tensor]:
    """`<name>.tokens [B,T]`, `<name>.logits` and the like."""
    tensors = {}
    with torch.no_grad():
        config = GPT2Config(vocab_size=11, n_positions=8, n_embd=8, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=1)
        model = saved("gpt2", GPT2LMHeadModel(config))
        tokens = Values("checkpoint_gpt2_tokens").ids(11, 2, 6)
        tensors |= {"gpt2.tokens": tokens, "gpt2.logits": model(tokens).logits}
        sizes = {
            "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 12, "max_position_embeddings": 8, "pad_token_id": 0,
        }
        for name, kind in (("bert", BertModel), ("bert_masked", BertForMaskedLM)):
            model = saved(name, kind(BertConfig(**sizes, attn_implementation="eager")))
            values = Values(f"checkpoint_{name}_tokens")
            tokens, kinds, lengths = values.ids(11, 2, 6), values.ids(2, 2, 6), torch.tensor([6, 4])
            seen = (torch.arange(6) < lengths[:, None]).long()
            told = model(tokens, attention_mask=seen, token_type_ids=kinds)
            tensors |= {f"{name}.tokens": tokens, f"{name}.kinds": kinds, f"{name}.lengths": lengths}
            if name == "bert":
                # What stands on padded steps has no meaning.
                tensors["bert.features"] = told.last_hidden_state * seen[..., None]
                tensors["bert.pooled"] = told.pooler_output
            else:
                tensors["bert_masked.logits"] = told.logits * seen[..., None]
    return tensors


def checkpoints() -> dict[str, torch.Tensor]:
    FOLDER.mkdir(exist_ok=True)
    return torch_modules() | hugging_face()
