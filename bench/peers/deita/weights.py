"""A GGUF file of SmolLM2's kind as a Hugging Face directory in bf16: the same model for both sides.

  weights.py MODEL.gguf FOLDER

The tokenizer is put together from the file's metadata, because transformers takes every Llama's for SentencePiece.
"""

import json
import pathlib
import re
import struct
import sys

import numpy
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize, quantize
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

CONTROL_TOKEN = 3  # of tokenizer.ggml.token_type
NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


def tokenizer_of(path, fields):
    if (fields["tokenizer.ggml.model"], fields["tokenizer.ggml.pre"]) != ("gpt2", "smollm"):
        sys.exit(f"{path}: expected the tokenizer of SmolLM2")
    tokens = fields["tokenizer.ggml.tokens"]
    tokenizer = Tokenizer(models.BPE(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=[tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([
        AddedToken(token, special=True, normalized=False)
        for token, kind in zip(tokens, fields["tokenizer.ggml.token_type"]) if kind == CONTROL_TOKEN])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[fields["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[fields["tokenizer.ggml.eos_token_id"]],
        pad_token=tokens[fields["tokenizer.ggml.eos_token_id"]],
        chat_template=fields["tokenizer.chat_template"])


def config_of(fields, tied):
    heads, width = fields["llama.attention.head_count"], fields["llama.embedding_length"]
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16",
        "hidden_act": "silu", "attention_bias": False, "mlp_bias": False,
        "tie_word_embeddings": tied,
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "hidden_size": width, "head_dim": width // heads,
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": float(fields["llama.attention.layer_norm_rms_epsilon"]),
        "rope_theta": float(fields["llama.rope.freq_base"]),
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.eos_token_id"],
    }


def name_and_part(tensor):
    block, part = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.weight", tensor.name).groups()
    return (f"model.layers.{block}." if block else "") + NAMES[part] + ".weight", part


def bf16_bytes(tensor, head_dim):
    """GGUF's queries and keys have rotated pairs side by side, transformers' half a head apart."""
    values = dequantize(tensor.data, tensor.tensor_type)
    if name_and_part(tensor)[1] in ("attn_q", "attn_k"):
        num_inputs = values.shape[1]
        values = values.reshape(-1, head_dim // 2, 2, num_inputs).swapaxes(1, 2).reshape(-1, num_inputs)
    rounded = quantize(numpy.ascontiguousarray(values, dtype=numpy.float32), GGMLQuantizationType.BF16)
    return rounded.tobytes()


def write_weights(tensors, head_dim, path):
    """The safetensors format: a JSON object of where each weight is, then their bytes."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for tensor in tensors:
        begin, end = end, end + 2 * int(tensor.n_elements)
        header[name_and_part(tensor)[0]] = {
            "dtype": "BF16", "shape": [int(n) for n in reversed(tensor.shape)], "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            file.write(bf16_bytes(tensor, head_dim))


def convert(source, folder):
    reader = GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer_of(source, fields).save_pretrained(folder)
    config = config_of(fields, "output.weight" not in {tensor.name for tensor in reader.tensors})
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    generation = {name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    (folder / "generation_config.json").write_text(json.dumps(generation) + "\n", encoding="utf-8")
    # Last, since whoever finds it takes the directory for whole.
    write_weights(reader.tensors, config["head_dim"], folder / "model.safetensors.part")
    (folder / "model.safetensors.part").rename(folder / "model.safetensors")


if __name__ == "__main__":
    convert(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
