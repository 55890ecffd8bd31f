// Rules of the house that a compiler does not check. Each failure names the file, the line and the
// rule.
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/tidy/source_tree.h"

namespace retort {
namespace {

TEST(Tidy, EveryIncludeKeepsTheRoomRule) {
  const Rooms rooms = ReadRooms();
  ASSERT_GE(rooms.folder_of.size(), 10u);
  const std::regex include(R"re(^\s*#\s*include\s*"retort/([^"]+)")re");
  for (const fs::path& file : CodeFiles({"src/retort"})) {
    const std::string inside = fs::relative(file, "src/retort").string();
    const std::string room = rooms.RoomOf(inside);
    EXPECT_NE(room, "") << file << ": is in no room of src/retort/CMakeLists.txt";
    int number = 0;
    for (const std::string& line : ReadLines(kRoot / file)) {
      ++number;
      std::smatch match;
      if (!std::regex_search(line, match, include)) continue;
      const std::string other = rooms.RoomOf(match[1]);
      EXPECT_TRUE(other == room || rooms.may_include.at(room).contains(other))
          << file.string() << ":" << number << ": room '" << room << "' may not include '"
          << match[1] << "' of room '" << other << "'";
      if (other.starts_with("backend_") && other != room) {
        EXPECT_EQ(room, "devices")
            << file.string() << ":" << number << ": only devices/ may include a backend";
      }
      EXPECT_TRUE(fs::exists(kRoot / "src/retort" / match[1].str()))
          << file.string() << ":" << number << ": includes a file that is not there";
    }
  }
}

TEST(Tidy, IncludesOfOurOwnStartAtSrc) {
  const std::regex quoted(R"re(^\s*#\s*include\s*"([^"]+)")re");
  for (const fs::path& file : CodeFiles({"src", "tests", "bench"})) {
    int number = 0;
    for (const std::string& line : ReadLines(kRoot / file)) {
      ++number;
      std::smatch match;
      if (!std::regex_search(line, match, quoted)) continue;
      const std::string name = match[1];
      EXPECT_TRUE(name.starts_with("retort/") || name.starts_with("tests/") ||
                  name == "hwy/foreach_target.h")
          << file.string() << ":" << number << ": include \"" << name << "\" by its path from src/";
    }
  }
}

TEST(Tidy, HeadersHavePragmaOnce) {
  for (const fs::path& file : CodeFiles({"src", "tests", "bench"})) {
    if (file.extension() != ".h") continue;
    const auto lines = ReadLines(kRoot / file);
    const bool found = std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
      return line == "#pragma once" || line.find("HWY_TARGET_TOGGLE") != std::string::npos;
    });
    EXPECT_TRUE(found) << file.string() << ": has no #pragma once";
  }
}

// Text that a line break would change (raw strings, links) may be longer.
TEST(Tidy, LinesAreAtMost100Columns) {
  const std::regex raw_begin(R"re(R"\w*\()re");
  for (const fs::path& file : CodeFiles({"src", "tests", "bench"})) {
    int number = 0;
    bool in_raw_string = false;
    for (const std::string& line : ReadLines(kRoot / file)) {
      ++number;
      const bool begins = std::regex_search(line, raw_begin);
      const bool unbreakable = in_raw_string || begins || line.find("http") != std::string::npos;
      if (begins) in_raw_string = true;
      if (in_raw_string && line.find(")\"") != std::string::npos) in_raw_string = false;
      // Columns, not bytes: UTF-8 continuation bytes do not count.
      const auto columns = std::count_if(line.begin(), line.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
      });
      EXPECT_TRUE(columns <= 100 || unbreakable)
          << file.string() << ":" << number << ": " << columns << " columns";
    }
  }
}

TEST(Tidy, NoRoomOrFileIsNamedForNothingInParticular) {
  const std::regex banned(R"((^|[/_])(utils?|common|helpers?|misc)([/_.]|$))");
  for (const fs::path& file : CodeFiles({"src", "tests", "bench"})) {
    EXPECT_FALSE(std::regex_search(file.string(), banned))
        << file.string() << ": name it for what it does";
  }
}

TEST(Tidy, NothingIsLeftForLater) {
  // As words: the six X of an mkdtemp pattern are no mark.
  const std::regex mark(std::string(R"(\b(TO)") + "DO|FIX" + "ME|XX" + R"(X)\b)");
  for (const fs::path& file : CodeFiles({"src", "tests", "bench"})) {
    int number = 0;
    for (const std::string& line : ReadLines(kRoot / file)) {
      ++number;
      EXPECT_FALSE(std::regex_search(line, mark))
          << file.string() << ":" << number << ": do it, or write it into docs/STATUS.md";
    }
  }
}

// "EvolInstruct" → "evol_instruct".
std::string SnakeCase(const std::string& name) {
  std::string snake;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool upper = std::isupper(static_cast<unsigned char>(name[i])) != 0;
    if (upper && i > 0) snake += '_';
    snake += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  }
  return snake;
}

// Each entry of a list has its source file and a test; each such source file is in its list.
TEST(Tidy, EveryListLineHasItsFileAndItsTest) {
  const std::regex entry(R"((\w+)Type\(\),)");
  for (const auto& [room, list] : {std::pair("steps", "step_list"), {"tasks", "task_list"}}) {
    const fs::path folder = kRoot / "src/retort" / room;
    std::string tests;
    std::set<std::string> declared;
    for (const auto& file : fs::directory_iterator(folder)) {
      const std::string name = file.path().filename().string();
      const bool is_test = name.ends_with("_test.cc");
      for (const std::string& line : ReadLines(file.path())) {
        std::smatch match;
        if (is_test) tests += line + "\n";
        static const std::regex definition(R"(^StepType (\w+)Type\(\) \{)");
        if (!is_test && std::regex_search(line, match, definition)) declared.insert(match[1]);
      }
    }
    std::set<std::string> listed;
    for (const std::string& line : ReadLines(folder / (std::string(list) + ".cc"))) {
      for (std::sregex_iterator at(line.begin(), line.end(), entry), end; at != end; ++at) {
        const std::string name = (*at)[1];
        listed.insert(name);
        EXPECT_TRUE(fs::exists(folder / (SnakeCase(name) + ".cc"))) << name << " has no file";
        EXPECT_NE(tests.find(name + "Type()"), std::string::npos) << name << " has no test";
      }
    }
    EXPECT_EQ(listed, declared) << room << ": the list and the step types defined differ";
    EXPECT_GE(listed.size(), 3u);
  }
}

TEST(Tidy, EveryFuzzerHasACorpus) {
  int num_fuzzers = 0;
  for (const fs::path& file : CodeFiles({"src"})) {
    const std::string name = file.stem().string();
    if (!name.ends_with("_fuzz")) continue;
    ++num_fuzzers;
    const fs::path corpus =
        kRoot / "tests/fuzz/corpus" / name.substr(0, name.size() - std::string("_fuzz").size());
    EXPECT_TRUE(fs::is_directory(corpus) && !fs::is_empty(corpus))
        << file << " starts from nothing: put inputs into " << corpus;
  }
  EXPECT_GT(num_fuzzers, 0);
}

TEST(Tidy, LibraryRoomsNeitherExitNorPrint) {
  const std::regex banned(
      R"((^|[^\w.:>])(std::)?(abort|exit|_exit|quick_exit)\s*\(|std::c(out|err)\b|\bassert\s*\()");
  for (const fs::path& file : CodeFiles({"src/retort"})) {
    const std::string name = file.string();
    if (name.starts_with("src/retort/cli/") || name.ends_with("_test.cc") ||
        name.ends_with("_bench.cc") || name.ends_with("_fuzz.cc")) {
      continue;
    }
    int number = 0;
    for (const std::string& line : ReadLines(kRoot / file)) {
      ++number;
      const std::string code = line.substr(0, line.find("//"));
      const bool child_of_fork = line.find("in the child") != std::string::npos;
      EXPECT_TRUE(child_of_fork || !std::regex_search(code, banned))
          << name << ":" << number << ": throw retort::Error instead: " << line;
    }
  }
}

}  // namespace
}  // namespace retort
