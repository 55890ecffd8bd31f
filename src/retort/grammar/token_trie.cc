#include "retort/grammar/token_trie.h"

#include <algorithm>

namespace retort::grammar {
namespace {

// Within a character of UTF-8.
struct Utf8Place {
  uint8_t num_left = 0;
  uint8_t least = 0x80;  // of the next byte
  uint8_t most = 0xBF;

  // False if it cannot come here.
  bool Read(uint8_t byte) {
    if (num_left > 0) {
      const bool fits = byte >= least && byte <= most;
      *this = {static_cast<uint8_t>(num_left - 1)};
      return fits;
    }
    if (byte < 0x80) return true;
    if (byte < 0xC2 || byte > 0xF4) return false;
    num_left = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    if (byte == 0xE0) least = 0xA0;
    if (byte == 0xED) most = 0x9F;
    if (byte == 0xF0) least = 0x90;
    if (byte == 0xF4) most = 0x8F;
    return true;
  }
};

std::vector<TokenStream::Below> DescribeBelow(const TokenTrie& trie) {
  std::vector<TokenStream::Below> all(trie.num_nodes());
  // Children come after their parent.
  for (auto i = static_cast<uint32_t>(all.size()); i-- > 0;) {
    TokenStream::Below& below = all[i];
    const TokenTrie::Node& node = trie.node(i);
    for (uint32_t child = node.first_child; child < node.first_child + node.num_children; ++child) {
      below.groups |= all[child].groups | GroupOf(trie.node(child).byte);
      const int height = std::min(all[child].height + 1, 255);
      below.height = static_cast<uint8_t>(std::max<int>(below.height, height));
    }
  }
  struct Work {
    uint32_t node;
    Utf8Place place;
  };
  std::vector<Work> stack;
  for (uint32_t i = 0; i < all.size(); ++i) {
    if ((all[i].groups & kGroupsBeyondAscii) == 0) continue;
    stack.assign(1, {i, {}});
    while (!stack.empty() && all[i].is_text) {
      const Work work = stack.back();
      stack.pop_back();
      const TokenTrie::Node& at = trie.node(work.node);
      for (uint32_t child = at.first_child; child < at.first_child + at.num_children; ++child) {
        Utf8Place place = work.place;
        all[i].is_text = all[i].is_text && place.Read(trie.node(child).byte);
        stack.push_back({child, place});
      }
    }
  }
  return all;
}

}  // namespace

TokenTrie::TokenTrie(std::vector<std::pair<std::string_view, int32_t>> tokens) {
  std::erase_if(tokens, [](const auto& token) { return token.first.empty(); });
  if (!std::is_sorted(tokens.begin(), tokens.end())) std::sort(tokens.begin(), tokens.end());
  tokens_.reserve(tokens.size());
  for (const auto& [text, id] : tokens) tokens_.push_back(id);
  struct Work {
    uint32_t node;
    size_t depth;
  };
  nodes_.emplace_back();
  nodes_[0].tokens_end = static_cast<uint32_t>(tokens.size());
  std::vector<Work> stack{{0, 0}};
  while (!stack.empty()) {
    const auto [index, depth] = stack.back();
    stack.pop_back();
    const uint32_t end = nodes_[index].tokens_end;
    uint32_t i = nodes_[index].tokens_begin;
    while (i < end && tokens[i].first.size() == depth) ++i;
    nodes_[index].num_own = i - nodes_[index].tokens_begin;
    nodes_[index].first_child = static_cast<uint32_t>(nodes_.size());
    while (i < end) {
      Node child;
      child.byte = static_cast<uint8_t>(tokens[i].first[depth]);
      child.tokens_begin = i;
      while (i < end && static_cast<uint8_t>(tokens[i].first[depth]) == child.byte) ++i;
      child.tokens_end = i;
      nodes_.push_back(child);
      ++nodes_[index].num_children;
    }
    for (uint32_t k = nodes_[index].num_children; k-- > 0;) {
      stack.push_back({nodes_[index].first_child + k, depth + 1});
    }
  }
}

TokenStream::TokenStream(const TokenTrie& trie) {
  // Fewer tokens are sooner walked through than asked about.
  constexpr uint32_t kDescribedTokensMin = 3;
  struct Work {
    uint32_t node;
    uint32_t depth;
  };
  const std::vector<Below> below = DescribeBelow(trie);
  nodes_.reserve(trie.num_nodes() + trie.num_nodes() / 4);
  places_.resize(trie.num_nodes());
  std::vector<uint32_t> path;  // nodes whose subtrees have not ended
  std::vector<Work> stack{{TokenTrie::kRoot, 0}};
  const auto end_down_to = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back()) {
      nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
    }
  };
  while (!stack.empty()) {
    const Work work = stack.back();
    stack.pop_back();
    const TokenTrie::Node& at = trie.node(work.node);
    if (work.depth > 0) {
      end_down_to(work.depth - 1);
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      places_[work.node] = path.back();
      depth_max_ = std::max(depth_max_, work.depth);
      Node& node = nodes_.emplace_back();
      node.tokens_begin = at.tokens_begin;
      node.depth = work.depth;
      node.byte = at.byte;
      if (trie.Below(at).size() >= kDescribedTokensMin) {
        node.is_described = 1;
        nodes_.emplace_back().end = static_cast<uint32_t>(below_.size());
        below_.push_back(below[work.node]);
      }
    }
    for (uint32_t i = at.num_children; i-- > 0;) {
      stack.push_back({at.first_child + i, work.depth + 1});
    }
  }
  end_down_to(0);
  nodes_.emplace_back().tokens_begin = static_cast<uint32_t>(trie.tokens().size());
}

}  // namespace retort::grammar
