#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "retort/tokenizer/vocabulary.h"

namespace retort {

// Merge rules by pair of ids: open addressing, 16 bytes a slot.
class MergeTable {
 public:
  struct Rule {
    uint32_t rank;  // lower merges first
    int32_t result;
  };
  static constexpr uint32_t kNoRank = UINT32_MAX;

  explicit MergeTable(size_t num_merges);

  // The first rule given for a pair holds. Throws Error{kInvalid} beyond kProbesMax.
  void Insert(int32_t left, int32_t right, Rule rule);
  // Rule{kNoRank, -1} if there is none.
  Rule Find(int32_t left, int32_t right) const {
    const uint64_t key = Key(left, right);
    for (uint64_t at = Slot(key);; at = (at + 1) & mask_) {
      if (slots_[at].key == key) return slots_[at].rule;
      if (slots_[at].key == kEmpty) return {kNoRank, -1};
    }
  }
  uint64_t memory_bytes() const { return slots_.capacity() * sizeof(Entry); }

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;
  struct Entry {
    uint64_t key;
    Rule rule;
  };
  static uint64_t Key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  uint64_t Slot(uint64_t key) const {
    key *= 0x9E3779B97F4A7C15u;
    return (key ^ key >> 32) & mask_;
  }

  uint64_t mask_;
  std::vector<Entry> slots_;
};

// A byte-pair-encoding model: one word -> ids. Immutable.
struct BpeModel {
  // What merges two neighbours: a rule for their pair of ids (tokenizer.json, GGUF `gpt2`), or that
  // their joined text is a token with a rank (SentencePiece, tiktoken).
  enum class MergeBy { kPair, kText };
  // What a word falls into before merging: bytes (byte-level) or characters.
  enum class Unit { kByte, kCharacter };

  BpeModel(StringTable texts_of_ids, size_t num_merges, size_t num_indexed);
  BpeModel(const BpeModel&) = delete;
  BpeModel& operator=(const BpeModel&) = delete;

  // A stretch of the word that is one token so far.
  struct Symbol {
    int32_t id;  // -1: a character that is no token by itself
    uint32_t begin;
    uint32_t end;
  };

  // Appends the ids of `word` (valid UTF-8, below 4 GiB) to `out`. O(n log n). `symbols` is room to
  // work in, kept between calls so that a word allocates nothing.
  void Encode(std::string_view word, std::vector<Symbol>* symbols, std::vector<int32_t>* out) const;

  uint64_t memory_bytes() const;

  StringTable texts;            // as the model sees them; "" for ids that it must not produce
  TextIndex index;              // of the texts that the model may produce
  MergeTable merges;            // kPair
  std::vector<uint32_t> ranks;  // kText: by id
  MergeBy merge_by = MergeBy::kPair;
  Unit unit = Unit::kByte;
  bool whole_word_first = false;  // a word that is a token is not merged (ignore_merges)
  bool fuse_unk = false;
  int32_t unk_id = -1;                    // -1: what has no token is left out
  size_t text_bytes_max = 0;              // longest text in the index
  std::array<int32_t, 256> id_of_byte{};  // the token of each byte (byte fallback), or -1

 private:
  void Split(std::string_view word, std::vector<Symbol>* symbols) const;
  MergeTable::Rule RuleFor(std::string_view word, const Symbol& left, const Symbol& right) const;
  void MergeShort(std::string_view word, std::vector<Symbol>* symbols) const;
  void MergeLong(std::string_view word, std::vector<Symbol>* symbols) const;
  void Emit(std::string_view word, const std::vector<Symbol>& symbols,
            std::vector<int32_t>* out) const;
  bool HasBytesFor(std::string_view text) const;
};

}  // namespace retort
