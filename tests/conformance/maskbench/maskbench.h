#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "retort/grammar/schema_document.h"

namespace retort {

// One file of MaskBench: a schema from the real world, with instances.
struct MaskBenchCase {
  std::string name;
  std::string schema;
  struct Test {
    bool valid = false;
    std::string text;  // as json.dumps(data, indent=None, ensure_ascii=False) writes it
  };
  std::vector<Test> tests;
};

// The public sample, unpacked into `scratch`, an empty folder; sorted by name. Empty where the data
// is absent.
std::vector<std::filesystem::path> MaskBenchFiles(const std::filesystem::path& scratch);
// The same by the SHA-256 of their names: the first of them are a sample that anyone can draw.
std::vector<std::filesystem::path> MaskBenchFilesByDigest(const std::filesystem::path& scratch);
MaskBenchCase ReadMaskBenchCase(const std::filesystem::path& file);

// ", " and ": " between, nothing else; strings escape only what they must.
std::string DumpLikePython(const grammar::SchemaValue& value);

// Lines "name count" of a ratchet file; a missing file is empty.
std::map<std::string, int> ReadRatchet(const std::filesystem::path& file);

}  // namespace retort
