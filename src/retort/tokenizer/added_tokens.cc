#include "retort/tokenizer/added_tokens.h"

#include "retort/tokenizer/utf8.h"

namespace retort {
namespace {

// A node may be anywhere in memory: it costs as much as so many looks of a pattern.
constexpr uint64_t kLooksPerNode = 4;

size_t CharacterBefore(std::string_view text, size_t at) {
  do {
    --at;
  } while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
  return at;
}

bool WordAt(std::string_view text, size_t at) {
  return IsWordCodePoint(NextUtf8(text.substr(at)).code_point);
}

bool SpaceAt(std::string_view text, size_t at) {
  return IsSpaceCodePoint(NextUtf8(text.substr(at)).code_point);
}

}  // namespace

int32_t AddedTokenMatcher::ChildOf(int32_t node, uint8_t byte, uint64_t* num_looks) const {
  for (int32_t child = nodes_[node].first_child; child >= 0; child = nodes_[child].next_sibling) {
    ++*num_looks;
    if (nodes_[child].byte == byte) return child;
  }
  return -1;
}

void AddedTokenMatcher::Add(const AddedToken& token) {
  if (token.content.empty()) return;
  int32_t node = 0;
  uint64_t num_looks = 0;  // bounded by the size of the file: 256 a byte
  for (char c : token.content) {
    const auto byte = static_cast<uint8_t>(c);
    int32_t child = ChildOf(node, byte, &num_looks);
    if (child < 0) {
      child = static_cast<int32_t>(nodes_.size());
      Node fresh;
      fresh.byte = byte;
      fresh.next_sibling = nodes_[node].first_child;
      nodes_.push_back(fresh);
      nodes_[node].first_child = child;
      if (node == 0) first_[byte] = child;
    }
    node = child;
  }
  if (nodes_[node].token >= 0) return;
  nodes_[node].token = static_cast<int32_t>(tokens_.size());
  tokens_.push_back({token.id, token.single_word, token.lstrip, token.rstrip, token.control});
}

int32_t AddedTokenMatcher::LongestAt(std::string_view text, size_t at, size_t template_end,
                                     size_t* end, WorkBudget* budget) const {
  int32_t best = -1;
  uint64_t num_looks = 1;
  int32_t node = first_[static_cast<uint8_t>(text[at])];
  for (size_t next = at + 1; node > 0; ++next) {
    const int32_t token = nodes_[node].token;
    if (token >= 0 && (!tokens_[token].control || next <= template_end)) {
      best = token;
      *end = next;
    }
    if (next == text.size()) break;
    node = ChildOf(node, static_cast<uint8_t>(text[next]), &num_looks);
  }
  budget->Look(num_looks * kLooksPerNode);
  return best;
}

std::vector<AddedTokenMatcher::Match> AddedTokenMatcher::FindAll(
    std::string_view text, std::span<const Range> template_ranges, WorkBudget* budget) const {
  std::vector<Match> matches;
  size_t range = 0;
  size_t done = 0;  // end of the last match with what it took along
  for (size_t at = 0; at < text.size();) {
    if (first_[static_cast<uint8_t>(text[at])] == 0) {
      ++at;
      continue;
    }
    while (range < template_ranges.size() && template_ranges[range].second <= at) ++range;
    const bool in_template = range < template_ranges.size() && template_ranges[range].first <= at;
    size_t end = 0;
    const int32_t found =
        LongestAt(text, at, in_template ? template_ranges[range].second : 0, &end, budget);
    if (found < 0) {
      ++at;
      continue;
    }
    const Rules& token = tokens_[found];
    size_t begin = at;
    at = end;
    if (token.single_word && ((begin > 0 && WordAt(text, CharacterBefore(text, begin))) ||
                              (end < text.size() && WordAt(text, end)))) {
      continue;
    }
    while (token.lstrip && begin > done && SpaceAt(text, CharacterBefore(text, begin))) {
      begin = CharacterBefore(text, begin);
    }
    while (token.rstrip && end < text.size() && SpaceAt(text, end)) {
      end += Utf8Length(text[end]);
    }
    matches.push_back({token.id, {begin, end}});
    done = at = end;
  }
  return matches;
}

}  // namespace retort
