#include "retort/pipeline/output_sequencer.h"

#include <algorithm>
#include <tuple>

namespace retort {
namespace {

std::string FailureLine(const FailureRecord& failure, uint64_t family) {
  Json line = {{"step", failure.step},
               {"row_key", failure.key.Hex()},
               {"lineage", PathText(family, failure.path)},
               {"code", std::string(ErrorCodeName(failure.error.code()))},
               {"reason", failure.error.message()},
               {"raw", failure.raw.empty() ? Json(nullptr) : Json(failure.raw)},
               {"row", failure.row}};
  return DumpJson(line) + "\n";
}

}  // namespace

OutputSequencer::OutputSequencer(const Graph& graph, const std::filesystem::path& output_dir,
                                 uint64_t window)
    : window_(window) {
  for (const size_t leaf : graph.Leaves()) {
    writers_[leaf] =
        std::make_unique<JsonlWriter>(output_dir / (graph.steps[leaf].name() + ".jsonl"));
  }
  failed_ = std::make_unique<JsonlWriter>(output_dir / "failed.jsonl");
}

std::shared_ptr<Family> OutputSequencer::Begin() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return halted_ || num_begun_ - num_written_ < window_; });
  if (halted_) return nullptr;
  auto family = std::make_shared<Family>();
  family->number = num_begun_++;
  return family;
}

void OutputSequencer::End(std::shared_ptr<Family> family) {
  std::unique_lock lock(mutex_);
  ended_.emplace(family->number, std::move(family));
  if (ended_.begin()->first != num_written_) return;
  while (!ended_.empty() && ended_.begin()->first == num_written_) {
    const std::shared_ptr<Family> next = std::move(ended_.begin()->second);
    ended_.erase(ended_.begin());
    Write(*next);
    ++num_written_;
  }
  AppendLines();
  lock.unlock();
  changed_.notify_all();
}

void OutputSequencer::Write(Family& family) {
  std::lock_guard lock(family.mutex);
  std::sort(family.lines.begin(), family.lines.end(),
            [](const OutputLine& a, const OutputLine& b) { return a.path < b.path; });
  for (OutputLine& line : family.lines) {
    lines_[line.leaf] += line.line;
    ++rows_written_;
  }
  std::sort(family.global_inputs.begin(), family.global_inputs.end(),
            [](const GlobalInput& a, const GlobalInput& b) { return a.path < b.path; });
  for (GlobalInput& input : family.global_inputs) inputs_[input.step].push_back(std::move(input));
  std::sort(family.failures.begin(), family.failures.end(),
            [](const FailureRecord& a, const FailureRecord& b) {
              return std::tie(a.path, a.rank) < std::tie(b.path, b.rank);
            });
  for (const FailureRecord& failure : family.failures) {
    failed_lines_ += FailureLine(failure, family.number);
    ++rows_failed_;
  }
}

void OutputSequencer::AppendLines() {
  for (auto& [leaf, lines] : lines_) {
    if (lines.empty()) continue;
    writers_.at(leaf)->AppendLines(lines);
    lines.clear();
  }
  if (failed_lines_.empty()) return;
  failed_->AppendLines(failed_lines_);
  failed_lines_.clear();
}

bool OutputSequencer::WaitWritten(uint64_t num) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return halted_ || num_written_ >= num; });
  return !halted_;
}

std::vector<GlobalInput> OutputSequencer::TakeInputs(size_t step) {
  std::lock_guard lock(mutex_);
  return std::move(inputs_[step]);
}

void OutputSequencer::Halt() {
  {
    std::lock_guard lock(mutex_);
    halted_ = true;
  }
  changed_.notify_all();
}

void OutputSequencer::WriteFailure(const FailureRecord& failure, uint64_t family) {
  std::lock_guard lock(mutex_);
  failed_->AppendLines(FailureLine(failure, family));
  ++rows_failed_;
}

std::vector<MadeFile> OutputSequencer::MadeFiles(bool whole) const {
  std::lock_guard lock(mutex_);
  const auto made = [](const JsonlWriter& writer, bool takes_name) {
    return MadeFile{writer.path().filename().string(), writer.partial_path(), takes_name};
  };
  std::vector<MadeFile> files = {made(*failed_, rows_failed_ > 0)};
  for (const auto& [leaf, writer] : writers_) files.push_back(made(*writer, whole));
  return files;
}

void OutputSequencer::Finish(bool whole) {
  std::lock_guard lock(mutex_);
  failed_->Finish();
  if (rows_failed_ == 0) std::filesystem::remove(failed_->path());
  if (!whole) return;
  for (auto& [leaf, writer] : writers_) writer->Finish();
  whole_ = true;
}

uint64_t OutputSequencer::num_begun() const {
  std::lock_guard lock(mutex_);
  return num_begun_;
}

uint64_t OutputSequencer::num_written() const {
  std::lock_guard lock(mutex_);
  return num_written_;
}

uint64_t OutputSequencer::rows_written() const {
  std::lock_guard lock(mutex_);
  return rows_written_;
}

uint64_t OutputSequencer::rows_failed() const {
  std::lock_guard lock(mutex_);
  return rows_failed_;
}

std::vector<std::filesystem::path> OutputSequencer::OutputPaths() const {
  std::lock_guard lock(mutex_);
  std::vector<std::filesystem::path> paths;
  for (const auto& [leaf, writer] : writers_) {
    paths.push_back(whole_ ? writer->path() : writer->partial_path());
  }
  return paths;
}

}  // namespace retort
