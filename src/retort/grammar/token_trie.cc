#include "retort/grammar/token_trie.h"

#include <algorithm>

namespace retort::grammar {

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
  // Children come after their parent.
  for (size_t i = nodes_.size(); i-- > 0;) {
    for (const Node& child : Children(nodes_[i])) {
      nodes_[i].groups_below |= child.groups_below | uint64_t{1} << ByteGroup(child.byte);
      const int height = std::min(child.height + 1, 255);
      nodes_[i].height = static_cast<uint8_t>(std::max<int>(nodes_[i].height, height));
    }
  }
}

PreorderTrie::PreorderTrie(const TokenTrie& trie) {
  struct Work {
    uint32_t node;
    uint32_t depth;
  };
  nodes_.reserve(trie.num_nodes());
  below_.reserve(trie.num_nodes());
  std::vector<uint32_t> path;  // nodes whose subtrees have not ended
  std::vector<Work> stack{{TokenTrie::kRoot, 0}};
  const auto end_down_to = [&](size_t depth) {
    while (path.size() > depth) {
      nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
      path.pop_back();
    }
  };
  while (!stack.empty()) {
    const Work work = stack.back();
    stack.pop_back();
    const TokenTrie::Node& at = trie.node(work.node);
    if (work.depth > 0) {
      end_down_to(work.depth - 1);
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      depth_max_ = std::max(depth_max_, work.depth);
      Node& node = nodes_.emplace_back();
      node.tokens_begin = at.tokens_begin;
      node.depth = work.depth;
      node.byte = at.byte;
      below_.push_back({at.groups_below, at.height});
    }
    for (uint32_t i = at.num_children; i-- > 0;) {
      stack.push_back({at.first_child + i, work.depth + 1});
    }
  }
  end_down_to(0);
  nodes_.emplace_back().tokens_begin = static_cast<uint32_t>(trie.tokens().size());
}

}  // namespace retort::grammar
