#include "retort/tokenizer/tokenizer.h"

#include <algorithm>
#include <utility>

#include "retort/base/error.h"
#include "retort/tokenizer/load_tokenizer.h"
#include "retort/tokenizer/tokenizer_parts.h"
#include "retort/tokenizer/utf8.h"

namespace retort {
namespace {

// A text is one word to some tokenizers, and a word's offsets are 32 bits.
constexpr size_t kEncodeBytesMax = size_t{1} << 30;

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, SentencePiece's space

// Names of the tokens that end a turn, in the models whose files do not say so.
constexpr std::string_view kEndOfTurnNames[] = {
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>",           "<end_of_turn>", "<|end|>",
    "<|eot|>",    "<EOT>",      "<|endoftext|>",        "</s>",          "<|end_of_text|>",
    "<|return|>", "<|call|>",   "<|END_OF_TURN_TOKEN|>"};

// True if no token that may come out of merging has a space mark after another character: then no
// merge ever crosses from a word into the next mark, and the text may be cut there.
bool MarksOnlyInFront(const BpeModel& model) {
  for (size_t id = 0; id < model.texts.size(); ++id) {
    const std::string_view text = model.texts[id];
    bool marks_only = true;
    for (size_t at = 0; at < text.size();) {
      const bool mark = text.substr(at).starts_with(kSpaceMark);
      if (mark && !marks_only) return false;
      marks_only = marks_only && mark;
      at += mark ? kSpaceMark.size() : 1;
    }
  }
  return true;
}

void Normalise(std::vector<AddedTokenMatcher::Range>* ranges) {
  std::vector<AddedTokenMatcher::Range> out;
  for (const auto& range : *ranges) {
    if (range.first == range.second) continue;
    if (!out.empty() && out.back().second == range.first) {
      out.back().second = range.second;
    } else {
      out.push_back(range);
    }
  }
  *ranges = std::move(out);
}

}  // namespace

struct Tokenizer::State {
  explicit State(TokenizerParts from);

  std::vector<int32_t> Encode(std::string_view text,
                              std::span<const AddedTokenMatcher::Range> template_ranges) const;
  // One stretch of raw text between added tokens.
  void EncodeStretch(std::string_view text, bool at_start, std::vector<BpeModel::Symbol>* symbols,
                     std::vector<int32_t>* out, WorkBudget* budget) const;
  // One stretch of normalised text between added tokens.
  void EncodeNormalised(std::string text, bool at_start, std::vector<BpeModel::Symbol>* symbols,
                        std::vector<int32_t>* out, WorkBudget* budget) const;
  void EncodeWord(std::string_view word, std::vector<BpeModel::Symbol>* symbols,
                  std::vector<int32_t>* out) const;

