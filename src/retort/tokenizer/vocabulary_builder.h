#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "retort/tokenizer/bpe.h"
#include "retort/tokenizer/tokenizer_parts.h"
#include "retort/tokenizer/vocabulary.h"

namespace retort {

// The tokens as a file spells them, by id, and what the loaders derive from them.
class VocabularyBuilder {
 public:
  enum class Kind : uint8_t {
    kAbsent,  // no token has this id
    kNormal,  // may come out of merging
    kByte,    // stands for one byte
    kOther,   // stands only for itself: added tokens outside the model, unused ones
  };

  // How the file spells the bytes of normal tokens.
  enum class Spelling { kPlain, kByteLevel };

  explicit VocabularyBuilder(std::string origin) : origin_(std::move(origin)) {}
  VocabularyBuilder(const VocabularyBuilder&) = delete;
  VocabularyBuilder& operator=(const VocabularyBuilder&) = delete;

  // Throws Error{kInvalid} if the id or the text is beyond what is taken, {kExhausted} if all texts
  // together are, {kCorrupt} if the id is taken by another text.
  void Add(int64_t id, std::string_view text, Kind kind);

  size_t num_ids() const { return entries_.size(); }
  size_t num_bytes() const { return num_bytes_; }  // of all texts
  const std::string& origin() const { return origin_; }
  std::string_view TextOf(int32_t id) const { return entries_[id].text; }
  Kind KindOf(int32_t id) const { return entries_[id].kind; }

  // Enters an added token, as token of its own or as another role of a token that is there. Throws
  // as Add does.
  void AddToken(int64_t id, AddedToken token);

  // Call after the last Add: texts become findable, and the control tokens are told from the
  // others. `named` are ids with a role (bos, eos, pad, unk). Throws Error{kInvalid} if most ids up
  // to the largest are nobody's.
  void Finish(const std::vector<int32_t>& named);

  // The id of a token as the file spells it, -1 if there is none. After Finish.
  int32_t IdOf(std::string_view text) const { return index_->Find(text); }

  // The model without merges or ranks. After Finish. Control tokens can never come out of it.
  std::unique_ptr<BpeModel> MakeModel(BpeModel::Unit unit, BpeModel::MergeBy merge_by,
                                      Spelling spelling, size_t num_merges) const;

  // Enters rule number `rank`. Throws Error{kCorrupt} if it names or makes a token that is not
  // there.
  void AddMerge(std::string_view left, std::string_view right, uint32_t rank,
                BpeModel* model) const;

  // special and added_tokens of the parts. After Finish.
  void FillParts(TokenizerParts* parts);

 private:
  struct Entry {
    std::string_view text;
    Kind kind = Kind::kAbsent;
  };
  bool IsControl(int32_t id) const { return control_[id]; }

  std::string origin_;
  size_t num_tokens_ = 0;
  size_t num_bytes_ = 0;
  size_t added_bytes_ = 0;
  std::vector<Entry> entries_;           // texts are their givers' until Finish, then texts_'s
  std::deque<AddedToken> added_tokens_;  // entries_ look into it
  std::vector<bool> control_;
  StringTable texts_;
  std::unique_ptr<TextIndex> index_;
};

}  // namespace retort
