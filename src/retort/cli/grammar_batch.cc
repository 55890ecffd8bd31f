#include "retort/cli/grammar_batch.h"

#include <istream>
#include <string>

#include "retort/base/error.h"
#include "retort/base/json.h"
#include "retort/grammar/sample_text.h"
#include "retort/grammar/text_check.h"

namespace retort {
namespace {

const char* NameOf(ErrorCode code) {
  return code == ErrorCode::kInvalid       ? "invalid"
         : code == ErrorCode::kUnsupported ? "unsupported"
         : code == ErrorCode::kExhausted   ? "exhausted"
                                           : "other";
}

// Throws Json::exception or Error{kInvalid} for a line that is not as it should be.
Json CheckOne(const Json& line, const JsonSchemaOptions& options) {
  const std::string schema = DumpJson(line.at("schema"));
  const Json texts = line.value("texts", Json::array());
  if (!texts.is_array()) Throw(ErrorCode::kInvalid, "'texts': a list is expected");
  const auto num_samples = line.value("samples", uint64_t{0});
  const auto seed = line.value("seed", uint64_t{0});
  try {
    const auto grammar = CompileJsonSchema(schema, options);
    Json accepted = Json::array();
    for (const Json& text : texts) {
      accepted.push_back(CheckText(*grammar, text.get_ref<const std::string&>()).accepted);
    }
    Json samples = Json::array();
    const TextSampler sampler(grammar);
    for (uint64_t i = 0; i < num_samples; ++i) {
      const auto sample = sampler.Sample(seed * 1000 + i);
      samples.push_back(sample ? Json(*sample) : Json());
    }
    return {{"accepted", accepted}, {"samples", samples}};
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) throw;
    return {{"refused", error.message()}, {"code", NameOf(error.code())}};
  }
}

}  // namespace

void CheckGrammarBatch(std::istream& in, const std::function<void(const std::string&)>& print,
                       const JsonSchemaOptions& options) {
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    const Json json = ParseJson(line, "line " + std::to_string(number));
    try {
      print(DumpJson(CheckOne(json, options)) + "\n");
    } catch (const Json::exception& error) {
      Throw(ErrorCode::kInvalid, "line {}: {}", number, error.what());
    }
  }
}

}  // namespace retort
