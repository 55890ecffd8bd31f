"""Writes the models that compare.py runs, where they are missing: about 13 GB.

  models.py SMOLLM2.gguf FOLDER

smollm2-bf16: the file's weights rounded to bf16, as GGUF and as a Hugging Face directory. 1b-*: a
Llama of 1.07 billion random weights with SmolLM2's tokenizer and tied embeddings, in bf16 (both
kinds of file) and quantised from there by llama.cpp, as it does by default (Q4_0 and Q4_K_M keep
the embedding, which is the head too, in Q6_K). *-f16.gguf: for OpenVINO, which reads no bf16.
8b-q4_0: a Llama of 7.2 billion weights that were never others: random nibbles.
"""

import dataclasses
import pathlib
import sys

import gguf
import llama_cpp
import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "deita"))
import weights  # noqa: E402

CONTEXT = 8192


@dataclasses.dataclass(frozen=True)
class Shape:
    width: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    ffn_width: int


LLAMA_1B = Shape(2048, 16, 32, 8, 64, 8192)
LLAMA_8B = Shape(4096, 32, 32, 8, 128, 14336)
QUANTISED = {"1b-q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
             "1b-q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
             "1b-q4_k": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
             "1b-f16": llama_cpp.LLAMA_FTYPE_MOSTLY_F16}
FROM_SMOLLM2 = {"smollm2-bf16": llama_cpp.LLAMA_FTYPE_MOSTLY_BF16,
                "smollm2-f16": llama_cpp.LLAMA_FTYPE_MOSTLY_F16}


def random_bf16(random, outputs, inputs):
    """Outputs about as large as inputs, so that nothing grows from layer to layer."""
    values = random.standard_normal((outputs, inputs), dtype=numpy.float32)
    values *= inputs ** -0.5
    return gguf.quants.quantize(values, gguf.GGMLQuantizationType.BF16)


def random_q4_0(random, outputs, inputs):
    """Blocks of one f16 scale and 32 nibbles from -8 to 7, whose deviation is 4.6."""
    blocks = random.integers(0, 256, (outputs, inputs // 32, 18), dtype=numpy.uint8)
    scale = numpy.array([inputs ** -0.5 / 4.6], dtype=numpy.float16)
    blocks[:, :, :2] = scale.view(numpy.uint8)
    return blocks.reshape(outputs, -1)


def random_tensors(shape, num_tokens, random_weight):
    random = numpy.random.default_rng(1)
    ones = numpy.ones(shape.width, dtype=numpy.float32)
    queries, keys = (num * shape.head_dim for num in (shape.num_heads, shape.num_kv_heads))
    yield "token_embd", random_weight(random, num_tokens, shape.width)
    yield "output_norm", ones
    for layer in range(shape.num_layers):
        for part, outputs, inputs in (
                ("attn_q", queries, shape.width), ("attn_k", keys, shape.width),
                ("attn_v", keys, shape.width), ("attn_output", shape.width, queries),
                ("ffn_gate", shape.ffn_width, shape.width),
                ("ffn_up", shape.ffn_width, shape.width),
                ("ffn_down", shape.width, shape.ffn_width)):
            yield f"blk.{layer}.{part}", random_weight(random, outputs, inputs)
        yield f"blk.{layer}.attn_norm", ones
        yield f"blk.{layer}.ffn_norm", ones


def write_random(source, path, shape, name, random_weight, kind):
    """`kind`: what random_weight gives."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{kind.name}"])
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.num_layers)
    writer.add_feed_forward_length(shape.ffn_width)
    writer.add_head_count(shape.num_heads)
    writer.add_head_count_kv(shape.num_kv_heads)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    for field_name, field in gguf.GGUFReader(source).fields.items():
        if field_name.startswith("tokenizer."):
            field_kind = field.types[0]
            inner = field.types[-1] if field_kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field_name, field.contents(), field_kind, inner)
            if field_name == "tokenizer.ggml.tokens":
                num_tokens = len(field.data)
    writer.add_vocab_size(num_tokens)
    for tensor, data in random_tensors(shape, num_tokens, random_weight):
        is_norm = data.dtype == numpy.float32
        writer.add_tensor(tensor + ".weight", data, raw_dtype=None if is_norm else kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantise(source, path, file_type):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = file_type
    params.allow_requantize = True  # SmolLM2's file holds integers
    if llama_cpp.llama_model_quantize(str(source).encode(), str(path).encode(), params) != 0:
        raise RuntimeError(f"llama.cpp does not quantise {source}")


def write_once(path, make):
    """What is there is whole."""
    if not path.exists():
        print(f"writing {path}", file=sys.stderr, flush=True)
        part = path.with_name(path.name + ".part")
        make(part)
        part.rename(path)
    return path


def main():
    smollm2, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    base = write_once(folder / "1b-bf16.gguf",
                      lambda path: write_random(smollm2, path, LLAMA_1B, "random 1B", random_bf16,
                                                gguf.GGMLQuantizationType.BF16))
    write_once(folder / "8b-q4_0.gguf",
               lambda path: write_random(smollm2, path, LLAMA_8B, "random 8B", random_q4_0,
                                         gguf.GGMLQuantizationType.Q4_0))
    for source, kinds in ((base, QUANTISED), (smollm2, FROM_SMOLLM2)):
        for name, kind in kinds.items():
            write_once(folder / f"{name}.gguf",
                       lambda path, source=source, kind=kind: quantise(source, path, kind))
    for name, source in (("1b-bf16", base), ("smollm2-bf16", smollm2)):
        write_once(folder / name, lambda path, source=source: weights.convert(source, path))


if __name__ == "__main__":
    main()
