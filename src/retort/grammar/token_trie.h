#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace retort::grammar {

// Byte strings with token ids, as a trie. Children of a node lie side by side, ascending by byte.
class TokenTrie {
 public:
  struct Node {
    uint32_t first_child = 0;
    uint32_t tokens_begin = 0;  // ids of the whole subtree, those that end at this node first
    uint32_t tokens_end = 0;
    uint16_t num_children = 0;
    uint32_t num_own = 0;  // ids that end here
    uint8_t byte = 0;
  };

  TokenTrie() = default;
  // Texts may repeat; empty ones are left out.
  explicit TokenTrie(std::vector<std::pair<std::string_view, int32_t>> tokens);

  static constexpr uint32_t kRoot = 0;
  const Node& node(uint32_t index) const { return nodes_[index]; }
  std::span<const Node> Children(const Node& node) const {
    return std::span(nodes_).subspan(node.first_child, node.num_children);
  }
  std::span<const int32_t> Own(const Node& node) const {
    return std::span(tokens_).subspan(node.tokens_begin, node.num_own);
  }
  std::span<const int32_t> Below(const Node& node) const {  // without those that end at it
    return std::span(tokens_).subspan(node.tokens_begin + node.num_own,
                                      node.tokens_end - node.tokens_begin - node.num_own);
  }
  bool empty() const { return tokens_.empty(); }
  size_t num_nodes() const { return nodes_.size(); }
  uint64_t memory_bytes() const {
    return nodes_.capacity() * sizeof(Node) + tokens_.capacity() * 4;
  }

 private:
  std::vector<Node> nodes_;
  std::vector<int32_t> tokens_;
};

}  // namespace retort::grammar
