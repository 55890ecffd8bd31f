#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "retort/dataset/jsonl_writer.h"
#include "retort/pipeline/earlier_output.h"
#include "retort/pipeline/graph.h"
#include "retort/pipeline/row_flow.h"

namespace retort {

// Begins families in order and, whatever order they end in, writes what became of them in that
// order: rows to the files of the leaves, failures to failed.jsonl, and rows that wait for a step
// that sees all rows to its list. Keeps at most `window` families between begin and write.
// Thread-safe.
class OutputSequencer {
 public:
  OutputSequencer(const Graph& graph, const std::filesystem::path& output_dir, uint64_t window);

  // The next family, when there is room. Null after Halt().
  std::shared_ptr<Family> Begin();
  // A family all of whose items have ended. Throws Error{kIo}.
  void End(std::shared_ptr<Family> family);

  // Waits until the first `num` families are written; false after Halt().
  bool WaitWritten(uint64_t num);
  // The rows that wait for a step, in order.
  std::vector<GlobalInput> TakeInputs(size_t step);

  // Nothing more is begun or waited for.
  void Halt();
  // The failure that stops a run is written at once, before those of earlier families.
  void WriteFailure(const FailureRecord& failure, uint64_t family);

  // What Finish() gives a name, and what it leaves as it is.
  std::vector<MadeFile> MadeFiles(bool whole) const;
  // Gives the files their names. `whole`: the leaves' too, not only failed.jsonl.
  void Finish(bool whole);

  uint64_t num_begun() const;
  uint64_t num_written() const;
  uint64_t rows_written() const;
  uint64_t rows_failed() const;
  std::vector<std::filesystem::path> OutputPaths() const;

 private:
  void Write(Family& family);
  void AppendLines();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t window_;
  bool halted_ = false;
  bool whole_ = false;
  uint64_t num_begun_ = 0;
  uint64_t num_written_ = 0;
  std::map<uint64_t, std::shared_ptr<Family>> ended_;
  std::map<size_t, std::unique_ptr<JsonlWriter>> writers_;  // by leaf
  std::map<size_t, std::string> lines_;                     // not yet appended
  std::map<size_t, std::vector<GlobalInput>> inputs_;       // by step
  std::unique_ptr<JsonlWriter> failed_;
  std::string failed_lines_;
  uint64_t rows_written_ = 0;
  uint64_t rows_failed_ = 0;
};

}  // namespace retort
