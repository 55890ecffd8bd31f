#!/usr/bin/env python3
"""Writes the seeds of the safetensors and GGUF fuzzers: small valid files, one per feature.

usage: make_checkpoint_corpus.py CORPUS_DIR   (the folder with safetensors/ and gguf/)
"""
import json
import pathlib
import struct
import sys


def safetensors(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def key(name, value_type, packed):
    return string(name) + struct.pack("<I", value_type) + packed


def tensor(name, dims, type_id, offset):
    return string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, type_id, offset)


def gguf(keys, tensors, data=b"", version=3, alignment=32):
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    head += b"".join(keys) + b"".join(tensors)
    return head + b"\0" * (-len(head) % alignment) + data


def main():
    root = pathlib.Path(sys.argv[1])
    seeds = {
        "safetensors/empty": safetensors({}, b""),
        "safetensors/two_tensors": safetensors(
            {"__metadata__": {"format": "pt"},
             "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
             "b": {"dtype": "BF16", "shape": [3], "data_offsets": [16, 22]}}, bytes(22)),
        "safetensors/scalar_and_zero_size": safetensors(
            {"s": {"dtype": "I64", "shape": [], "data_offsets": [0, 8]},
             "z": {"dtype": "U8", "shape": [0, 4], "data_offsets": [8, 8]}}, bytes(8)),
        "safetensors/four_bit": safetensors(
            {"f": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}}, bytes(2)),
        "safetensors/padded_header": safetensors(
            b'{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}      ', b"\0"),
        "gguf/empty": gguf([], []),
        "gguf/version_2": gguf([key("general.architecture", 8, string("llama"))], [], version=2),
        "gguf/every_number": gguf(
            [key(f"k{i}", i, struct.pack("<" + code, 1))
             for i, code in enumerate("BbHhIif?")] +
            [key("k10", 10, struct.pack("<Q", 1)), key("k11", 11, struct.pack("<q", -1)),
             key("k12", 12, struct.pack("<d", 0.5))], []),
        "gguf/arrays": gguf(
            [key("tokens", 9, struct.pack("<IQ", 8, 2) + string("a") + string("bc")),
             key("scores", 9, struct.pack("<IQ2f", 6, 2, 0.5, -1)),
             key("nested", 9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ2B", 0, 2, 1, 2))], []),
        "gguf/tensors": gguf(
            [key("general.alignment", 4, struct.pack("<I", 64))],
            [tensor("norm", [4], 0, 0), tensor("w", [32, 2], 8, 64), tensor("u", [256], 16, 192)],
            bytes(64 + 128 + 66), alignment=64),
        "gguf/unknown_type": gguf([], [tensor("x", [8], 99, 0), tensor("y", [2], 1, 32)], bytes(64)),
    }
    for name, content in seeds.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
