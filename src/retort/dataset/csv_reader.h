#pragma once

#include <cstdint>
#include <string>
#include <string_view>
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
// quotes, in which commas, line ends and doubled quotes stand for themselves; lines end with
// "\n", "\r\n" or "\r". Blank lines are passed over. A record of more than kLineBytesMax bytes (its
// line end not counted) or kRowColumnsMax fields is a bad one. Not thread-safe.
class CsvReader {
 public:
  explicit CsvReader(ByteReader& bytes) : bytes_(bytes) {}

  // False at the end of the file. The next record begins at the next line; after one beyond the
  // bounds, behind its end.
  bool Next(CsvRecord& record);

 private:
  int Get();
  int PeekByte();
  void SkipLine();
  // Throws Error{kInvalid} with the reason.
  void ReadRecord(CsvRecord& record);
  void ReadQuoted(std::string& field);
  // Reads up to one of `stops`, or the end. Returns how many bytes there were.
  size_t KeepUntil(std::string_view stops, std::string& field);
  // Count what was read; beyond a bound nothing more is kept.
  void Keep(std::string_view bytes, std::string& field);
  void EndField(CsvRecord& record, std::string& field);

  ByteReader& bytes_;
  uint64_t line_ = 1;
  size_t record_bytes_ = 0;
  size_t num_fields_ = 0;
};

}  // namespace retort
