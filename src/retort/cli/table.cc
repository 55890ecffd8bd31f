#include "retort/cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "retort/base/printable.h"

namespace retort {

void Table::AddRow(std::vector<std::string> cells) {
  cells.resize(rows_.front().size());
  for (std::string& cell : cells) cell = PrintableLine(cell);
  rows_.push_back(std::move(cells));
}

namespace {

constexpr size_t kNameWidthMin = 8;  // of a first column that is shortened
constexpr std::string_view kGap = "  ";

// The bytes of the first `columns` columns.
size_t BytesOf(std::string_view text, size_t columns) {
  size_t bytes = 0;
  while (bytes < text.size()) {
    size_t next = bytes + 1;
    while (next < text.size() && (static_cast<unsigned char>(text[next]) & 0xC0) == 0x80) ++next;
    const size_t width = DisplayWidth(text.substr(bytes, next - bytes));
    if (width > columns) break;
    columns -= width;
    bytes = next;
  }
  return bytes;
}

// "a 1, b 2" in lines of at most `width` columns, those after the first indented.
std::string Stacked(const std::vector<std::string>& header, const std::vector<std::string>& row,
                    size_t width) {
  std::string text = CutMiddle(row[0], width);
  size_t column = DisplayWidth(text);
  for (size_t c = 1; c < row.size(); ++c) {
    const std::string part = fmt::format("{} {}", header[c], row[c]);
    if (column + kGap.size() + DisplayWidth(part) > width) {
      text += "\n" + std::string(kGap);
      column = kGap.size();
    } else {
      text += kGap;
      column += kGap.size();
    }
    text += CutEnd(part, width - kGap.size());
    column += DisplayWidth(part);
  }
  return text + "\n";
}

}  // namespace

std::string CutEnd(std::string_view text, size_t width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  if (width == 0) return "";
  return std::string(text.substr(0, BytesOf(text, width - 1))) + "…";
}

std::string CutMiddle(std::string_view text, size_t width) {
  const size_t all = DisplayWidth(text);
  if (all <= width || width < 3) return CutEnd(text, width);
  const size_t behind = (width - 1) / 2;
  return std::string(text.substr(0, BytesOf(text, width - 1 - behind))) + "…" +
         std::string(text.substr(BytesOf(text, all - behind)));
}

std::string Table::Text(size_t width) const {
  const auto says_nothing = [](const std::string& cell) { return cell.empty() || cell == "0"; };
  std::vector<std::vector<std::string>> rows(rows_.size());
  for (size_t c = 0; c < rows_.front().size(); ++c) {
    const bool shown = c == 0 || rows_.size() == 1 ||
                       !std::all_of(rows_.begin() + 1, rows_.end(),
                                    [&](const auto& row) { return says_nothing(row[c]); });
    for (size_t r = 0; shown && r < rows_.size(); ++r) rows[r].push_back(rows_[r][c]);
  }
  const size_t num_columns = rows.front().size();
  std::vector<size_t> widths(num_columns, 0);
  std::vector<bool> numeric(num_columns, rows.size() > 1);
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t c = 0; c < num_columns; ++c) {
      const std::string& cell = rows[r][c];
      widths[c] = std::max(widths[c], DisplayWidth(cell));
      if (r > 0 && !cell.empty() && (cell[0] < '0' || cell[0] > '9')) numeric[c] = false;
    }
  }
  size_t all = kGap.size() * (num_columns - 1);
  for (const size_t column : widths) all += column;
  if (all > width) {
    const size_t excess = all - width;
    if (widths[0] < kNameWidthMin + excess) {
      std::string text;
      for (size_t r = 1; r < rows.size(); ++r) text += Stacked(rows[0], rows[r], width);
      return text;
    }
    widths[0] -= excess;
    for (auto& row : rows) row[0] = CutMiddle(row[0], widths[0]);
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < num_columns; ++c) {
      const std::string padding(widths[c] - DisplayWidth(row[c]), ' ');
      line += numeric[c] ? padding + row[c] : row[c] + padding;
      line += kGap;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string FormatBytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string FormatCount(uint64_t count) {
  std::string digits = std::to_string(count);
  for (auto i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(i, ",");
  return digits;
}

std::string CountOf(uint64_t count, std::string_view thing) {
  return fmt::format("{} {}{}", FormatCount(count), thing, count == 1 ? "" : "s");
}

std::string FormatSeconds(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  const auto whole = static_cast<uint64_t>(std::llround(seconds));
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

size_t DisplayWidth(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte & 0xC0) != 0x80 && byte >= 0x20;
  }));
}

}  // namespace retort
