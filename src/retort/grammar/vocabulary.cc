#include "retort/grammar/vocabulary.h"

#include <algorithm>

#include "retort/grammar/lexer.h"

namespace retort::grammar {

uint64_t MaskEntry::memory_bytes() const {
  uint64_t bytes = sizeof(*this) + bits.capacity() * 4 + ids.capacity() * 4;
  for (const Exit& exit : exits) bytes += sizeof(exit) + exit.rest->memory_bytes();
  return bytes;
}

Vocabulary::Vocabulary(std::shared_ptr<const Tokenizer> tokenizer, std::span<const int32_t> end_ids)
    : tokenizer_(std::move(tokenizer)), size_(tokenizer_->vocab_size()) {
  texts_.resize(size_);
  const auto ends = tokenizer_->end_ids();
  end_ids_.assign(ends.begin(), ends.end());
  for (const int32_t id : end_ids) {
    if (id >= 0 && id < size_) end_ids_.push_back(id);
  }
  std::sort(end_ids_.begin(), end_ids_.end());
  end_ids_.erase(std::unique(end_ids_.begin(), end_ids_.end()), end_ids_.end());
  for (int32_t id = 0; id < size_; ++id) {
    if (tokenizer_->IsSpecial(id) || tokenizer_->IsControl(id) || IsEnd(id)) continue;
    texts_[id] = tokenizer_->TokenBytes(id);
  }
  Build();
}

Vocabulary::Vocabulary(std::vector<std::string> tokens, std::vector<int32_t> end_ids)
    : owned_(std::move(tokens)),
      end_ids_(std::move(end_ids)),
      size_(static_cast<int32_t>(owned_.size())) {
  std::sort(end_ids_.begin(), end_ids_.end());
  texts_.assign(owned_.begin(), owned_.end());
  for (const int32_t id : end_ids_) texts_[id] = {};
  Build();
}

void Vocabulary::Build() {
  std::vector<std::pair<std::string_view, int32_t>> tokens;
  tokens.reserve(size_);
  for (int32_t id = 0; id < size_; ++id) {
    if (!texts_[id].empty()) tokens.emplace_back(texts_[id], id);
  }
  trie_ = TokenTrie(std::move(tokens));
  token_stream_ = TokenStream(trie_);
  BuildProfile();
}

void Vocabulary::BuildProfile() {
  Limits limits;
  RegexPool pool(limits);
  Lexer lexer(&pool, limits, Spelling::kPlain);
  // The state after the opening quote of a string of any text.
  const LexState body = lexer.Step(lexer.Json(Lexer::Before::kNothing, kNothing, kEverything), '"');
  std::vector<std::pair<uint32_t, int32_t>> inside;
  for (int32_t id = 0; id < size_; ++id) {
    const std::string_view text = texts_[id];
    LexState state = body;
    uint32_t count = 0;  // characters begun
    size_t i = 0;
    for (; i < text.size() && state != kDeadState && !lexer.Accepts(state); ++i) {
      const bool between = state == body;
      state = lexer.Step(state, static_cast<uint8_t>(text[i]));
      // A surrogate pair is one character: its second half does not begin at `body`.
      if (between && state != kDeadState && !lexer.Accepts(state)) ++count;
    }
    if (text.empty() || state == kDeadState) continue;
    if (lexer.Accepts(state)) {
      profile_.ends.push_back({count, id, text.substr(i)});
    } else {
      inside.emplace_back(count, id);
    }
    profile_.count_max = std::max(profile_.count_max, count);
  }
  std::sort(profile_.ends.begin(), profile_.ends.end(),
            [](const auto& a, const auto& b) { return a.rest < b.rest; });
  std::vector<std::pair<std::string_view, int32_t>> rests;
  for (const auto& end : profile_.ends) {
    if (!end.rest.empty()) rests.emplace_back(end.rest, end.id);
  }
  profile_.num_rests = rests.size();
  profile_.rests = std::make_shared<const TokenTrie>(std::move(rests));
  std::sort(inside.begin(), inside.end());
  profile_.within.resize(profile_.count_max + 1);
  std::vector<uint32_t> bits(num_mask_words());
  size_t at = 0;
  for (uint32_t n = 0; n <= profile_.count_max; ++n) {
    for (; at < inside.size() && inside[at].first == n; ++at) {
      bits[inside[at].second >> 5] |= 1u << (inside[at].second & 31);
    }
    profile_.within[n] = bits;
  }
}

bool Vocabulary::IsEnd(int32_t id) const {
  return std::binary_search(end_ids_.begin(), end_ids_.end(), id);
}

std::vector<int32_t> Vocabulary::LongestTokens(std::string_view text) const {
  std::vector<int32_t> ids;
  while (!text.empty()) {
    uint32_t node = TokenTrie::kRoot;
    size_t size = 0;
    int32_t id = -1;
    for (size_t i = 0; i < text.size(); ++i) {
      const auto children = trie_.Children(trie_.node(node));
      const auto it = std::find_if(children.begin(), children.end(), [&](const auto& child) {
        return child.byte == static_cast<uint8_t>(text[i]);
      });
      if (it == children.end()) break;
      node = trie_.node(node).first_child + static_cast<uint32_t>(it - children.begin());
      const auto own = trie_.Own(trie_.node(node));
      if (own.empty()) continue;
      id = own.front();
      size = i + 1;
    }
    if (id < 0) break;
    ids.push_back(id);
    text.remove_prefix(size);
  }
  return ids;
}

std::shared_ptr<const MaskEntry> Vocabulary::FindMask(const MaskKey& key) const {
  Shard& shard = shards_[key.state.high % kNumShards];
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.masks.find(key);
  return it == shard.masks.end() ? nullptr : it->second;
}

void Vocabulary::KeepMask(const MaskKey& key, std::shared_ptr<const MaskEntry> entry) const {
  Shard& shard = shards_[key.state.high % kNumShards];
  const uint64_t bytes = entry->memory_bytes();
  const std::lock_guard lock(shard.mutex);
  if (shard.bytes + bytes > kMaskBytesMax / kNumShards) {
    // Begin anew: what is used often is back soon, and those in use are held by their users.
    shard.masks.clear();
    shard.bytes = 0;
  }
  if (shard.masks.emplace(key, std::move(entry)).second) shard.bytes += bytes;
}

}  // namespace retort::grammar