  TokenizerParts parts;
  AddedTokenMatcher raw_matcher;                                  // before normalisation
  AddedTokenMatcher normalised_matcher;                           // after it
  std::vector<std::pair<std::string, int32_t>> added_by_content;  // sorted
  TextIndex index_of_bytes;
  std::vector<bool> control;
  bool cut_at_marks = false;
};

Tokenizer::State::State(TokenizerParts from)
    : parts(std::move(from)), index_of_bytes(parts.bytes_of_ids, parts.bytes_of_ids.size()) {
  const size_t num_ids = parts.bytes_of_ids.size();
  parts.special.resize(num_ids);
  control = parts.special;
  size_t added_bytes = 0;
  for (const AddedToken& token : parts.added_tokens) added_bytes += token.content.size();
  WorkBudget budget(added_bytes, parts.origin);
  size_t normalised_bytes = 0;
  for (const AddedToken& token : parts.added_tokens) {
    if (token.control) control[token.id] = true;
    added_by_content.emplace_back(token.content, token.id);
    if (token.normalized && !token.control && !parts.normalizer.empty()) {
      AddedToken normalised = token;
      parts.normalizer.Apply(&normalised.content, &budget);
      normalised_bytes += normalised.content.size();
      if (normalised_bytes > kAddedTokensBytesMax) {
        Throw(ErrorCode::kExhausted, "{}: the added tokens have more than {} bytes when normalised",
              parts.origin, kAddedTokensBytesMax);
      }
      normalised_matcher.Add(normalised);
    } else {
      // A control token is looked for as it is written even if the file says `normalized`: what is
      // of the template is known of the raw text only.
      raw_matcher.Add(token);
    }
  }
  std::stable_sort(added_by_content.begin(), added_by_content.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t id = 0; id < num_ids; ++id) {
    if (!control[id] && !parts.bytes_of_ids[id].empty()) {
      index_of_bytes.Insert(static_cast<int32_t>(id));
    }
  }
  if (parts.eos_id) parts.end_ids.push_back(*parts.eos_id);
  for (const auto& [content, id] : added_by_content) {
    if (control[id] &&
        std::count(std::begin(kEndOfTurnNames), std::end(kEndOfTurnNames), content)) {
      parts.end_ids.push_back(id);
    }
  }
  std::sort(parts.end_ids.begin(), parts.end_ids.end());
  parts.end_ids.erase(std::unique(parts.end_ids.begin(), parts.end_ids.end()), parts.end_ids.end());
  const BpeModel& model = *parts.model;
  cut_at_marks = parts.pre_tokenizer.empty() && model.unit == BpeModel::Unit::kCharacter &&
                 !model.whole_word_first && model.index.Find(kSpaceMark) >= 0 &&
                 MarksOnlyInFront(model);
}

void Tokenizer::State::EncodeWord(std::string_view word, std::vector<BpeModel::Symbol>* symbols,
                                  std::vector<int32_t>* out) const {
  if (!cut_at_marks) {
    parts.model->Encode(word, symbols, out);
    return;
  }
  size_t begin = 0;
  while (begin < word.size()) {
    size_t end = begin;  // past the marks in front, then up to the next one
    while (word.substr(end).starts_with(kSpaceMark)) end += kSpaceMark.size();
    end = std::min(word.find(kSpaceMark, end), word.size());
    parts.model->Encode(word.substr(begin, end - begin), symbols, out);
    begin = end;
  }
}

void Tokenizer::State::EncodeNormalised(std::string text, bool at_start,
                                        std::vector<BpeModel::Symbol>* symbols,
                                        std::vector<int32_t>* out, WorkBudget* budget) const {
  if (parts.pre_tokenizer.empty()) {
    EncodeWord(text, symbols, out);
    return;
  }
  std::vector<PreTokenizer::Word> words;
  parts.pre_tokenizer.Apply(at_start, &text, &words, budget);
  const std::string_view view = text;
  for (const auto& [begin, end] : words) EncodeWord(view.substr(begin, end - begin), symbols, out);
}

void Tokenizer::State::EncodeStretch(std::string_view text, bool at_start,
                                     std::vector<BpeModel::Symbol>* symbols,
                                     std::vector<int32_t>* out, WorkBudget* budget) const {
  if (text.empty()) return;
  std::string normalised(text);
  parts.normalizer.Apply(&normalised, budget);
  if (normalised_matcher.empty()) {
    EncodeNormalised(std::move(normalised), at_start, symbols, out, budget);
    return;
  }
  const std::string_view view = normalised;
  size_t done = 0;
  budget->BeginStage(parts.origin);
  for (const auto& match : normalised_matcher.FindAll(view, {}, budget)) {
    EncodeNormalised(std::string(view.substr(done, match.range.first - done)),
                     at_start && done == 0, symbols, out, budget);
    out->push_back(match.id);
    done = match.range.second;
  }
  EncodeNormalised(std::string(view.substr(done)), at_start && done == 0, symbols, out, budget);
}

std::vector<int32_t> Tokenizer::State::Encode(
    std::string_view text, std::span<const AddedTokenMatcher::Range> template_ranges) const {
  if (text.size() > kEncodeBytesMax) {
    Throw(ErrorCode::kExhausted, "{}: text of {} bytes, at most {} are encoded at once",
          parts.origin, text.size(), kEncodeBytesMax);
  }
  std::vector<int32_t> ids;
  std::vector<BpeModel::Symbol> symbols;
  WorkBudget budget(text.size(), parts.origin);
  size_t done = 0;
  for (const auto& match : raw_matcher.FindAll(text, template_ranges, &budget)) {
    EncodeStretch(text.substr(done, match.range.first - done), done == 0, &symbols, &ids, &budget);
    ids.push_back(match.id);
    done = match.range.second;
  }
  EncodeStretch(text.substr(done), done == 0, &symbols, &ids, &budget);
  return ids;
}

Tokenizer::Tokenizer(TokenizerParts parts) : state_(std::make_unique<State>(std::move(parts))) {}
Tokenizer::~Tokenizer() = default;

std::vector<int32_t> Tokenizer::Encode(std::string_view text, bool parse_special) const {
  const TextPiece piece{text, parse_special};
  return Encode(std::span(&piece, 1));
}

std::vector<int32_t> Tokenizer::Encode(std::span<const TextPiece> pieces) const {
  std::vector<AddedTokenMatcher::Range> template_ranges;
  if (pieces.size() == 1 && IsUtf8(pieces[0].text)) {  // the common case copies nothing
    if (pieces[0].is_template) template_ranges.push_back({0, pieces[0].text.size()});
    Normalise(&template_ranges);
    return state_->Encode(pieces[0].text, template_ranges);
  }
  std::string text;
  for (const TextPiece& piece : pieces) {
    const size_t begin = text.size();
    text += ReplaceInvalidUtf8(piece.text);
    if (piece.is_template) template_ranges.push_back({begin, text.size()});
  }
  Normalise(&template_ranges);
  return state_->Encode(text, template_ranges);
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (int32_t id : ids) {
    const std::string_view token = TokenBytes(id);
    if (!skip_special || !state_->parts.special[id]) bytes += token;
  }
  size_t num_stripped = 0;
  while (num_stripped < static_cast<size_t>(state_->parts.num_leading_spaces_stripped) &&
         num_stripped < bytes.size() && bytes[num_stripped] == ' ') {
    ++num_stripped;
  }
  return ReplaceInvalidUtf8(std::string_view(bytes).substr(num_stripped));
}

std::string_view Tokenizer::TokenBytes(int32_t id) const {
  if (id < 0 || id >= vocab_size()) {
    Throw(ErrorCode::kInvalid, "tokenizer: token id {} is outside the vocabulary [0, {})", id,
          vocab_size());
  }
  return state_->parts.bytes_of_ids[id];
}

int32_t Tokenizer::vocab_size() const {
  return static_cast<int32_t>(state_->parts.bytes_of_ids.size());
}

bool Tokenizer::IsSpecial(int32_t id) const {
  return id >= 0 && id < vocab_size() && state_->parts.special[id];
}

bool Tokenizer::IsControl(int32_t id) const {
  return id >= 0 && id < vocab_size() && state_->control[id];
}

std::optional<int32_t> Tokenizer::IdOf(std::string_view text) const {
  const auto& added = state_->added_by_content;
  const auto at = std::lower_bound(added.begin(), added.end(), text,
                                   [](const auto& entry, auto key) { return entry.first < key; });
  if (at != added.end() && at->first == text) return at->second;
  const int32_t id = state_->index_of_bytes.Find(text);
  return id < 0 ? std::nullopt : std::optional(id);
}

std::optional<int32_t> Tokenizer::bos_id() const { return state_->parts.bos_id; }
std::optional<int32_t> Tokenizer::eos_id() const { return state_->parts.eos_id; }
std::optional<int32_t> Tokenizer::unk_id() const { return state_->parts.unk_id; }
std::optional<int32_t> Tokenizer::pad_id() const { return state_->parts.pad_id; }
std::span<const int32_t> Tokenizer::end_ids() const { return state_->parts.end_ids; }
std::span<const int32_t> Tokenizer::prefix_ids() const { return state_->parts.prefix_ids; }
std::span<const int32_t> Tokenizer::suffix_ids() const { return state_->parts.suffix_ids; }

bool Tokenizer::AddsBos() const {
  const auto& ids = state_->parts.prefix_ids;
  return bos_id() && std::count(ids.begin(), ids.end(), *bos_id()) > 0;
}

bool Tokenizer::AddsEos() const {
  const auto& ids = state_->parts.suffix_ids;
  return eos_id() && std::count(ids.begin(), ids.end(), *eos_id()) > 0;
}

int Tokenizer::num_leading_spaces_stripped() const {
  return state_->parts.num_leading_spaces_stripped;
}

uint64_t Tokenizer::memory_bytes() const {
  const State& state = *state_;
  uint64_t total = state.parts.model->memory_bytes() + state.parts.bytes_of_ids.memory_bytes() +
                   state.index_of_bytes.memory_bytes() + state.raw_matcher.memory_bytes() +
                   state.normalised_matcher.memory_bytes();
  for (const auto& added : state.added_by_content) total += sizeof added + added.first.size();
  return total;
}

}  // namespace retort
