#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

// The tree as the tidy tests read it.
namespace retort {

namespace fs = std::filesystem;

inline const fs::path kRoot = RETORT_SOURCE_DIR;

inline std::vector<std::string> ReadLines(const fs::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

inline std::string ReadWhole(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline bool IsCode(const fs::path& path) {
  return path.extension() == ".cc" || path.extension() == ".h" || path.extension() == ".cu";
}

inline std::vector<fs::path> CodeFiles(const std::vector<std::string>& folders) {
  std::vector<fs::path> files;
  for (const std::string& folder : folders) {
    if (!fs::exists(kRoot / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / folder)) {
      if (entry.is_regular_file() && IsCode(entry.path())) {
        files.push_back(fs::relative(entry.path(), kRoot));
      }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The rooms and what each may include, read from the one place that says so.
struct Rooms {
  std::map<std::string, std::string> folder_of;              // room → folder under src/retort
  std::map<std::string, std::set<std::string>> may_include;  // room → rooms, transitively

  // The room that owns a path such as "backend/cpu/x.h", or "" if none does.
  std::string RoomOf(const std::string& path) const {
    std::string best;
    size_t best_size = 0;
    for (const auto& [room, folder] : folder_of) {
      if (path.starts_with(folder + "/") && folder.size() >= best_size) {
        best = room;
        best_size = folder.size();
      }
    }
    return best;
  }
};

inline Rooms ReadRooms() {
  Rooms rooms;
  const std::regex call(
      R"(^retort_room\((\w+)\s+(\S+?)(\s+MAY_INCLUDE((?:\s+(?!LIBS)\w+)+))?(\s+LIBS.*)?\)\s*$)");
  for (const std::string& line : ReadLines(kRoot / "src/retort/CMakeLists.txt")) {
    std::smatch match;
    if (!line.starts_with("retort_room(")) continue;
    if (!std::regex_match(line, match, call)) {
      ADD_FAILURE() << "src/retort/CMakeLists.txt: cannot read the room line: " << line;
      continue;
    }
    const std::string room = match[1];
    rooms.folder_of[room] = match[2];
    auto& allowed = rooms.may_include[room];
    std::istringstream names(match[4].str());
    for (std::string name; names >> name;) {
      allowed.insert(name);
      allowed.insert(rooms.may_include[name].begin(), rooms.may_include[name].end());
    }
  }
  return rooms;
}

}  // namespace retort
