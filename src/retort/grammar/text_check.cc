#include "retort/grammar/text_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "retort/grammar/machine.h"

namespace retort {
namespace {

constexpr size_t kExpectedMax = 12;

std::string ByteName(int byte) {
  if (byte == '\n') return "a line feed";
  if (byte == ' ') return "a space";
  if (byte == '\'') return "\"'\"";
  if (byte > 0x20 && byte < 0x7F) return fmt::format("'{}'", static_cast<char>(byte));
  return fmt::format("byte 0x{:02X}", byte);
}

// The bytes that may come next, in ranges; "the end" if nothing need follow.
std::string Expected(grammar::Machine* machine, const grammar::Configurations& at) {
  std::array<bool, 257> may{};
  for (const auto& configuration : at.list) {
    for (const grammar::ByteRange& range : machine->lexer().Ranges(configuration.lex)) {
      for (int byte = range.first; byte <= range.last; ++byte) may[byte] = true;
    }
  }
  std::vector<std::string> parts;
  for (int first = 0; first < 256; ++first) {
    if (!may[first]) continue;
    int last = first;
    while (may[last + 1]) ++last;
    if (first >= 0x80) {  // the inside of a character is no use to a reader
      if (parts.empty() || parts.back() != "a character beyond ASCII") {
        parts.emplace_back("a character beyond ASCII");
      }
    } else {
      const bool beyond = last >= 0x80;
      last = std::min(last, 0x7F);
      if (last - first < 2) {
        for (int byte = first; byte <= last; ++byte) parts.push_back(ByteName(byte));
      } else {
        parts.push_back(ByteName(first) + " to " + ByteName(last));
      }
      if (beyond) parts.emplace_back("a character beyond ASCII");
      if (beyond) break;
    }
    first = last;
  }
  if (parts.size() > kExpectedMax) {
    parts.resize(kExpectedMax);
    parts.emplace_back("others");
  }
  if (at.complete) parts.emplace_back("the end");
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    text += i == 0 ? "" : i + 1 == parts.size() ? " or " : ", ";
    text += parts[i];
  }
  return text;
}

}  // namespace

GrammarSize SizeOf(const Grammar& grammar) {
  const grammar::GrammarIr& ir = *grammar.ir();
  GrammarSize size;
  size.num_values = ir.values.size();
  size.num_objects = ir.objects.size();
  size.num_arrays = ir.arrays.size();
  size.num_rules = ir.rules.size();
  size.num_languages = ir.pool.num_nodes();
  size.bytes = ir.pool.memory_bytes() + ir.values.size() * sizeof(grammar::ValueNode) +
               ir.objects.size() * sizeof(grammar::ObjectShape) +
               ir.arrays.size() * sizeof(grammar::ArrayShape) +
               ir.symbols.size() * sizeof(grammar::Symbol);
  return size;
}

TextVerdict CheckText(const Grammar& grammar, std::string_view text) {
  grammar::Machine machine(grammar.ir(), grammar::Spelling::kAny);
  grammar::Configurations at;
  grammar::Configurations next;
  machine.Start(&at);
  TextVerdict verdict;
  size_t open = 0;  // where the oldest token that is still open may begin
  for (size_t i = 0; i < text.size(); ++i) {
    machine.Step(at, static_cast<uint8_t>(text[i]), text.substr(open, i + 1 - open), &next);
    if (next.dead()) break;
    if (!machine.kept_open()) open = i + 1;
    std::swap(at, next);
    ++verdict.num_read;
  }
  verdict.accepted = verdict.num_read == text.size() && at.complete;
  if (!verdict.accepted) verdict.expected = Expected(&machine, at);
  verdict.num_lexer_states = machine.lexer().num_states();
  return verdict;
}

}  // namespace retort
