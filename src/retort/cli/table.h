#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace retort {

// A table of text in aligned columns, the first row its header. Columns whose cells all begin with
// a digit are aligned right.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

  // One cell per column of the header.
  void AddRow(std::vector<std::string> cells);
  // Ends with a newline. Columns in which every cell says nothing ("" or "0") are left out, the
  // first excepted. A table wider than `width` gets its first column shortened; if that does not
  // do, each row is written as lines of "header value" pairs.
  std::string Text(size_t width = SIZE_MAX) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// "1.5 GiB", "12 B".
std::string FormatBytes(uint64_t bytes);
// "12,345".
std::string FormatCount(uint64_t count);
// "1 row", "2,000 rows".
std::string CountOf(uint64_t count, std::string_view thing);
// "3 s", "2 min 05 s", "1 h 04 min".
std::string FormatSeconds(double seconds);
// Columns that a text takes in a terminal: code points, control characters not counted.
size_t DisplayWidth(std::string_view text);
// The text in at most `width` columns: the end is cut, or the middle, and an ellipsis stands there.
std::string CutEnd(std::string_view text, size_t width);
std::string CutMiddle(std::string_view text, size_t width);

}  // namespace retort
