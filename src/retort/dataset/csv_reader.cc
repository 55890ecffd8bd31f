#include "retort/dataset/csv_reader.h"

#include <algorithm>

#include "retort/base/error.h"
#include "retort/base/text_file.h"
#include "retort/dataset/row_reader.h"

namespace retort {
namespace {

constexpr int kEnd = -1;

}  // namespace

int CsvReader::PeekByte() {
  const std::string_view chunk = bytes_.Peek();
  return chunk.empty() ? kEnd : static_cast<unsigned char>(chunk.front());
}

int CsvReader::Get() {
  const int c = PeekByte();
  if (c == kEnd) return c;
  bytes_.Skip(1);
  if (c == '\n' || (c == '\r' && PeekByte() != '\n')) ++line_;
  return c;
}

void CsvReader::SkipLine() {
  for (int c = Get(); c != kEnd && c != '\n' && c != '\r'; c = Get()) {
  }
}

size_t CsvReader::KeepUntil(std::string_view stops, std::string& field) {
  size_t num_kept = 0;
  for (std::string_view chunk = bytes_.Peek(); !chunk.empty(); chunk = bytes_.Peek()) {
    const std::string_view run = chunk.substr(0, chunk.find_first_of(stops));
    line_ += static_cast<uint64_t>(std::count(run.begin(), run.end(), '\n'));
    Keep(run, field);
    num_kept += run.size();
    bytes_.Skip(run.size());
    if (run.size() < chunk.size()) break;
  }
  return num_kept;
}

void CsvReader::Keep(std::string_view bytes, std::string& field) {
  record_bytes_ += bytes.size();
  if (record_bytes_ <= kLineBytesMax) field.append(bytes);
}

void CsvReader::EndField(CsvRecord& record, std::string& field) {
  if (++num_fields_ <= kRowColumnsMax) record.fields.push_back(std::move(field));
  field.clear();
}

void CsvReader::ReadQuoted(std::string& field) {
  for (;;) {
    KeepUntil("\"", field);
    if (Get() == kEnd) Throw(ErrorCode::kInvalid, "a quoted field that does not end");
    ++record_bytes_;
    const int next = PeekByte();
    if (next == '"') {
      Get();
      Keep("\"", field);
      continue;
    }
    if (next == kEnd || next == ',' || next == '\n' || next == '\r') return;
    Throw(ErrorCode::kInvalid, "text after the closing quote of field '{}'", field.substr(0, 40));
  }
}

void CsvReader::ReadRecord(CsvRecord& record) {
  record_bytes_ = 0;
  num_fields_ = 0;
  std::string field;
  bool at_field_start = true;
  for (;;) {
    if (KeepUntil(",\"\r\n", field) > 0) at_field_start = false;
    const int c = Get();
    if (c == kEnd || c == '\n' || c == '\r') {
      if (c == '\r' && PeekByte() == '\n') Get();
      EndField(record, field);
      break;
    }
    if (c == ',') {
      ++record_bytes_;
      EndField(record, field);
      at_field_start = true;
      continue;
    }
    if (c == '"' && !at_field_start) {
      Throw(ErrorCode::kInvalid, "a quote inside the unquoted field '{}'", field.substr(0, 40));
    }
    ++record_bytes_;
    ReadQuoted(field);
    at_field_start = false;
  }
  if (record_bytes_ > kLineBytesMax) {
    record.problem = fmt::format("a record longer than {} bytes", kLineBytesMax);
  } else if (num_fields_ > kRowColumnsMax) {
    record.problem = fmt::format("a record of more than {} fields", kRowColumnsMax);
  }
}

bool CsvReader::Next(CsvRecord& record) {
  for (int c = PeekByte(); c == '\n' || c == '\r'; c = PeekByte()) Get();
  if (PeekByte() == kEnd) return false;
  record.fields.clear();
  record.problem.clear();
  record.line = line_;
  try {
    ReadRecord(record);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalid) throw;
    record.problem = error.message();
    SkipLine();
  }
  if (record.problem.empty()) {
    for (const std::string& field : record.fields) {
      if (FindBadUtf8(field) != std::string_view::npos) record.problem = "text that is not UTF-8";
    }
  }
  if (!record.problem.empty()) record.fields = {};  // gives the memory back
  return true;
}

}  // namespace retort
