// Real chat templates against what Python's Jinja2 made of them. See shared data "chat-templates".
#include <gtest/gtest.h>

#include <filesystem>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/shared_data_test.h"
#include "retort/chat/template.h"

namespace retort {
namespace {

constexpr uint64_t kFileBytesMax = 64 << 20;
constexpr std::string_view kMarker = "<|im_end|>";

std::filesystem::path RatchetPath() {
  return std::filesystem::path(RETORT_SOURCE_DIR) / "tests/conformance/chat_templates.ratchet";
}

// 2026-07-26 12:34:56, the clock of the golden file.
RenderOptions GoldenOptions() {
  RenderOptions options;
  options.clock = std::chrono::local_days(std::chrono::year(2026) / 7 / 26) +
                  std::chrono::seconds(12 * 3600 + 34 * 60 + 56);
  options.template_names = {"bos_token", "eos_token"};
  return options;
}

// The user texts of a context get a marker put into them. Returns how many strings were changed.
int MarkContent(Json& value) {
  int num_marked = 0;
  if (value.is_object()) {
    for (auto& [key, item] : value.items()) {
      if ((key == "content" || key == "text") && item.is_string()) {
        item = item.get<std::string>() + std::string(kMarker) + "x";
        ++num_marked;
      } else {
        num_marked += MarkContent(item);
      }
    }
  } else if (value.is_array()) {
    for (Json& item : value) num_marked += MarkContent(item);
  }
  return num_marked;
}

struct Suite {
  std::filesystem::path folder;
  Json golden;
};

bool LoadSuite(Suite& suite) {
  suite.folder = SharedData() / "chat-templates";
  if (!std::filesystem::exists(suite.folder / "chat_template_golden.json")) return false;
  suite.golden = ParseJson(ReadFile(suite.folder / "chat_template_golden.json", kFileBytesMax),
                           "chat_template_golden.json");
  return true;
}

std::string Source(const Suite& suite, const Json& entry) {
  return ReadFile(suite.folder / entry["template"].get<std::string>(), kFileBytesMax);
}

// The template's own error text, which must reach the user.
std::string RaisedText(const std::string& error) {
  static constexpr std::string_view kPrefix = "TemplateError: ";
  return error.rfind(kPrefix, 0) == 0 ? error.substr(kPrefix.size()) : "";
}

TEST(ChatTemplateGolden, RendersAsPython) {
  Suite suite;
  if (!LoadSuite(suite)) GTEST_SKIP() << "no chat-templates in " << SharedData();
  int num_texts = 0;
  int num_errors = 0;
  std::string report;
  for (const Json& entry : suite.golden["templates"]) {
    const std::string name = entry["template"];
    std::optional<Template> parsed;
    std::string parse_error;
    try {
      parsed = Template::Parse(Source(suite, entry), name);
    } catch (const Error& error) {
      parse_error = error.message();
    }
    for (const auto& [context, expected] : entry["results"].items()) {
      std::string text;
      std::string failure = parse_error;
      try {
        if (parsed) {
          text = PlainText(parsed->Render(suite.golden["contexts"][context], GoldenOptions()));
        }
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kInvalid) << error.message();
        failure = error.message();
      }
      if (expected.contains("ok")) {
        const bool is_same = failure.empty() && text == expected["ok"].get<std::string>();
        num_texts += is_same ? 1 : 0;
        if (!is_same)
          report += fmt::format("{} [{}]: {}\n--- got\n{}\n--- expected\n{}\n", name, context,
                                failure, text, expected["ok"].get<std::string>());
      } else {
        const std::string raised = RaisedText(expected["error"]);
        const bool is_same = !failure.empty() && failure.find(raised) != std::string::npos;
        num_errors += is_same ? 1 : 0;
        if (!is_same)
          report += fmt::format("{} [{}]: expected {}, got {}\n", name, context,
                                expected["error"].get<std::string>(), failure);
      }
    }
  }
  const Json ratchet = ParseJson(ReadFile(RatchetPath(), 1 << 16), "chat_templates.ratchet");
  EXPECT_EQ(num_texts, ratchet["texts"].get<int>()) << "record it if it is better\n" << report;
  EXPECT_EQ(num_errors, ratchet["errors"].get<int>()) << "record it if it is better\n" << report;
}

// A user's text can never forge a turn: what came from a message is in content spans only.
TEST(ChatTemplateGolden, ContentStaysContent) {
  Suite suite;
  if (!LoadSuite(suite)) GTEST_SKIP() << "no chat-templates in " << SharedData();
  int num_checked = 0;
  for (const Json& entry : suite.golden["templates"]) {
    const std::string source = Source(suite, entry);
    const Template parsed = Template::Parse(source, entry["template"].get<std::string>());
    for (const auto& [context_name, expected] : entry["results"].items()) {
      if (!expected.contains("ok")) continue;
      SCOPED_TRACE(entry["template"].get<std::string>() + " " + context_name);
      Json context = suite.golden["contexts"][context_name];
      const std::vector<Span> before = parsed.Render(context, GoldenOptions());
      ASSERT_GT(MarkContent(context), 0);
      std::vector<Span> spans;
      try {
        spans = parsed.Render(context, GoldenOptions());
      } catch (const Error&) {
        continue;  // some templates parse the content (JSON of a tool result)
      }
      // A marker of the user's is "<|im_end|>x"; the template's own are not followed by x.
      std::string content;
      for (const Span& span : spans) {
        ASSERT_FALSE(span.text.empty());
        if (span.is_template) {
          EXPECT_EQ(span.text.find(std::string(kMarker) + "x"), std::string::npos) << span.text;
        } else {
          content += span.text;
        }
      }
      const bool is_printed =
          PlainText(spans).find(std::string(kMarker) + "x") != std::string::npos;
      EXPECT_EQ(is_printed, content.find(std::string(kMarker) + "x") != std::string::npos);
      num_checked += is_printed ? 1 : 0;
    }
  }
  EXPECT_GT(num_checked, 400);
}

}  // namespace
}  // namespace retort
