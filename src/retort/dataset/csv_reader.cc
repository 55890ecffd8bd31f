#include "retort/dataset/csv_reader.h"

#include "retort/base/error.h"
#include "retort/base/text_file.h"
#include "retort/dataset/row_reader.h"

namespace retort {
namespace {

constexpr int kEnd = -1;

void CountByte(size_t& record_bytes) {
  if (++record_bytes > kLineBytesMax) {
    Throw(ErrorCode::kInvalid, "a record longer than {} bytes", kLineBytesMax);
  }
}

}  // namespace

int CsvReader::PeekByte() {
  const std::string_view chunk = bytes_.Peek();
  return chunk.empty() ? kEnd : static_cast<unsigned char>(chunk.front());
}

int CsvReader::Get() {
  const int c = PeekByte();
  if (c == kEnd) return c;
  bytes_.Skip(1);
  if (c == '\n') ++line_;
  return c;
}

void CsvReader::SkipLine() {
  for (int c = Get(); c != kEnd && c != '\n'; c = Get()) {
  }
}

void CsvReader::ReadQuoted(std::string& field, size_t& record_bytes) {
  for (;;) {
    const int c = Get();
    if (c == kEnd) Throw(ErrorCode::kInvalid, "a quoted field that does not end");
    CountByte(record_bytes);
    if (c != '"') {
      field.push_back(static_cast<char>(c));
      continue;
    }
    if (PeekByte() == '"') {
      Get();
      field.push_back('"');
      continue;
    }
    const int next = PeekByte();
    if (next == kEnd || next == ',' || next == '\n' || next == '\r') return;
    Throw(ErrorCode::kInvalid, "text after the closing quote of field '{}'", field.substr(0, 40));
  }
}

void CsvReader::ReadRecord(CsvRecord& record) {
  size_t record_bytes = 0;
  std::string field;
  bool at_field_start = true;
  for (;;) {
    const int c = Get();
    if (c == '"' && at_field_start) {
      ReadQuoted(field, record_bytes);
      at_field_start = false;
    } else if (c == ',') {
      record.fields.push_back(std::move(field));
      field.clear();
      at_field_start = true;
    } else if (c == kEnd || c == '\n' || (c == '\r' && PeekByte() == '\n')) {
      if (c == '\r') Get();
      record.fields.push_back(std::move(field));
      return;
    } else if (c == '"') {
      Throw(ErrorCode::kInvalid, "a quote inside the unquoted field '{}'", field.substr(0, 40));
    } else {
      CountByte(record_bytes);
      field.push_back(static_cast<char>(c));
      at_field_start = false;
    }
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
    record.fields.clear();
    SkipLine();
  }
  for (const std::string& field : record.fields) {
    if (FindBadUtf8(field) != std::string_view::npos) record.problem = "text that is not UTF-8";
  }
  return true;
}

}  // namespace retort
