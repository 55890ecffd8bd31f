#include "retort/grammar/sample_text.h"

#include <vector>

#include "retort/base/random.h"
#include "retort/grammar/constraint.h"
#include "retort/grammar/vocabulary.h"

namespace retort {
namespace {

constexpr int32_t kEnd = 256;

std::shared_ptr<const grammar::Vocabulary> ByteVocabulary() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  tokens.emplace_back("<end>");
  for (const char* text : {"\":", "\",\"", "{\"",   "\"}",  "[[",  "]]", "},", "ab",  "c1", "x y",
                           "10",  "true",  "false", "null", "0.5", "-1", "],", ",\"", "[]", "{}"}) {
    tokens.emplace_back(text);
  }
  return std::make_shared<const grammar::Vocabulary>(std::move(tokens), std::vector<int32_t>{kEnd});
}

// Text that a reader can read, mostly: blanks and what is not ASCII come seldom.
bool IsPlain(std::string_view text) {
  return text.size() > 1 || (text[0] > ' ' && text[0] < 0x7F && text[0] != '\\');
}

}  // namespace

struct TextSampler::State {
  explicit State(std::shared_ptr<const Grammar> grammar)
      : vocabulary(ByteVocabulary()), constraint(std::move(grammar), vocabulary) {}

  std::shared_ptr<const grammar::Vocabulary> vocabulary;
  Constraint constraint;
};

TextSampler::TextSampler(std::shared_ptr<const Grammar> grammar)
    : state_(std::make_unique<State>(std::move(grammar))) {}

TextSampler::~TextSampler() = default;

std::optional<std::string> TextSampler::Sample(uint64_t seed, size_t bytes_max) const {
  const grammar::Vocabulary& vocabulary = *state_->vocabulary;
  ConstraintState at = state_->constraint.Start();
  std::vector<uint32_t> bits(at.num_mask_words());
  std::string text;
  for (uint64_t draw = 0; text.size() < bytes_max; draw += 2) {
    at.Mask(bits);
    std::vector<int32_t> plain;
    std::vector<int32_t> all;
    for (int32_t id = 0; id < vocabulary.size(); ++id) {
      if ((bits[id >> 5] >> (id & 31) & 1) == 0) continue;
      all.push_back(id);
      if (id == kEnd || IsPlain(vocabulary.Text(id))) plain.push_back(id);
    }
    if (all.empty()) return std::nullopt;
    const auto& from = plain.empty() || RandomUniform(seed, draw) < 0.05 ? all : plain;
    const double uniform = RandomUniform(seed, draw + 1) * static_cast<double>(from.size());
    const int32_t id = from[static_cast<size_t>(uniform)];
    if (!at.Commit(id)) return std::nullopt;
    if (at.IsFinished()) return text;
    text += vocabulary.Text(id);
  }
  const auto rest = at.ClosingText();
  if (!rest) return std::nullopt;
  return text + *rest;
}

}  // namespace retort
