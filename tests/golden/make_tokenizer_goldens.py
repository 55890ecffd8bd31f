"""Writes tokenizer_json/*.json: small tokenizers, one per kind of stage, with what Hugging Face's
`tokenizers` makes of a list of texts. Needs `pip install tokenizers` (0.23.3 wrote what is here).

    python3 make_tokenizer_goldens.py

Each file is {"tokenizer": <a tokenizer.json>, "cases": [{"text", "ids", "decoded"}]}; `decoded`
keeps special tokens.
"""
import json
import pathlib

from tokenizers import Tokenizer, models, trainers, pre_tokenizers, normalizers, decoders
from tokenizers import AddedToken, Regex, processors

TRAINING = [
    "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs!",
    "A model is loaded once; everything runs on it. It's what we've wanted, isn't it?",
    "def add(a, b):\n    return a + b\n\n\nprint(add(1, 22), 333, 4444.5)\t# done\r\n",
    "Größe, Straße, naïve café; Привет, мир! 你好,世界。こんにちは 안녕하세요 🙂👍🏽",
    "one two three four five six seven eight nine ten 1 2 3 10 20 30 100 2024-01-31",
] * 3

TEXTS = TRAINING[:5] + [
    "", " ", "  ", "\n", "\n\n", " \n \t ", "a", " a", "a ", "  a  b  ", "don't DON'T we'll WE'LL",
    "12345 1,234.50 ½ ² ٣٤ Ⅷ", "<s>hello</s> world", "x<tool>y", "x <tool> y", "a<mask>b  <mask> c",
    "foo bar_foo foo.", "foofoo foo", "HELLO Hello hello İstanbul ΣΑΣ",
    "e\u0301 \u00e9 \u1e9b\u0323 \ufb01 \u2460 \u212b \uac00 \u1100\u1161",
    "tab\tand\u00a0nbsp\u3000wide\u200bzero \u180e", "zażółć gęślą jaźń \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "▁ literal ▁▁ marks", "a-b--c...d!!! (e) [f] {g} $5 + 6 = 11 <7> ^8 ~9 `0` |",
    "trailing spaces   ", "   leading spaces", "mixed\r\nline\rends\n", "\u0000nul\u0001",
    "supercalifragilisticexpialidocious" * 4, "  <s>  ", "<s><s>", "</s>end", "Foo FOO",
]

ADDED = [
    AddedToken("<s>", special=True, normalized=False),
    AddedToken("</s>", special=True, normalized=False),
    AddedToken("<mask>", special=True, normalized=False, lstrip=True),
    AddedToken("<tool>", special=False, normalized=False, rstrip=True),
    AddedToken("foo", special=False, normalized=True, single_word=True),
]


def byte_level_bpe(normalizer=None, pre=None, **options):
    t = Tokenizer(models.BPE(**options))
    t.normalizer = normalizer
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre is None)
    t.pre_tokenizer = byte_level if pre is None else pre_tokenizers.Sequence(pre + [byte_level])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(TRAINING, trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return t


def plain_bpe(normalizer, pre, decoder, alphabet=(), **options):
    t = Tokenizer(models.BPE(unk_token="<unk>", **options))
    t.normalizer, t.pre_tokenizer, t.decoder = normalizer, pre, decoder
    bytes_ = [f"<0x{b:02X}>" for b in range(256)] if options.get("byte_fallback") else []
    t.train_from_iterator(TRAINING[:3], trainers.BpeTrainer(
        vocab_size=400 + len(bytes_), special_tokens=["<unk>"] + bytes_, show_progress=False))
    data = json.loads(t.to_str())
    data["added_tokens"] = data["added_tokens"][:1]  # the byte tokens are the model's
    return Tokenizer.from_str(json.dumps(data))


def llama_decoder():
    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                              decoders.Strip(" ", 1, 0)])


