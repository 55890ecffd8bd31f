#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace retort::grammar {

// Bytes in at most 64 groups, such that what tends to be treated alike is together: whether a whole
// subtree keeps a lexer in its state is then a question of one word.
inline constexpr int ByteGroup(uint8_t byte) {
  if (byte >= 0x80) return byte < 0xC0 ? 60 : byte < 0xE0 ? 61 : byte < 0xF0 ? 62 : 63;
  if (byte >= 'a' && byte <= 'z') return byte <= 'f' ? 0 : 1;
  if (byte >= 'A' && byte <= 'Z') return byte <= 'F' ? 2 : 3;
  if (byte >= '0' && byte <= '9') return 4;
  if (byte < 0x20) return byte == '\n' ? 5 : byte == '\t' ? 6 : byte == '\r' ? 7 : 8;
  // Every other printable character by itself.
  return byte < '0'   ? 9 + (byte - 0x20)
         : byte < 'A' ? 25 + (byte - ':')
         : byte < 'a' ? 32 + (byte - '[')
                      : 38 + (byte - '{');
}

// Byte strings with token ids, as a trie. Children of a node lie side by side, ascending by byte.
class TokenTrie {
 public:
  struct Node {
    uint64_t groups_below = 0;  // ByteGroup bits of every byte below
    uint32_t first_child = 0;
    uint32_t tokens_begin = 0;  // ids of the whole subtree, those that end at this node first
    uint32_t tokens_end = 0;
    uint16_t num_children = 0;
    uint32_t num_own = 0;  // ids that end here
    uint8_t byte = 0;
    uint8_t height = 0;  // bytes of the longest token below, beyond this node; at most 255
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
  std::span<const int32_t> Subtree(const Node& node) const {
    return std::span(tokens_).subspan(node.tokens_begin, node.tokens_end - node.tokens_begin);
  }
  std::span<const int32_t> Below(const Node& node) const {  // without those that end at it
    return std::span(tokens_).subspan(node.tokens_begin + node.num_own,
                                      node.tokens_end - node.tokens_begin - node.num_own);
  }
  std::span<const int32_t> tokens() const { return tokens_; }  // all, in the order of their texts
  bool empty() const { return tokens_.empty(); }
  size_t num_nodes() const { return nodes_.size(); }
  uint64_t memory_bytes() const {
    return nodes_.capacity() * sizeof(Node) + tokens_.capacity() * 4;
  }

 private:
  std::vector<Node> nodes_;
  std::vector<int32_t> tokens_;
};

// A trie's nodes but its root in preorder, small: for walks through all of it from front to back.
class PreorderTrie {
 public:
  struct Node {
    uint32_t end = 0;           // the node after its subtree
    uint32_t tokens_begin = 0;  // in TokenTrie::tokens(): its own, then those below
    uint32_t depth : 24 = 0;    // of its byte, from 1
    uint32_t byte : 8 = 0;
  };
  struct Below {  // see TokenTrie::Node
    uint64_t groups = 0;
    uint8_t height = 0;
  };

  PreorderTrie() = default;
  explicit PreorderTrie(const TokenTrie& trie);

  // One more at the end, which begins where the last tokens end.
  std::span<const Node> nodes() const { return nodes_; }
  const Below& below(uint32_t index) const { return below_[index]; }
  uint32_t depth_max() const { return depth_max_; }

 private:
  std::vector<Node> nodes_;
  std::vector<Below> below_;
  uint32_t depth_max_ = 0;
};

}  // namespace retort::grammar
