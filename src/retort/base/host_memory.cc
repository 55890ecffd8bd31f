#include "retort/base/host_memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

namespace retort {
namespace {

constexpr uint64_t kKilo = 1024;

// The first number after `key` at the start of a line ("MemTotal:  24 kB", "inactive_file 12").
std::optional<uint64_t> ReadField(const std::filesystem::path& path, std::string_view key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with(key)) continue;
    const size_t begin = line.find_first_of("0123456789", key.size());
    if (begin == std::string::npos) return std::nullopt;
    uint64_t value = 0;
    const auto result = std::from_chars(line.data() + begin, line.data() + line.size(), value);
    if (result.ec != std::errc()) return std::nullopt;
    return value;
  }
  return std::nullopt;
}

// Narrows `memory` by the limit of one cgroup folder and of those above it, up to `mount`.
// "max" (version 2) and numbers near 2^63 (version 1) mean no limit.
void NarrowByCgroup(std::filesystem::path folder, const std::filesystem::path& mount,
                    std::string_view limit_file, std::string_view usage_file, HostMemory* memory) {
  for (;; folder = folder.parent_path()) {
    const auto limit = ReadField(folder / limit_file, "");
    const auto usage = ReadField(folder / usage_file, "");
    if (limit && usage && *limit < memory->total_bytes) {
      const auto cache = ReadField(folder / "memory.stat", "inactive_file");
      const uint64_t used = *usage - std::min(*usage, cache.value_or(0));
      memory->total_bytes = *limit;
      memory->free_bytes = std::min(memory->free_bytes, *limit - std::min(*limit, used));
    }
    if (folder == mount || !folder.has_relative_path()) return;
  }
}

}  // namespace

HostMemory ReadHostMemory(const std::filesystem::path& root) {
  const std::filesystem::path meminfo = root / "proc/meminfo";
  HostMemory memory;
  memory.total_bytes = ReadField(meminfo, "MemTotal:").value_or(0) * kKilo;
  memory.free_bytes = ReadField(meminfo, "MemAvailable:").value_or(0) * kKilo;

  // Lines "0::/path" (version 2) and "9:memory:/path" (version 1). Inside a container the path may
  // be the host's; then the mount itself is the container's own group.
  std::ifstream groups(root / "proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool unified = controllers.empty();
    if (!unified && controllers != "memory") continue;
    const std::filesystem::path mount = root / (unified ? "sys/fs/cgroup" : "sys/fs/cgroup/memory");
    std::filesystem::path folder = mount;
    for (const auto& part : std::filesystem::path(line.substr(second + 1)).relative_path()) {
      if (part != "." && part != ".." && !part.empty()) folder /= part;
    }
    std::error_code ignored;
    if (!std::filesystem::is_directory(folder, ignored)) folder = mount;
    NarrowByCgroup(folder, mount, unified ? "memory.max" : "memory.limit_in_bytes",
                   unified ? "memory.current" : "memory.usage_in_bytes", &memory);
  }
  return memory;
}

}  // namespace retort
