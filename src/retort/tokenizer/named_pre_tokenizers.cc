#include <string>
#include <vector>

#include "retort/base/error.h"
#include "retort/base/json.h"
#include "retort/tokenizer/pre_tokenizer.h"

namespace retort {

namespace patterns {
const std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const std::string_view kPunctuation = R"([!-/:-@\[-`{-~]|\p{P})";
// \w+|[^\w\s]+ as Rust's regex library, which defines this stage, understands it.
const std::string_view kWordsOrSigns = R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}]+|)"
                                       R"([^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}\s]+)";
}  // namespace patterns

namespace {

constexpr std::string_view kDigit = R"(\p{N})";
constexpr std::string_view kDigits = R"(\p{N}+)";
constexpr std::string_view kThreeDigits = "[0-9][0-9][0-9]";
constexpr std::string_view kSigns = R"([\p{P}\$\+<=>\^~\|]+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
    R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|)"
    R"(\s+(?!\S)|\s+)";

struct Entry {
  std::string_view name;
  NamedPreTokenizer pre_tokenizer;
};

// The names that GGUF files use. Adding one is a line here and its vectors in the test.
const std::vector<Entry>& Entries() {
  using patterns::kGpt2;
  static const std::vector<Entry> entries = {
      {"default", {{kSigns, kGpt2, kDigits, kThreeDigits}}},
      {"gpt-2", {{kGpt2}}},
      {"mpt", {{kGpt2}}},
      {"olmo", {{kGpt2}}},
      {"jais", {{kGpt2}}},
      {"phi-2", {{kGpt2}}},
      {"smollm", {{kDigit, kGpt2}}},
      {"starcoder", {{kDigit, kGpt2}}},
      {"refact", {{kDigit, kGpt2}}},
      {"command-r", {{kDigit, kGpt2}}},
      {"codeshell", {{kDigit, kGpt2}}},
      {"exaone", {{kDigit, kGpt2}}},
      {"minerva-7b", {{kDigit, kGpt2}}},
      {"llama-bpe", {{kLlama3}, true, true}},
      {"llama3", {{kLlama3}, true, true}},
      {"llama-v3", {{kLlama3}, true, true}},
      {"falcon3", {{kLlama3}, true, true}},
      {"smaug-bpe", {{kLlama3}}},
      {"dbrx", {{kLlama3}}},
      {"chatglm-bpe", {{kLlama3}}},
      {"glm4", {{kLlama3}}},
      {"qwen2", {{kQwen2}}},
      {"deepseek-r1-qwen", {{kQwen2}}},
      {"stablelm2", {{kQwen2}}},
      {"hunyuan", {{kQwen2}}},
      {"megrez", {{kQwen2}}},
      {"qwen35", {{kQwen35}}},
      {"tekken", {{kTekken}, true, true}},
      {"gpt-4o", {{kO200k}}},
  };
  return entries;
}

}  // namespace

NamedPreTokenizer PreTokenizerNamed(std::string_view name, std::string_view origin) {
  std::vector<std::string> names;
  for (const Entry& entry : Entries()) {
    if (entry.name == name) return entry.pre_tokenizer;
    names.emplace_back(entry.name);
  }
  const std::string nearest = NearestName(name, names);
  Throw(ErrorCode::kUnsupported,
        "{}: pre-tokenizer \"{}\" (tokenizer.ggml.pre) is not known here{}", origin,
        name.substr(0, 100),
        nearest.empty() ? "" : fmt::format("; the nearest that is: \"{}\"", nearest));
}

}  // namespace retort
