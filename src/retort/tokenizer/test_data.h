#pragma once

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/home.h"
#include "retort/base/json.h"
#include "retort/base/mapped_file.h"
#include "retort/base/shared_data_test.h"

// Where the tests of this room find public data, and how they read it. For tests only.
namespace retort::test {

// The demo model's GGUF, or an empty path: $RETORT_SMOLLM2, else any *.gguf of the hub's folder.
inline std::filesystem::path DemoModel() {
  if (const char* path = std::getenv("RETORT_SMOLLM2"); path != nullptr) return path;
  const auto folder = DefaultHome() / "models" / "smollm2-135m-instruct";
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".gguf") return entry.path();
  }
  return {};
}

// The key-value part of a GGUF file that is known to be well formed. The checkpoint room reads
// files that are not; this room must not see it.
class GgufMetadata {
 public:
  static Json Read(const std::filesystem::path& path) {
    const MappedFile file(path);
    GgufMetadata reader({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
    reader.Take(16);  // magic, version, number of tensors
    Json out = Json::object();
    const auto count = reader.Number<uint64_t>();
    for (uint64_t i = 0; i < count; ++i) {
      const std::string key = reader.String();
      const auto type = reader.Number<uint32_t>();
      out[key] = reader.Value(type);
    }
    return out;
  }

 private:
  explicit GgufMetadata(std::string_view rest) : rest_(rest) {}

  std::string_view Take(uint64_t size) {
    if (size > rest_.size()) Throw(ErrorCode::kCorrupt, "GGUF test data ends early");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  template <typename T>
  T Number() {
    T value;
    std::memcpy(&value, Take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string String() { return std::string(Take(Number<uint64_t>())); }
  Json Value(uint32_t type) {
    switch (type) {
      case 0:
        return Number<uint8_t>();
      case 1:
        return Number<int8_t>();
      case 2:
        return Number<uint16_t>();
      case 3:
        return Number<int16_t>();
      case 4:
        return Number<uint32_t>();
      case 5:
        return Number<int32_t>();
      case 6:
        return Number<float>();
      case 7:
        return Number<uint8_t>() != 0;
      case 8:
        return String();
      case 10:
        return Number<uint64_t>();
      case 11:
        return Number<int64_t>();
      case 12:
        return Number<double>();
      case 9:
        break;
      default:
        Throw(ErrorCode::kCorrupt, "GGUF test data: type {}", type);
    }
    Json list = Json::array();
    const auto element = Number<uint32_t>();
    const auto count = Number<uint64_t>();
    for (uint64_t i = 0; i < count; ++i) list.push_back(Value(element));
    return list;
  }

  std::string_view rest_;
};

// The texts and ids of a llama.cpp vocabulary test: X.inp beside X.out.
struct VectorCase {
  std::string text;
  std::vector<int32_t> ids;
};

inline std::vector<std::string> SplitText(std::string_view text, std::string_view separator) {
  std::vector<std::string> out;
  while (true) {
    const size_t at = text.find(separator);
    out.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + separator.size());
  }
}

inline std::vector<VectorCase> ReadInpOut(const std::filesystem::path& stem) {
  constexpr uint64_t kBytesMax = 1 << 24;
  const auto texts =
      SplitText(ReadFile(stem.string() + ".inp", kBytesMax), "\n__ggml_vocab_test__\n");
  const auto lines = SplitText(ReadFile(stem.string() + ".out", kBytesMax), "\n");
  std::vector<VectorCase> out;
  for (size_t i = 0; i < texts.size() && i < lines.size(); ++i) {
    VectorCase one{texts[i], {}};
    for (const std::string& id : SplitText(lines[i], " ")) {
      if (!id.empty()) one.ids.push_back(std::stoi(id));
    }
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace retort::test
