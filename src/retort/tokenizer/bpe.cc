#include "retort/tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <queue>

#include "retort/base/error.h"
#include "retort/tokenizer/utf8.h"

namespace retort {

namespace {
// Up to here a scan for the best pair beats a heap.
constexpr size_t kShortWordSymbolsMax = 48;
}  // namespace

MergeTable::MergeTable(size_t num_merges) {
  const uint64_t num_slots = std::bit_ceil(num_merges + num_merges / 3 + 8);
  mask_ = num_slots - 1;
  slots_.assign(num_slots, Entry{kEmpty, {kNoRank, -1}});
}

void MergeTable::Insert(int32_t left, int32_t right, Rule rule) {
  const uint64_t key = Key(left, right);
  uint64_t at = Slot(key);
  for (size_t num_probes = 0; slots_[at].key != kEmpty; ++num_probes) {
    if (slots_[at].key == key) return;
    if (num_probes == kProbesMax) {
      Throw(ErrorCode::kInvalid,
            "merge {}: more than {} merges fall on one place of the table, as if made to",
            rule.rank, kProbesMax);
    }
    at = (at + 1) & mask_;
  }
  slots_[at] = {key, rule};
}

BpeModel::BpeModel(StringTable texts_of_ids, size_t num_merges, size_t num_indexed)
    : texts(std::move(texts_of_ids)), index(texts, num_indexed), merges(num_merges) {
  id_of_byte.fill(-1);
}

uint64_t BpeModel::memory_bytes() const {
  return texts.memory_bytes() + index.memory_bytes() + merges.memory_bytes() +
         ranks.capacity() * sizeof(uint32_t);
}

bool BpeModel::HasBytesFor(std::string_view text) const {
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return id_of_byte[static_cast<uint8_t>(c)] >= 0; });
}

void BpeModel::Split(std::string_view word, std::vector<Symbol>* symbols) const {
  const auto size = static_cast<uint32_t>(word.size());
  if (unit == Unit::kByte) {
    for (uint32_t i = 0; i < size; ++i) {
      symbols->push_back({id_of_byte[static_cast<uint8_t>(word[i])], i, i + 1});
    }
    return;
  }
  for (uint32_t i = 0; i < size;) {
    const uint32_t end = std::min<uint32_t>(i + Utf8Length(word[i]), size);
    const std::string_view character = word.substr(i, end - i);
    const int32_t id = index.Find(character);
    // With rules by pair the byte tokens are symbols like any other, so they may merge; with rules
    // by text they only stand for what is left over in the end (Emit).
    if (id < 0 && merge_by == MergeBy::kPair && HasBytesFor(character)) {
      for (uint32_t j = i; j < end; ++j) {
        symbols->push_back({id_of_byte[static_cast<uint8_t>(word[j])], j, j + 1});
      }
    } else {
      symbols->push_back({id, i, end});
    }
    i = end;
  }
}

MergeTable::Rule BpeModel::RuleFor(std::string_view word, const Symbol& left,
                                   const Symbol& right) const {
  if (merge_by == MergeBy::kPair) {
    if (left.id < 0 || right.id < 0) return {MergeTable::kNoRank, -1};
    return merges.Find(left.id, right.id);
  }
  if (right.end - left.begin > text_bytes_max) return {MergeTable::kNoRank, -1};
  const int32_t id = index.Find(word.substr(left.begin, right.end - left.begin));
  if (id < 0) return {MergeTable::kNoRank, -1};
  return {ranks[id], id};
}

void BpeModel::MergeShort(std::string_view word, std::vector<Symbol>* symbols) const {
  size_t n = symbols->size();
  Symbol* s = symbols->data();
  std::array<MergeTable::Rule, kShortWordSymbolsMax> rules;  // rules[i] joins s[i] and s[i + 1]
  for (size_t i = 0; i + 1 < n; ++i) rules[i] = RuleFor(word, s[i], s[i + 1]);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (rules[i].rank < rules[best].rank) best = i;
    }
    if (rules[best].rank == MergeTable::kNoRank) break;
    s[best] = {rules[best].result, s[best].begin, s[best + 1].end};
    std::copy(s + best + 2, s + n, s + best + 1);
    --n;
    std::copy(rules.begin() + best + 1, rules.begin() + n, rules.begin() + best);
    if (best + 1 < n) rules[best] = RuleFor(word, s[best], s[best + 1]);
    if (best > 0) rules[best - 1] = RuleFor(word, s[best - 1], s[best]);
  }
  symbols->resize(n);
}

void BpeModel::MergeLong(std::string_view word, std::vector<Symbol>* symbols) const {
  struct Candidate {
    uint32_t rank;
    uint32_t left;  // index of the left symbol
    uint32_t left_end;
    uint32_t right_end;  // the pair is as it was when this was queued only if both ends still hold
    int32_t result;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  std::vector<Symbol>& s = *symbols;
  const auto n = static_cast<uint32_t>(s.size());
  std::vector<uint32_t> previous(n), next(n);  // a list over the symbols still there
  std::vector<Candidate> storage;
  storage.reserve(n);
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue(std::greater<>(),
                                                                               std::move(storage));
  const auto consider = [&](uint32_t left) {
    const uint32_t right = next[left];
    if (right == n) return;
    const MergeTable::Rule rule = RuleFor(word, s[left], s[right]);
    if (rule.rank != MergeTable::kNoRank) {
      queue.push({rule.rank, left, s[left].end, s[right].end, rule.result});
    }
  };
  for (uint32_t i = 0; i < n; ++i) {
    previous[i] = i - 1;  // of the first: never followed
    next[i] = i + 1;
  }
  for (uint32_t i = 0; i + 1 < n; ++i) consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = s[best.left];
    if (left.begin == left.end || left.end != best.left_end) continue;  // merged away, or grown
    const uint32_t right = next[best.left];
    if (right == n || s[right].end != best.right_end) continue;
    left.id = best.result;
    left.end = s[right].end;
    s[right].begin = s[right].end;  // an empty symbol is gone
    next[best.left] = next[right];
    if (next[right] != n) previous[next[right]] = best.left;
    consider(best.left);
    if (best.left != 0) consider(previous[best.left]);
  }
  std::erase_if(s, [](const Symbol& symbol) { return symbol.begin == symbol.end; });
}

void BpeModel::Emit(std::string_view word, const std::vector<Symbol>& symbols,
                    std::vector<int32_t>* out) const {
  bool after_unk = false;
  for (const Symbol& symbol : symbols) {
    if (symbol.id >= 0) {
      out->push_back(symbol.id);
      after_unk = false;
      continue;
    }
    const std::string_view text = word.substr(symbol.begin, symbol.end - symbol.begin);
    if (HasBytesFor(text)) {
      for (char c : text) out->push_back(id_of_byte[static_cast<uint8_t>(c)]);
      after_unk = false;
    } else if (unk_id >= 0) {
      if (!(after_unk && fuse_unk)) out->push_back(unk_id);
      after_unk = true;
    }
  }
}

void BpeModel::Encode(std::string_view word, std::vector<Symbol>* symbols,
                      std::vector<int32_t>* out) const {
  if (word.empty()) return;
  if (whole_word_first) {
    const int32_t id = index.Find(word);
    if (id >= 0) {
      out->push_back(id);
      return;
    }
  }
  symbols->clear();
  Split(word, symbols);
  if (symbols->size() <= kShortWordSymbolsMax) {
    MergeShort(word, symbols);
  } else {
    MergeLong(word, symbols);
  }
  Emit(word, *symbols, out);
}

}  // namespace retort
