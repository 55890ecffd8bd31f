#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "retort/dataset/line_reader.h"

namespace retort {

// One CSV record, or why it is none.
struct CsvRecord {
  std::vector<std::string> fields;
  uint64_t line = 0;    // 1-based, where it begins
  std::string problem;  // empty: a good record
};

// Reads the records of a CSV file after RFC 4180: fields separated by commas, optionally in double
// quotes, in which commas, line ends and doubled quotes stand for themselves; lines end with "\n"
// or
// "\r\n". Blank lines are passed over. Not thread-safe.
class CsvReader {
 public:
  explicit CsvReader(ByteReader& bytes) : bytes_(bytes) {}

  // False at the end of the file. After a bad record the next begins at the next line.
  bool Next(CsvRecord& record);

 private:
  int Get();
  int PeekByte();
  void SkipLine();
  // Reads the rest of a record whose first byte is `c`. Throws Error{kInvalid} with the reason.
  void ReadRecord(CsvRecord& record);
  void ReadQuoted(std::string& field, size_t& record_bytes);

  ByteReader& bytes_;
  uint64_t line_ = 1;
};

}  // namespace retort
