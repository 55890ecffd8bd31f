// JSON-Schema-Test-Suite, each instance as a text that must or must not be in the language.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/json.h"
#include "retort/base/shared_data_test.h"
#include "retort/grammar/schema_document.h"
#include "tests/conformance/byte_texts.h"

namespace retort {
namespace {

std::filesystem::path Suite() { return SharedData() / "json-schema-test-suite"; }

std::string Dump(const grammar::SchemaValue& value) {
  using Type = grammar::SchemaValue::Type;
  switch (value.type) {
    case Type::kNull:
      return "null";
    case Type::kBool:
      return value.boolean ? "true" : "false";
    case Type::kNumber:
      return value.text;
    case Type::kString:
      return DumpJson(Json(value.text));
    case Type::kArray: {
      std::string out;
      for (const auto* item : value.items) out += (out.empty() ? "" : ", ") + Dump(*item);
      return "[" + out + "]";
    }
    default: {
      std::string out;
      for (const auto& [key, member] : value.members) {
        out += (out.empty() ? "" : ", ") + DumpJson(Json(key)) + ": " + Dump(*member);
      }
      return "{" + out + "}";
    }
  }
}

std::map<std::string, std::string> Remotes() {
  std::map<std::string, std::string> remotes;
  const auto folder = Suite() / "remotes";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    remotes["http://localhost:1234/" + std::filesystem::relative(entry.path(), folder).string()] =
        ReadFile(entry.path(), 1u << 20);
  }
  return remotes;
}

struct Ratchet {
  std::map<std::string, int> counts;
  explicit Ratchet(const std::string& section) {
    std::ifstream in(std::filesystem::path(RETORT_SOURCE_DIR) /
                     "tests/conformance/json_schema.ratchet");
    std::string line;
    while (std::getline(in, line)) {
      if (!line.starts_with(section + " ")) continue;
      line.erase(0, section.size() + 1);
      const size_t space = line.rfind(' ');
      counts[line.substr(0, space)] = std::atoi(line.c_str() + space + 1);
    }
  }
  int At(const std::string& name) const { return counts.contains(name) ? counts.at(name) : 0; }
};

// RETORT_SUITE_LOG names a file that gets a line for each test that is not right.
void RunFolder(const std::string& section, const std::string& folder, int draft, bool formats) {
  if (!std::filesystem::exists(Suite())) {
    GTEST_SKIP() << "../shared/data/json-schema-test-suite is absent";
  }
  const char* log_name = std::getenv("RETORT_SUITE_LOG");
  std::ofstream log;
  if (log_name != nullptr) log.open(log_name, std::ios::app);
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(Suite() / "tests" / folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  JsonSchemaOptions options;
  options.remotes = Remotes();
  options.default_draft = draft;
  options.property_order = JsonSchemaOptions::PropertyOrder::kAny;
  options.format =
      formats ? JsonSchemaOptions::Format::kAssert : JsonSchemaOptions::Format::kAnnotation;
  const auto bytes = ByteVocabulary();
  std::map<std::string, int> counts;
  for (const auto& file : files) {
    const auto document =
        grammar::ReadSchemaDocument(ReadFile(file, 16u << 20), file.string(), grammar::Limits{});
    for (const auto* group : document->root->items) {
      const std::string where =
          section + " " + file.stem().string() + ": " + group->Find("description")->text;
      std::shared_ptr<const Constraint> constraint;
      std::string why;
      bool nothing_valid = false;
      try {
        constraint = std::make_shared<const Constraint>(
            CompileJsonSchema(Dump(*group->Find("schema")), options), bytes);
      } catch (const Error& error) {
        why = error.message();
        EXPECT_NE(error.code(), ErrorCode::kInternal) << where << ": " << why;
        // A schema that nothing satisfies is refused as such: every instance is rightly not
        // accepted.
        nothing_valid = why.find("no value satisfies it") != std::string::npos;
      }
      for (const auto* test : group->Find("tests")->items) {
        const bool valid = test->Find("valid")->boolean;
        ++counts["tests"];
        if (constraint == nullptr && !nothing_valid) {
          ++counts["refused"];
          log << where << " REFUSED " << why << "\n";
          continue;
        }
        bool accepted = false;
        try {
          accepted = constraint != nullptr && Accepts(*constraint, Dump(*test->Find("data")));
        } catch (const Error& error) {
          ++counts["refused"];
          log << where << " LIMIT " << error.message() << "\n";
          continue;
        }
        if (accepted == valid) {
          ++counts["right"];
        } else {
          ++counts[valid ? "valid rejected" : "invalid accepted"];
          log << where << " | " << test->Find("description")->text
              << (valid ? " VALID_REJECTED " : " INVALID_ACCEPTED ") << Dump(*test->Find("data"))
              << "\n";
        }
      }
    }
  }
  for (const auto& [name, count] : counts)
    std::printf("%s %s %d\n", section.c_str(), name.c_str(), count);
  const Ratchet ratchet(section);
  EXPECT_GE(counts["right"], ratchet.At("right"));
  EXPECT_LE(counts["valid rejected"], ratchet.At("valid rejected"));
  EXPECT_LE(counts["invalid accepted"], ratchet.At("invalid accepted"));
}

TEST(JsonSchemaSuite, Draft2020Required) { RunFolder("2020-12", "draft2020-12", 2020, false); }
TEST(JsonSchemaSuite, Draft2019Required) { RunFolder("2019-09", "draft2019-09", 2019, false); }
TEST(JsonSchemaSuite, Draft7Required) { RunFolder("7", "draft7", 7, false); }
TEST(JsonSchemaSuite, Draft2020Optional) {
  RunFolder("2020-12-optional", "draft2020-12/optional", 2020, false);
}
TEST(JsonSchemaSuite, Draft2020Formats) {
  RunFolder("2020-12-format", "draft2020-12/optional/format", 2020, true);
}

}  // namespace
}  // namespace retort
