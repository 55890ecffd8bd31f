// Another engine's template inputs: more cases than our own. Where that engine differs from
// Python's Jinja2, Python is right; tests/conformance/minijinja.ratchet names those inputs and says
// why.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/shared_data_test.h"
#include "retort/chat/template.h"

namespace retort {
namespace {

constexpr uint64_t kFileBytesMax = 1 << 20;

std::filesystem::path Folder() { return SharedData() / "jinja-minijinja"; }

// What a snapshot says after its second line of dashes.
std::string SnapshotText(const std::string& snapshot) {
  static constexpr std::string_view kLine = "\n---\n";
  const size_t at = snapshot.find(kLine);
  return at == std::string::npos ? "" : snapshot.substr(at + kLine.size());
}

std::string RightTrimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

// True if we do what the snapshot says: the same text (but for what the snapshot tool trims at its
// ends), or an error where it has one. `found` is then told.
bool Matches(const std::string& input, const std::string& expected, std::string* found) {
  const size_t split = input.find("\n---\n");
  if (split == std::string::npos) return false;
  const bool wants_error = expected.rfind("!!!", 0) == 0;
  try {
    const Json context = ParseJson(input.substr(0, split), "input");
    const Template parsed = Template::Parse(input.substr(split + 5), "input",
                                            {.trim_blocks = false, .lstrip_blocks = false});
    *found = PlainText(parsed.Render(context));
  } catch (const Error& error) {
    EXPECT_NE(error.code(), ErrorCode::kInternal) << error.message();
    *found = "error: " + error.message();
    return wants_error;
  }
  const auto left = [](const std::string& text) {
    const size_t at = text.find_first_not_of('\n');
    return at == std::string::npos ? std::string() : text.substr(at);
  };
  return !wants_error && RightTrimmed(left(*found)) == RightTrimmed(left(expected));
}

TEST(MiniJinja, MatchesOrIsKnownToDiffer) {
  if (!std::filesystem::exists(Folder())) GTEST_SKIP() << "no " << Folder();
  const Json differing =
      ParseJson(ReadFile(std::string(RETORT_SOURCE_DIR) + "/tests/conformance/minijinja.ratchet",
                         kFileBytesMax),
                "minijinja.ratchet")["differs"];
  int num_inputs = 0;
  int num_matches = 0;
  for (const auto& file : std::filesystem::directory_iterator(Folder() / "inputs")) {
    if (!file.is_regular_file()) continue;
    const std::string name = file.path().filename();
    const auto snapshot = Folder() / "snapshots" / ("test_templates__vm@" + name + ".snap");
    if (!std::filesystem::exists(snapshot)) continue;
    ++num_inputs;
    std::string found;
    const std::string expected = SnapshotText(ReadFile(snapshot, kFileBytesMax));
    const bool is_match = Matches(ReadFile(file.path(), kFileBytesMax), expected, &found);
    num_matches += is_match ? 1 : 0;
    EXPECT_NE(is_match, differing.contains(name))
        << name << (is_match ? ": matches now, record it" : ": differs") << "\n--- here\n"
        << found << "\n--- there\n"
        << expected;
  }
  EXPECT_GT(num_inputs, 100);
  RecordProperty("matches", num_matches);
  RecordProperty("inputs", num_inputs);
}

}  // namespace
}  // namespace retort
