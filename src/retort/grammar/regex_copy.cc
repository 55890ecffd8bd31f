#include "retort/grammar/regex_pool.h"

namespace retort::grammar {

// Children are older than their parents: marked downwards, made upwards, without recursion.
std::vector<Regex> RegexPool::Copy(const RegexPool& from, std::span<const Regex> roots) {
  std::vector<bool> used(from.nodes_.size(), false);
  for (const Regex root : roots) used[root] = true;
  for (Regex r = static_cast<Regex>(used.size()); r-- > 3;) {
    if (!used[r]) continue;
    const Node& node = from.nodes_[r];
    if (HasList(node.kind)) {
      for (const Regex child : from.Children(node)) used[child] = true;
    } else if (node.kind == Kind::kCat || node.kind == Kind::kRepeat || node.kind == Kind::kNot) {
      used[node.a] = true;
      if (node.kind == Kind::kCat) used[node.b] = true;
    }
  }
  std::vector<Regex> copies(from.nodes_.size(), kNothing);
  copies[kEpsilon] = kEpsilon;
  copies[kEverything] = kEverything;
  std::unordered_map<uint32_t, uint32_t> tables;
  std::unordered_map<uint32_t, uint32_t> moduli;
  for (Regex r = 3; r < from.nodes_.size(); ++r) {
    if (!used[r]) continue;
    const Node node = from.nodes_[r];
    std::vector<Regex> children;
    if (HasList(node.kind)) {
      for (const Regex child : from.Children(node)) children.push_back(copies[child]);
    }
    switch (node.kind) {
      case Kind::kSet:
        copies[r] = Set(from.sets_[node.a]);
        break;
      case Kind::kCat:
        copies[r] = Cat(copies[node.a], copies[node.b]);
        break;
      case Kind::kOr:
        copies[r] = Or(children);
        break;
      case Kind::kAnd:
        copies[r] = And(children);
        break;
      case Kind::kNot:
        copies[r] = Not(copies[node.a]);
        break;
      case Kind::kRepeat:
        copies[r] = Repeat(copies[node.a], node.b, node.c);
        break;
      case Kind::kTag:
        copies[r] = Tag(node.a);
        break;
      case Kind::kNames: {
        const auto [it, is_new] =
            tables.try_emplace(node.a, static_cast<uint32_t>(name_tables_.size()));
        if (is_new) {
          std::vector<Name>& table = name_tables_.emplace_back();
          for (const Name name : from.name_tables_[node.a]) {
            table.push_back(NameOf(from.TextOf(name), from.names_[name].label));
          }
        }
        copies[r] = NamesNode(it->second, node.b, node.c, node.d);
        break;
      }
      case Kind::kMultiples: {
        const auto [it, is_new] = moduli.try_emplace(node.a, static_cast<uint32_t>(moduli_.size()));
        if (is_new) moduli_.push_back(from.moduli_[node.a]);
        copies[r] = MultiplesNode(it->second, node.b, uint64_t{node.d} << 32 | node.c);
        break;
      }
      case Kind::kFraction: {
        const auto begin = static_cast<uint32_t>(children_.size());
        children_.insert(children_.end(), children.begin(), children.end());
        copies[r] = FractionNode(begin, node.b, node.c, node.d);
        break;
      }
      default:
        break;
    }
  }
  std::vector<Regex> result;
  for (const Regex root : roots) result.push_back(copies[root]);
  return result;
}

}  // namespace retort::grammar
