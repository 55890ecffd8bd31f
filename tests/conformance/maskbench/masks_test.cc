#include <cstdlib>

#include "retort/base/error.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/grammar/mask_check.h"
#include "tests/conformance/maskbench/maskbench.h"

namespace retort {
namespace {

// Of every how many files; RETORT_MASKBENCH_EVERY=1 takes them all (some minutes).
size_t FilesPerSample() {
  constexpr size_t kDefault = 40;
  const char* asked = std::getenv("RETORT_MASKBENCH_EVERY");
  return asked != nullptr ? std::max(1ul, std::strtoul(asked, nullptr, 10)) : kDefault;
}

// Masks over Llama 3's vocabulary against trying each of its tokens, where a schema's own instance
// leads to: anywhere in it, and behind one of its quotes.
TEST(MaskBenchMasks, EqualBruteForce) {
  const auto vocabulary = grammar::Llama3Vocabulary();
  const ScratchFolder scratch;
  const auto files = MaskBenchFiles(scratch.path());
  if (files.empty() || vocabulary == nullptr) {
    GTEST_SKIP() << "../shared/data/maskbench or ../shared/data/tokenizers is absent";
  }
  int num_states = 0;
  int num_refused = 0;
  for (size_t i = 0; i < files.size(); i += FilesPerSample()) {
    const MaskBenchCase test = ReadMaskBenchCase(files[i]);
    if (test.tests.empty()) continue;
    SCOPED_TRACE(test.name);
    std::mt19937 random(static_cast<uint32_t>(i));
    const std::string_view text = test.tests[random() % test.tests.size()].text;
    try {
      JsonSchemaOptions options;
      options.property_order = JsonSchemaOptions::PropertyOrder::kAny;
      const Constraint constraint(CompileJsonSchema(test.schema, options), vocabulary);
      const size_t anywhere = random() % (text.size() + 1);
      const size_t behind_a_quote = text.find('"', random() % (text.size() + 1)) + 1;
      for (const size_t end : {anywhere, behind_a_quote}) {
        std::vector<int32_t> allowed;
        ConstraintState state = constraint.Start();
        Feed(*vocabulary, text.substr(0, end), &state);  // an invalid one as far as it goes
        CheckMask(state, *vocabulary, text.substr(0, end), &allowed);
        if (HasFatalFailure()) return;
        ++num_states;
      }
    } catch (const Error& error) {
      ++num_refused;  // the schema, or its masks for their work
      EXPECT_NE(error.code(), ErrorCode::kInternal) << error.message();
    }
  }
  std::printf("%d states, %d refused\n", num_states, num_refused);
  EXPECT_GT(num_states, num_refused);
}

}  // namespace
}  // namespace retort
