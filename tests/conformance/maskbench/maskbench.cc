#include "tests/conformance/maskbench/maskbench.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "retort/base/digest.h"
#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/shared_data_test.h"

namespace retort {
namespace {

void AppendString(const std::string& text, std::string* out) {
  *out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        *out += "\\\"";
        break;
      case '\\':
        *out += "\\\\";
        break;
      case '\n':
        *out += "\\n";
        break;
      case '\r':
        *out += "\\r";
        break;
      case '\t':
        *out += "\\t";
        break;
      case '\b':
        *out += "\\b";
        break;
      case '\f':
        *out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          constexpr char kHex[] = "0123456789abcdef";
          *out += "\\u00";
          *out += kHex[c >> 4];
          *out += kHex[c & 15];
        } else {
          *out += c;
        }
    }
  }
  *out += '"';
}

void Append(const grammar::SchemaValue& value, std::string* out) {
  using Type = grammar::SchemaValue::Type;
  switch (value.type) {
    case Type::kNull:
      *out += "null";
      break;
    case Type::kBool:
      *out += value.boolean ? "true" : "false";
      break;
    case Type::kNumber:
      *out += value.text;
      break;
    case Type::kString:
      AppendString(value.text, out);
      break;
    case Type::kArray:
      *out += '[';
      for (size_t i = 0; i < value.items.size(); ++i) {
        if (i > 0) *out += ", ";
        Append(*value.items[i], out);
      }
      *out += ']';
      break;
    case Type::kObject:
      *out += '{';
      for (size_t i = 0; i < value.members.size(); ++i) {
        if (i > 0) *out += ", ";
        AppendString(value.members[i].first, out);
        *out += ": ";
        Append(*value.members[i].second, out);
      }
      *out += '}';
  }
}

}  // namespace

std::string DumpLikePython(const grammar::SchemaValue& value) {
  std::string out;
  Append(value, &out);
  return out;
}

std::vector<std::filesystem::path> MaskBenchFiles(const std::filesystem::path& scratch) {
  const auto archive = SharedData() / "maskbench/maskbench.tar.zst";
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::exists(archive)) return files;
  const std::string command =
      "tar --zstd -xf '" + archive.string() + "' -C '" + scratch.string() + "'";
  if (std::system(command.c_str()) != 0) Throw(ErrorCode::kIo, "failed: {}", command);
  for (const auto& entry : std::filesystem::directory_iterator(scratch / "maskbench")) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::filesystem::path> MaskBenchFilesByDigest(const std::filesystem::path& scratch) {
  std::map<std::string, std::filesystem::path> by_digest;
  for (const auto& file : MaskBenchFiles(scratch)) {
    by_digest.emplace(Sha256Hex(file.filename().string()), file);
  }
  std::vector<std::filesystem::path> files;
  for (const auto& [digest, file] : by_digest) files.push_back(file);
  return files;
}

MaskBenchCase ReadMaskBenchCase(const std::filesystem::path& file) {
  grammar::Limits limits;
  limits.text_bytes_max = 64u << 20;
  limits.depth_max = 1000;
  MaskBenchCase result;
  result.name = file.stem().string();
  const auto document = grammar::ReadSchemaDocument(ReadFile(file, 64u << 20), result.name, limits);
  result.schema = DumpLikePython(*document->root->Find("schema"));
  if (const auto* tests = document->root->Find("tests")) {
    for (const auto* test : tests->items) {
      MaskBenchCase::Test one;
      one.valid = test->Find("valid")->boolean;
      one.text = DumpLikePython(*test->Find("data"));
      result.tests.push_back(std::move(one));
    }
  }
  return result;
}

std::map<std::string, int> ReadRatchet(const std::filesystem::path& file) {
  std::map<std::string, int> counts;
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    if (line.empty() || line[0] == '#') continue;
    const size_t space = line.rfind(' ');
    counts[line.substr(0, space)] = std::atoi(line.c_str() + space + 1);
  }
  return counts;
}

}  // namespace retort
