#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace retort::grammar {

// A set of groups of bytes, one bit each: whether a whole subtree keeps a lexer in its state is
// then a question of one operation. Printable ASCII is a group each; first bytes of UTF-8 by the
// number of bytes that follow, but for 0xE2, under which are the line separators that '.' leaves
// out.
__extension__ using ByteGroups = unsigned __int128;
inline constexpr ByteGroups GroupOf(uint8_t byte) {
  const int group = byte >= 0xF0   ? 12
                    : byte == 0xE2 ? 11
                    : byte >= 0xE0 ? 10
                    : byte >= 0xC0 ? 9
                    : byte >= 0x80 ? 8
                    : byte >= 0x20 ? byte
                    : byte == '\n' ? 1
                    : byte == '\t' ? 2
                    : byte == '\r' ? 3
                                   : 4;
  return ByteGroups{1} << group;
}
inline constexpr ByteGroups kGroupsBeyondAscii = ByteGroups{31} << 8;

// Byte strings with token ids, as a trie. Children of a node lie side by side, ascending by byte.
class TokenTrie {
 public:
  struct Node {
    uint32_t first_child = 0;
    uint32_t tokens_begin = 0;  // ids of the whole subtree, those that end at this node first
    uint32_t tokens_end = 0;
    uint32_t num_own = 0;  // ids that end here
    uint16_t num_children = 0;
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

// The nodes of a large trie but its root in preorder, small, with what lets a walk pass over many.
class TokenStream {
 public:
  struct Node {
    uint32_t end = 0;           // where the node after its subtree is
    uint32_t tokens_begin = 0;  // in TokenTrie::tokens(): its own, then those below
    uint32_t depth : 23 = 0;    // of its byte, from 1
    uint32_t is_described : 1 = 0;
    uint32_t byte : 8 = 0;
  };
  // The parts of tokens below a node.
  struct Below {
    ByteGroups groups = 0;  // of all their bytes
    uint8_t height = 0;     // bytes of the longest; at most 255
    bool is_text = true;    // each is UTF-8, but for a last character that is cut
  };

  TokenStream() = default;
  explicit TokenStream(const TokenTrie& trie);

  // The first is at 0. What is at size() begins where the last tokens end.
  const Node& node(uint32_t at) const { return nodes_[at]; }
  uint32_t next(uint32_t at) const { return at + 1 + nodes_[at].is_described; }
  uint32_t size() const { return static_cast<uint32_t>(nodes_.size() - 1); }
  // Where it is stands in an entry of its own, after the node.
  const Below& below(uint32_t described) const { return below_[nodes_[described + 1].end]; }
  // Of a node of the trie.
  uint32_t place_of(uint32_t node) const { return places_[node]; }
  uint32_t depth_max() const { return depth_max_; }

 private:
  std::vector<Node> nodes_;
  std::vector<Below> below_;
  std::vector<uint32_t> places_;
  uint32_t depth_max_ = 0;
};

}  // namespace retort::grammar
