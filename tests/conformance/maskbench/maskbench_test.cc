#include "tests/conformance/maskbench/maskbench.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>

#include "retort/base/error.h"
#include "retort/base/scratch_folder_test.h"
#include "tests/conformance/byte_texts.h"

namespace retort {
namespace {

// "schema: /a/b: 'keyword': why" -> "keyword".
std::string KeywordOf(const std::string& message) {
  const size_t begin = message.find('\'');
  const size_t end = message.find("':", begin + 1);
  if (begin == std::string::npos || end == std::string::npos) return "limit";
  return message.substr(begin + 1, end - begin - 1);
}

// Every file: all valid instances accepted, all invalid ones not, or the schema refused.
// RETORT_MASKBENCH_LOG names a file that gets a line for each file that is not right.
//
// In any order of properties every instance is judged. In the declared order an instance whose keys
// come otherwise is rejected although the schema accepts its value: about 290 instances of this
// sample are written so ("valid rejected" of that section counts nothing else: the other section
// has none).
void Judge(const std::string& section, JsonSchemaOptions::PropertyOrder order) {
  const ScratchFolder scratch;
  const auto files = MaskBenchFiles(scratch.path());
  if (files.empty()) GTEST_SKIP() << "../shared/data/maskbench is absent";
  const char* log_name = std::getenv("RETORT_MASKBENCH_LOG");
  std::ofstream log;
  if (log_name != nullptr) log.open(log_name, std::ios::app);
  const auto bytes = ByteVocabulary();
  std::map<std::string, int> counts;
  for (const auto& file : files) {
    const MaskBenchCase test = ReadMaskBenchCase(file);
    if (test.tests.empty()) {
      ++counts["files without tests"];
    } else {
      ++counts["files with tests"];
    }
    std::shared_ptr<const Grammar> grammar;
    const auto start = std::chrono::steady_clock::now();
    try {
      JsonSchemaOptions options;
      options.property_order = order;
      grammar = CompileJsonSchema(test.schema, options);
    } catch (const Error& error) {
      const std::string kind = test.tests.empty() ? "refused, without tests: " : "refused: ";
      ++counts[kind + std::string(ErrorCodeName(error.code())) + " " + KeywordOf(error.message())];
      if (!test.tests.empty()) ++counts["refused"];
      log << test.name << " REFUSED " << error.message() << "\n";
      const double ms =
          std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
              .count();
      if (ms > 250) log << test.name << " SLOWREFUSE " << ms << "\n";
      EXPECT_NE(error.code(), ErrorCode::kInternal) << test.name << ": " << error.message();
      continue;
    }
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    if (ms > 100) log << test.name << " SLOW " << ms << "\n";
    const Constraint constraint(grammar, bytes);
    bool right = true;
    for (const auto& instance : test.tests) {
      bool accepted = false;
      try {
        accepted = Accepts(constraint, instance.text);
      } catch (const Error& error) {
        log << test.name << " LIMIT " << error.message() << "\n";
        ++counts["limit reached in an instance"];
        right = false;
        continue;
      }
      if (accepted == instance.valid) continue;
      right = false;
      ++counts[instance.valid ? "valid rejected" : "invalid accepted"];
      log << test.name << (instance.valid ? " VALID_REJECTED " : " INVALID_ACCEPTED ")
          << instance.text.substr(0, 2000) << "\n";
    }
    if (!test.tests.empty()) ++counts[right ? "right" : "wrong"];
  }
  for (const auto& [name, count] : counts) {
    std::printf("%s: %s %d\n", section.c_str(), name.c_str(), count);
  }
  const auto ratchet =
      ReadRatchet(std::filesystem::path(RETORT_SOURCE_DIR) / "tests/conformance/maskbench.ratchet");
  const auto recorded = [&](const std::string& name) {
    const auto it = ratchet.find(section + ": " + name);
    return it == ratchet.end() ? 0 : it->second;
  };
  EXPECT_GE(counts["right"], recorded("right"));
  for (const char* name : {"valid rejected", "invalid accepted", "limit reached in an instance"}) {
    EXPECT_LE(counts[name], recorded(name)) << name;
  }
}

TEST(MaskBench, AcceptsExactlyTheValidInstances) {
  Judge("any order", JsonSchemaOptions::PropertyOrder::kAny);
}

TEST(MaskBench, AcceptsOnlyValidInstancesInTheDeclaredOrder) {
  Judge("declared order", JsonSchemaOptions::PropertyOrder::kDeclared);
}

}  // namespace
}  // namespace retort