def cases():
    N, P = normalizers, pre_tokenizers
    llama3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
              r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    yield "byte-level", byte_level_bpe()
    prefix = byte_level_bpe()
    prefix.pre_tokenizer = P.ByteLevel(add_prefix_space=True)
    yield "byte-level-prefix-space", prefix
    yield "byte-level-digits", byte_level_bpe(pre=[P.Digits(individual_digits=True)])
    yield "byte-level-digit-runs", byte_level_bpe(pre=[P.Digits(individual_digits=False)])
    yield "byte-level-llama3", byte_level_bpe(
        pre=[P.Split(Regex(llama3), "isolated")], ignore_merges=True)
    yield "byte-level-nfc-lower", byte_level_bpe(N.Sequence([N.NFC(), N.Lowercase()]))
    yield "byte-level-nfkd-accents", byte_level_bpe(N.Sequence([N.NFKD(), N.StripAccents()]))
    yield "byte-level-nfd", byte_level_bpe(N.NFD())
    yield "byte-level-nfkc-strip", byte_level_bpe(N.Sequence([N.NFKC(), N.Strip()]))
    yield "byte-level-replace-regex", byte_level_bpe(
        N.Sequence([N.Replace(Regex(r"\s{2,}"), " "), N.Replace("ß", "ss")]))
    for behavior in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]:
        yield f"split-{behavior}", byte_level_bpe(pre=[P.Split(Regex(r"[\s.,!-]"), behavior)])
        yield f"split-{behavior}-invert", byte_level_bpe(
            pre=[P.Split(Regex(r"\w+"), behavior, invert=True)])
    yield "split-string", byte_level_bpe(pre=[P.Split("o", "merged_with_previous")])
    yield "punctuation", byte_level_bpe(pre=[P.Punctuation("contiguous")])
    yield "whitespace", byte_level_bpe(pre=[P.Whitespace()])
    yield "whitespace-split", byte_level_bpe(pre=[P.WhitespaceSplit()])
    yield "bert", byte_level_bpe(pre=[P.BertPreTokenizer()])
    yield "char-delimiter", byte_level_bpe(pre=[P.CharDelimiterSplit("o")])
    llama = N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")])
    yield "llama-byte-fallback", plain_bpe(llama, None, llama_decoder(), byte_fallback=True, fuse_unk=True)
    yield "llama-unk", plain_bpe(llama, None, llama_decoder(), fuse_unk=False)
    yield "llama-unk-fused", plain_bpe(llama, None, llama_decoder(), fuse_unk=True)
    gemma = plain_bpe(N.Replace(" ", "▁"), P.Split(" ", "merged_with_previous"),
                      decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(),
                                         decoders.Fuse()]), byte_fallback=True, fuse_unk=True)
    yield "gemma", gemma
    for scheme in ["always", "first", "never"]:
        for split in [True, False]:
            yield f"metaspace-{scheme}-{'split' if split else 'whole'}", plain_bpe(
                None, P.Metaspace(prepend_scheme=scheme, split=split),
                decoders.Metaspace(prepend_scheme=scheme), byte_fallback=True)


def main():
    folder = pathlib.Path(__file__).parent / "tokenizer_json"
    folder.mkdir(exist_ok=True)
    for name, tokenizer in cases():
        tokenizer.add_tokens(ADDED)
        data = json.loads(tokenizer.to_str())
        out = []
        for text in TEXTS:
            encoding = tokenizer.encode(text, add_special_tokens=False)
            out.append({"text": text, "ids": encoding.ids,
                        "decoded": tokenizer.decode(encoding.ids, skip_special_tokens=False)})
        def compact(value):
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        lines = ",\n".join(compact(case) for case in out)
        (folder / f"{name}.json").write_text(
            f'{{"tokenizer":{compact(data)},\n"cases":[\n{lines}\n]}}\n')
        print(name, tokenizer.get_vocab_size())


if __name__ == "__main__":
    main()
