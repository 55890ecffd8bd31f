// Front ends on hostile text: a schema, a regular expression or a grammar, then a few masks and
// tokens. Nothing but Error may come out, and what is allowed must be what can be committed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "retort/base/error.h"
#include "retort/grammar/constraint.h"
#include "retort/grammar/vocabulary.h"

namespace {

std::shared_ptr<const retort::grammar::Vocabulary> Bytes() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(std::string(1, static_cast<char>(byte)));
  for (const char* text : {"\":", "\",\"", "{\"", "abc", "12", "true", "\\u00", "}}", ", "}) {
    tokens.push_back(text);
  }
  tokens.push_back("<end>");
  const auto end = static_cast<int32_t>(tokens.size() - 1);
  return std::make_shared<const retort::grammar::Vocabulary>(std::move(tokens),
                                                             std::vector<int32_t>{end});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto vocabulary = Bytes();
  if (size < 6) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 5), size - 5);
  retort::grammar::Limits limits;
  limits.regex_nodes_max = 20'000;
  limits.regex_row_entries_max = 200'000;
  limits.emptiness_steps_max = 2'000;
  limits.schema_steps_max = 20'000;
  limits.schema_disjuncts_max = 64;
  limits.configurations_max = 128;
  try {
    std::shared_ptr<const retort::Grammar> grammar;
    switch (data[0] % 4) {
      case 0:
        grammar = retort::CompileRegex(text, limits);
        break;
      case 1:
        grammar = retort::CompileGbnf(text, limits);
        break;
      default: {
        retort::JsonSchemaOptions options;
        options.limits = limits;
        options.lenient = (data[0] & 4) != 0;
        options.default_draft = (data[0] & 8) != 0 ? 7 : 2020;
        if (data[0] & 16) {
          options.property_order = retort::JsonSchemaOptions::PropertyOrder::kAny;
        }
        grammar = retort::CompileJsonSchema(text, options);
      }
    }
    const retort::Constraint constraint(grammar, vocabulary);
    retort::ConstraintState state = constraint.Start();
    std::vector<uint32_t> bits(constraint.num_mask_words());
    for (int step = 0; step < 12; ++step) {
      state.Mask(bits);
      std::vector<int32_t> allowed;
      for (int32_t id = 0; id < vocabulary->size(); ++id) {
        const bool by_mask = bits[id >> 5] >> (id & 31) & 1;
        if (by_mask != state.Allows(id)) std::abort();
        if (by_mask) allowed.push_back(id);
      }
      if (state.IsFinished()) break;
      if (allowed.empty()) std::abort();  // a dead end
      if (!state.Commit(allowed[data[1 + step % 4] * 31u % allowed.size()])) std::abort();
    }
  } catch (const retort::Error& error) {
    if (error.code() == retort::ErrorCode::kInternal) std::abort();
  }
  return 0;
}
