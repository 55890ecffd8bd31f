#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>
#include <string>

#include "tests/tidy/source_tree.h"

// scripts/mutations.py tries the mutants; here no change of the source may lose one.
namespace retort {
namespace {

constexpr int kMutantsMin = 80;

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

std::string Field(const std::string& head, const std::string& key) {
  std::smatch match;
  const std::regex line("(^|\n)" + key + ": ([^\n]+)");
  return std::regex_search(head, match, line) ? match[2].str() : "";
}

TEST(Mutations, EachFindsItsTextOnceInTheRoomOfItsFolder) {
  const Rooms rooms = ReadRooms();
  std::map<std::string, int> num_mutants;
  int total = 0;
  for (const auto& entry : fs::recursive_directory_iterator(kRoot / "tests/mutations")) {
    const fs::path path = entry.path();
    if (path.extension() != ".mutant") continue;
    const std::string text = ReadWhole(path);
    const size_t old_at = text.find("--- old\n");
    const size_t new_at = text.find("\n--- new\n");
    if (old_at == std::string::npos || new_at == std::string::npos) {
      ADD_FAILURE() << path << ": has no '--- old' or no '--- new'";
      continue;
    }
    const std::string head = text.substr(0, old_at);
    const std::string old_text = text.substr(old_at + 8, new_at - old_at - 8);
    const std::string new_text = text.substr(new_at + 9);
    const std::string source = Field(head, "file");
    const std::string room = path.parent_path().filename();
    EXPECT_NE(Field(head, "why"), "") << path << ": does not say why it matters";
    EXPECT_TRUE(source.starts_with("src/retort/") &&
                rooms.RoomOf(source.substr(std::string("src/retort/").size())) == room)
        << path << ": '" << source << "' is not in room " << room;
    EXPECT_NE(old_text + "\n", new_text) << path << ": changes nothing";
    EXPECT_EQ(Count(ReadWhole(kRoot / source), old_text), 1u)
        << path << ": its old text is to be found once in " << source << ": carry the mutant along";
    ++num_mutants[room];
    ++total;
  }
  EXPECT_GE(total, kMutantsMin);
  for (const auto& [room, folder] : rooms.folder_of) {
    const fs::path in = kRoot / "src/retort" / folder;
    const bool has_tests =
        fs::is_directory(in) &&
        std::any_of(fs::directory_iterator(in), fs::directory_iterator(),
                    [](const auto& file) { return file.path().string().ends_with("_test.cc"); });
    if (has_tests) {
      EXPECT_GE(num_mutants[room], 1) << "room " << room << " has no mutant";
    }
  }
}

}  // namespace
}  // namespace retort
