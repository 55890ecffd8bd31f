#include "retort/tokenizer/vocabulary_builder.h"

#include <algorithm>

#include "retort/base/error.h"
#include "retort/tokenizer/load_tokenizer.h"

namespace retort {
namespace {

// Bounded, so that a hostile name does not fill a message.
std::string_view Shown(std::string_view text) { return text.substr(0, 80); }

bool LooksLikeMarkup(std::string_view text) {
  return text.size() >= 3 && ((text.front() == '<' && text.back() == '>') ||
                              (text.front() == '[' && text.back() == ']'));
}

}  // namespace

void VocabularyBuilder::Add(int64_t id, std::string_view text, Kind kind) {
  if (id < 0 || id >= kVocabSizeMax) {
    Throw(ErrorCode::kInvalid, "{}: token \"{}\" has id {}, expected 0 to {}", origin_, Shown(text),
          id, kVocabSizeMax - 1);
  }
  if (text.size() > kTokenBytesMax) {
    Throw(ErrorCode::kInvalid, "{}: token {} has {} bytes, at most {} are taken", origin_, id,
          text.size(), kTokenBytesMax);
  }
  num_bytes_ += text.size();
  if (num_bytes_ > kVocabBytesMax) {
    Throw(ErrorCode::kExhausted, "{}: the tokens have more than {} bytes together", origin_,
          kVocabBytesMax);
  }
  ++num_tokens_;
  if (static_cast<size_t>(id) >= entries_.size()) entries_.resize(id + 1);
  Entry& entry = entries_[id];
  if (entry.kind != Kind::kAbsent && entry.text != text) {
    Throw(ErrorCode::kCorrupt, "{}: id {} is given to two tokens, \"{}\" and \"{}\"", origin_, id,
          Shown(entry.text), Shown(text));
  }
  if (entry.kind == Kind::kAbsent) entry = {text, kind};
}

void VocabularyBuilder::AddToken(int64_t id, AddedToken token) {
  if (token.content.empty()) {
    Throw(ErrorCode::kInvalid, "{}: added token {} has no content", origin_, id);
  }
  if (token.content.size() > kAddedTokenBytesMax) {
    Throw(ErrorCode::kInvalid, "{}: added token {} has {} bytes, at most {} are taken", origin_, id,
          token.content.size(), kAddedTokenBytesMax);
  }
  added_bytes_ += token.content.size();
  if (added_tokens_.size() == kAddedTokensMax || added_bytes_ > kAddedTokensBytesMax) {
    Throw(ErrorCode::kExhausted, "{}: more than {} added tokens, or {} bytes of them", origin_,
          kAddedTokensMax, kAddedTokensBytesMax);
  }
  added_tokens_.push_back(std::move(token));
  Add(id, added_tokens_.back().content, Kind::kOther);
  added_tokens_.back().id = static_cast<int32_t>(id);
}

void VocabularyBuilder::Finish(const std::vector<int32_t>& named) {
  if (entries_.size() > kIdsPerTokenMax * num_tokens_ + kFreeIdsMax) {
    Throw(ErrorCode::kInvalid, "{}: the largest id is {}, but there are only {} tokens", origin_,
          entries_.size() - 1, num_tokens_);
  }
  size_t num_bytes = 0;
  for (const Entry& entry : entries_) num_bytes += entry.text.size();
  texts_.Reserve(entries_.size(), num_bytes);
  for (const Entry& entry : entries_) texts_.Append(entry.text);
  for (size_t id = 0; id < entries_.size(); ++id) entries_[id].text = texts_[id];
  index_ = std::make_unique<TextIndex>(texts_, entries_.size());
  for (size_t id = 0; id < entries_.size(); ++id) {
    if (entries_[id].kind != Kind::kAbsent) index_->Insert(static_cast<int32_t>(id));
  }
  // A byte token stands for its byte, which any text may need: it is nobody's markup.
  std::erase_if(added_tokens_,
                [&](const AddedToken& token) { return KindOf(token.id) == Kind::kByte; });
  control_.assign(entries_.size(), false);
  for (AddedToken& token : added_tokens_) {
    if (const int32_t id = IdOf(token.content); id != token.id) {
      Throw(ErrorCode::kCorrupt, "{}: added token \"{}\" has id {}, but the vocabulary says {}",
            origin_, Shown(token.content), token.id, id);
    }
    token.control = token.special || LooksLikeMarkup(token.content) ||
                    std::find(named.begin(), named.end(), token.id) != named.end();
    control_[token.id] = control_[token.id] || token.control;
  }
  // A token with a role and a name like "<s>" is one even if the file does not list it as added.
  for (int32_t id : named) {
    if (control_[id] || KindOf(id) == Kind::kByte || !LooksLikeMarkup(entries_[id].text)) continue;
    AddedToken token;
    token.id = id;
    token.content = entries_[id].text;
    token.special = token.control = true;
    added_tokens_.push_back(std::move(token));
    control_[id] = true;
  }
}

std::unique_ptr<BpeModel> VocabularyBuilder::MakeModel(BpeModel::Unit unit,
                                                       BpeModel::MergeBy merge_by,
                                                       Spelling spelling, size_t num_merges) const {
  if (num_merges > kMergesMax) {
    Throw(ErrorCode::kExhausted, "{}: {} merges, at most {} are taken", origin_, num_merges,
          kMergesMax);
  }
  StringTable texts;
  texts.Reserve(entries_.size(), 0);
  std::string bytes;
  size_t num_indexed = 0;
  size_t text_bytes_max = 0;
  for (size_t id = 0; id < entries_.size(); ++id) {
    std::string_view text;
    if (entries_[id].kind == Kind::kNormal && !control_[id]) {
      if (spelling == Spelling::kPlain) {
        text = entries_[id].text;
      } else if (BytesFromByteLevel(entries_[id].text, &bytes)) {
        text = bytes;
      }
    }
    texts.Append(text);
    num_indexed += !text.empty();
    text_bytes_max = std::max(text_bytes_max, text.size());
  }
  auto model = std::make_unique<BpeModel>(std::move(texts), num_merges, num_indexed);
  model->unit = unit;
  model->merge_by = merge_by;
  model->text_bytes_max = text_bytes_max;
  for (size_t id = 0; id < entries_.size(); ++id) {
    if (!model->texts[id].empty()) model->index.Insert(static_cast<int32_t>(id));
    if (entries_[id].kind == Kind::kByte) {
      if (const auto byte = ByteOfFallbackToken(entries_[id].text)) {
        model->id_of_byte[*byte] = static_cast<int32_t>(id);
      }
    }
  }
  if (unit == BpeModel::Unit::kByte) {
    for (int byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      model->id_of_byte[byte] = model->index.Find({&c, 1});
    }
  }
  return model;
}

void VocabularyBuilder::AddMerge(std::string_view left, std::string_view right, uint32_t rank,
                                 BpeModel* model) const {
  const auto find = [&](std::string_view text, std::string_view role) {
    const int32_t id = IdOf(text);
    if (id < 0) {
      Throw(ErrorCode::kCorrupt,
            "{}: merge {} (\"{}\" + \"{}\"): its {} is not a token of the vocabulary", origin_,
            rank, Shown(left), Shown(right), role);
    }
    return id;
  };
  const int32_t left_id = find(left, "left part");
  const int32_t right_id = find(right, "right part");
  std::string joined(left);
  joined += right;
  const int32_t result = find(joined, "result");
  if (!IsControl(result)) model->merges.Insert(left_id, right_id, {rank, result});
}

void VocabularyBuilder::FillParts(TokenizerParts* parts) {
  parts->origin = origin_;
  parts->special.assign(entries_.size(), false);
  for (const AddedToken& token : added_tokens_) {
    if (token.special) parts->special[token.id] = true;
  }
  parts->added_tokens.assign(std::make_move_iterator(added_tokens_.begin()),
                             std::make_move_iterator(added_tokens_.end()));
}

}  // namespace retort
