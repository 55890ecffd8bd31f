#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "retort/pipeline/ledger.h"

namespace retort {

// Makes the file and its tables if they are not there, and indexes all its records. Throws
// Error{kCorrupt, kUnsupported} for a file that is something else or of another version.
void OpenLedgerFile(const std::filesystem::path& path);

// Seconds since 1970, as the time of a record's last use is kept.
int64_t LedgerSecond();

// A record that is used again is not written again within so many seconds: whoever runs a pipeline
// over and over would rewrite all its records each time.
inline constexpr int64_t kUseSeconds = 60;

// A value as stored: a checksum over key and value, then the value. SQLite does not notice a
// flipped bit in the middle of a page.
std::string SealValue(const LineageKey& key, std::string_view value);
// Throws Error{kCorrupt} naming the file if the checksum does not match.
std::string UnsealValue(const LineageKey& key, std::string_view stored,
                        const std::filesystem::path& path);

// The one connection of a process that writes records.
class LedgerWriter {
 public:
  explicit LedgerWriter(const std::filesystem::path& path);
  ~LedgerWriter();

  void Begin();
  int64_t Add(const LedgerRecord& record, int64_t used);  // its id
  void Touch(int64_t id, int64_t used);
  void Commit();
  void Rollback() noexcept;
  // In a transaction of its own: lets all committed records be found by their keys. Takes as long
  // as some thousand commits of one record, however few there are.
  void Index();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace retort
