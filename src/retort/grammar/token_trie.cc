#include "retort/grammar/token_trie.h"

#include <algorithm>

namespace retort::grammar {

TokenTrie::TokenTrie(std::vector<std::pair<std::string_view, int32_t>> tokens) {
  std::erase_if(tokens, [](const auto& token) { return token.first.empty(); });
  std::sort(tokens.begin(), tokens.end());
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
  // Children come after their parent.
  for (size_t i = nodes_.size(); i-- > 0;) {
    for (const Node& child : Children(nodes_[i])) {
      nodes_[i].groups_below |= child.groups_below | uint64_t{1} << ByteGroup(child.byte);
      const int height = std::min(child.height + 1, 255);
      nodes_[i].height = static_cast<uint8_t>(std::max<int>(nodes_[i].height, height));
    }
  }
}

}  // namespace retort::grammar
