#include <charconv>

#include "retort/base/error.h"
#include "retort/tokenizer/load_tokenizer.h"
#include "retort/tokenizer/tokenizer_parts.h"
#include "retort/tokenizer/vocabulary_builder.h"

namespace retort {
namespace {

int Base64Digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

// RFC 4648 §4, padding required. False if `text` is not base64.
bool DecodeBase64(std::string_view text, std::string* out) {
  out->clear();
  if (text.empty() || text.size() % 4 != 0) return false;
  const size_t num_padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool padding = i + num_padding >= text.size();
    const int digit = padding ? 0 : Base64Digit(text[i]);
    if (digit < 0) return false;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    if (i % 4 == 3) {
      for (int shift : {16, 8, 0}) out->push_back(static_cast<char>(bits >> shift));
      bits = 0;
    }
  }
  out->resize(out->size() - num_padding);
  return true;
}

struct RankedToken {
  std::string bytes;
  int64_t rank;
};

std::vector<RankedToken> ReadRanks(std::string_view text, std::string_view origin) {
  std::vector<RankedToken> tokens;
  size_t line_number = 0;
  while (!text.empty()) {
    ++line_number;
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    RankedToken token;
    const size_t space = line.find(' ');
    bool valid =
        space != std::string_view::npos && DecodeBase64(line.substr(0, space), &token.bytes);
    if (valid) {
      const char* last = line.data() + line.size();
      const auto [rest, error] = std::from_chars(line.data() + space + 1, last, token.rank);
      valid = error == std::errc() && rest == last;
    }
    if (!valid) {
      Throw(ErrorCode::kInvalid, "{}:{}: expected base64, a space and a rank, found \"{}\"", origin,
            line_number, line.substr(0, 80));
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace

std::shared_ptr<const Tokenizer> LoadTiktoken(
    std::string_view ranks_text, std::string_view pattern,
    const std::vector<std::pair<std::string, int32_t>>& special_tokens, std::string_view origin) {
  using Kind = VocabularyBuilder::Kind;
  const std::vector<RankedToken> tokens = ReadRanks(ranks_text, origin);
  if (tokens.empty()) Throw(ErrorCode::kInvalid, "{}: no ranks", origin);
  VocabularyBuilder builder{std::string(origin)};
  for (const RankedToken& token : tokens) builder.Add(token.rank, token.bytes, Kind::kNormal);
  for (const auto& [content, id] : special_tokens) {
    AddedToken token;
    token.content = content;
    token.special = true;
    builder.AddToken(id, std::move(token));
  }
  builder.Finish({});
  auto model = builder.MakeModel(BpeModel::Unit::kByte, BpeModel::MergeBy::kText,
                                 VocabularyBuilder::Spelling::kPlain, 0);
  model->whole_word_first = true;
  model->ranks.resize(builder.num_ids());
  TokenizerParts parts;
  for (size_t id = 0; id < builder.num_ids(); ++id) {
    model->ranks[id] = static_cast<uint32_t>(id);
    parts.bytes_of_ids.Append(builder.TextOf(static_cast<int32_t>(id)));
  }
  parts.pre_tokenizer.Add(
      PreTokenizer::Split{Regex(pattern, origin), PreTokenizer::Behavior::kIsolated, false},
      builder.origin());
  parts.model = std::move(model);
  builder.FillParts(&parts);
  return std::make_shared<const Tokenizer>(std::move(parts));
}

}  // namespace retort
