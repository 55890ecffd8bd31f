#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "retort/base/json.h"
#include "retort/tokenizer/normalizer.h"
#include "retort/tokenizer/pre_tokenizer.h"

namespace retort {

// The parts of tokenizer.json that are lists of stages. Each reader takes the JSON of its part
// (null: none) and `where` it stands for messages. All throw Error{kInvalid} on what is malformed
// and {kUnsupported}, naming the type, on a stage that is not known here.

// The patterns of one file take no more than kPatternsBytesMax: compiling one costs a thousand
// times its size in memory.
class PatternCompiler {
 public:
  // Throws Error{kExhausted} beyond that, and as Regex does.
  Regex Compile(std::string_view pattern, const std::string& where);

 private:
  size_t num_bytes_ = 0;
};

Normalizer NormalizerFromJson(const Json* json, const std::string& where,
                              PatternCompiler* patterns);

struct JsonPreTokenizer {
  PreTokenizer stages;
  bool byte_level = false;  // the vocabulary spells bytes as printable characters
};
JsonPreTokenizer PreTokenizerFromJson(const Json* json, const std::string& where,
                                      PatternCompiler* patterns);

// Maps one token to the bytes it adds to the text.
class TokenDecoder {
 public:
  static TokenDecoder FromJson(const Json* json, const std::string& where,
                               PatternCompiler* patterns);

  // Throws Error{kExhausted} if the stages write or look more than `budget` allows.
  std::string Bytes(std::string_view token, WorkBudget* budget) const;
  int num_leading_spaces_stripped() const { return num_leading_spaces_stripped_; }
  bool byte_level() const;

 private:
  struct Stage {
    enum class Kind { kReplaceText, kReplaceMatches, kByteFallback, kByteLevel, kStrip };
    Kind kind;
    std::string where;
    std::string from;
    std::string to;
    int num_front = 0;  // kStrip: how many of `from` at most
    int num_back = 0;
    Normalizer patterns;  // kReplaceMatches
  };
  void Add(const Json& json, const std::string& where, PatternCompiler* patterns, bool* fused);
  void AddStrip(const Json& json, const std::string& where, bool fused);

  std::vector<Stage> stages_;
  int num_leading_spaces_stripped_ = 0;
};

// What a post-processor puts around one text, as names of tokens or as ids.
struct JsonSurround {
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;
};
JsonSurround PostProcessorFromJson(const Json* json, const std::string& where);

}  // namespace retort
