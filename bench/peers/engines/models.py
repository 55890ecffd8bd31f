"""Writes the models that compare.py runs, where they are missing: about 9 GB.

  models.py SMOLLM2.gguf FOLDER

smollm2-bf16: the file's weights rounded to bf16, as GGUF and as a Hugging Face directory. 1b-*: a
Llama of 1.07 billion random weights with SmolLM2's tokenizer and tied embeddings, in bf16 (both
kinds of file) and quantised from there by llama.cpp, as it does by default (Q4_0 and Q4_K_M keep
the embedding, which is the head too, in Q6_K). *-f16.gguf: for OpenVINO, which reads no bf16.
"""

import pathlib
import sys

import gguf
import llama_cpp
import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "deita"))
import weights  # noqa: E402

WIDTH, NUM_LAYERS, NUM_HEADS, NUM_KV_HEADS, HEAD_DIM, FFN_WIDTH = 2048, 16, 32, 8, 64, 8192
CONTEXT = 8192
QUANTISED = {"1b-q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
             "1b-q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
             "1b-q4_k": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
             "1b-f16": llama_cpp.LLAMA_FTYPE_MOSTLY_F16}
FROM_SMOLLM2 = {"smollm2-bf16": llama_cpp.LLAMA_FTYPE_MOSTLY_BF16,
                "smollm2-f16": llama_cpp.LLAMA_FTYPE_MOSTLY_F16}


def random_weight(random, outputs, inputs):
    """Outputs about as large as inputs, so that nothing grows from layer to layer."""
    values = random.standard_normal((outputs, inputs), dtype=numpy.float32)
    values *= inputs ** -0.5
    return gguf.quants.quantize(values, gguf.GGMLQuantizationType.BF16)


def random_tensors(num_tokens):
    random = numpy.random.default_rng(1)
    ones = numpy.ones(WIDTH, dtype=numpy.float32)
    keys = NUM_KV_HEADS * HEAD_DIM
    yield "token_embd", random_weight(random, num_tokens, WIDTH)
    yield "output_norm", ones
    for layer in range(NUM_LAYERS):
        for part, outputs, inputs in (
                ("attn_q", WIDTH, WIDTH), ("attn_k", keys, WIDTH), ("attn_v", keys, WIDTH),
                ("attn_output", WIDTH, WIDTH), ("ffn_gate", FFN_WIDTH, WIDTH),
                ("ffn_up", FFN_WIDTH, WIDTH), ("ffn_down", WIDTH, FFN_WIDTH)):
            yield f"blk.{layer}.{part}", random_weight(random, outputs, inputs)
        yield f"blk.{layer}.attn_norm", ones
        yield f"blk.{layer}.ffn_norm", ones


def write_random(source, path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("random 1B")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(NUM_LAYERS)
    writer.add_feed_forward_length(FFN_WIDTH)
    writer.add_head_count(NUM_HEADS)
    writer.add_head_count_kv(NUM_KV_HEADS)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    for name, field in gguf.GGUFReader(source).fields.items():
        if name.startswith("tokenizer."):
            kind = field.types[0]
            inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, inner)
            if name == "tokenizer.ggml.tokens":
                num_tokens = len(field.data)
    writer.add_vocab_size(num_tokens)
    for name, data in random_tensors(num_tokens):
        is_norm = data.dtype == numpy.float32
        writer.add_tensor(name + ".weight", data,
                          raw_dtype=None if is_norm else gguf.GGMLQuantizationType.BF16)
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
    base = write_once(folder / "1b-bf16.gguf", lambda path: write_random(smollm2, path))
    for source, kinds in ((base, QUANTISED), (smollm2, FROM_SMOLLM2)):
        for name, kind in kinds.items():
            write_once(folder / f"{name}.gguf",
                       lambda path, source=source, kind=kind: quantise(source, path, kind))
    for name, source in (("1b-bf16", base), ("smollm2-bf16", smollm2)):
        write_once(folder / name, lambda path, source=source: weights.convert(source, path))


if __name__ == "__main__":
    main()
