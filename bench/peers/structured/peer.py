"""One engine on MaskBench files, one JSON line per file on standard output.

Usage: peer.py ENGINE LIST      (llguidance | xgrammar | outlines-core)
LIST: lines of JSON {"file", "name"}; each file is judged in this process, in order. The driver
(compare.py) kills the process when a file takes too long and starts another behind it.

Times are processor time of this process in microseconds, the call from Python included; a token's
time is that of its mask and of its commit. An instance is accepted if every token is allowed and
the end is allowed after the last one.
"""

import base64
import importlib.metadata
import json
import os
import resource
import sys
import time

VOCAB_SIZE = 128_256
END_OF_TEXT = 128_001
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
           r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
MEMORY_BYTES_MAX = int(os.environ.get("PEER_MEMORY_BYTES_MAX", 8 << 30))


def now_us():
    return time.process_time_ns() / 1000


def ranks(path):
    table = {}
    with open(path, "rb") as file:
        for line in file:
            token, rank = line.split()
            table[base64.b64decode(token)] = int(rank)
    return table


class LLGuidance:
    def __init__(self, encoding):
        import llguidance
        import llguidance.numpy
        import llguidance.tiktoken
        self.matcher = llguidance.LLMatcher
        self.fill = llguidance.numpy.fill_next_token_bitmask
        self.tokenizer = llguidance.tiktoken.lltokenizer_from_encoding(
            encoding, n_vocab=VOCAB_SIZE, eos_token=END_OF_TEXT)
        self.bits = llguidance.numpy.allocate_token_bitmask(1, VOCAB_SIZE)

    def compile(self, schema):
        matcher = self.matcher(self.tokenizer, self.matcher.grammar_from_json_schema(schema))
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher

    def start(self, grammar):
        grammar.reset()
        return grammar

    def mask(self, state):
        self.fill(state, self.bits, 0)

    def commit(self, state, token):
        return state.consume_token(token)

    def accepting(self, state):
        return state.is_accepting()


class XGrammar:
    def __init__(self, encoding):
        import xgrammar
        self.xgrammar = xgrammar
        vocabulary = [encoding.decode_single_token_bytes(i) for i in range(128_000)]
        vocabulary += [f"<|reserved_{i}|>".encode() for i in range(VOCAB_SIZE - 128_000)]
        self.info = xgrammar.TokenizerInfo(vocabulary, vocab_type=xgrammar.VocabType.RAW,
                                           vocab_size=VOCAB_SIZE, stop_token_ids=[END_OF_TEXT])
        # One compiler for all files, as a server has; its cache is part of what it is.
        self.compiler = xgrammar.GrammarCompiler(self.info, max_threads=1)
        self.bits = xgrammar.allocate_token_bitmask(1, VOCAB_SIZE)

    def compile(self, schema):
        return self.compiler.compile_json_schema(schema, any_whitespace=True, strict_mode=False)

    def start(self, grammar):
        return self.xgrammar.GrammarMatcher(grammar)

    def mask(self, state):
        state.fill_next_token_bitmask(self.bits, 0)

    def commit(self, state, token):
        return state.accept_token(token)

    def accepting(self, state):
        state.fill_next_token_bitmask(self.bits, 0)
        word = int(self.bits[0, END_OF_TEXT // 32])
        return bool(word >> (END_OF_TEXT % 32) & 1)


class OutlinesCore:
    def __init__(self, encoding):
        import numpy
        from outlines_core import Guide, Index, Vocabulary
        from outlines_core.json_schema import build_regex_from_schema
        self.guide, self.index, self.regex = Guide, Index, build_regex_from_schema
        self.vocabulary = Vocabulary(END_OF_TEXT, {encoding.decode_single_token_bytes(i): [i]
                                                   for i in range(128_000)})
        self.bits = numpy.zeros((VOCAB_SIZE + 31) // 32, dtype=numpy.int32)

    def compile(self, schema):
        return self.index(self.regex(schema), self.vocabulary)

    def start(self, grammar):
        return self.guide(grammar)

    def mask(self, state):
        state.write_mask_into(self.bits.ctypes.data, self.bits.size, self.bits.itemsize)

    def commit(self, state, token):
        try:
            state.advance(token, return_tokens=False)
        except ValueError:
            return False
        return True

    def accepting(self, state):
        return state.accepts_tokens([END_OF_TEXT]) or state.is_finished()


ENGINES = {"llguidance": LLGuidance, "xgrammar": XGrammar, "outlines-core": OutlinesCore}


def judge(engine, encoding, case):
    result = {"tests": len(case["tests"])}
    schema = json.dumps(case["schema"], ensure_ascii=False)
    begin = now_us()
    try:
        grammar = engine.compile(schema)
        result["compile_us"] = now_us() - begin
        engine.mask(engine.start(grammar))
        result["first_us"] = now_us() - begin
    except BaseException as error:  # pylint: disable=broad-except (a panic is no Exception)
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        return result | {"refused": f"{type(error).__name__}: {error}"[:300]}
    times = []
    counts = {"valid_rejected": 0, "invalid_accepted": 0}
    for test in case["tests"]:
        text = json.dumps(test["data"], indent=None, ensure_ascii=False)
        state = engine.start(grammar)
        accepted = True
        for token in encoding.encode_ordinary(text):
            begin = now_us()
            try:
                engine.mask(state)
                allowed = engine.bits.reshape(-1)[token // 32] >> (token % 32) & 1
                committed = engine.commit(state, token) if allowed else False
            except BaseException as error:  # pylint: disable=broad-except
                if isinstance(error, (KeyboardInterrupt, SystemExit)):
                    raise
                result["failed"] = f"{type(error).__name__}: {error}"[:300]
                committed = False
            times.append(round(now_us() - begin, 2))
            if not committed:
                accepted = False
                break
        accepted = accepted and engine.accepting(state)
        if accepted != test["valid"]:
            counts["invalid_accepted" if accepted else "valid_rejected"] += 1
    return result | counts | {"token_us": times}


def main():
    name, listing = sys.argv[1], sys.argv[2]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    import tiktoken
    special = {f"<|reserved_{i}|>": 128_000 + i for i in range(256)}
    encoding = tiktoken.Encoding("llama3", pat_str=PATTERN, mergeable_ranks=ranks(
        os.environ["PEER_VOCABULARY"]), special_tokens=special)
    engine = ENGINES[name](encoding)
    print(json.dumps({"engine": name, "version": importlib.metadata.version(name)}), flush=True)
    with open(listing, encoding="utf-8") as lines:
        for line in lines:
            path = line.strip()
            with open(path, encoding="utf-8") as file:
                case = json.load(file)
            result = judge(engine, encoding, case)
            result["file"] = os.path.basename(path)
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
