#include "retort/engine/model_runner.h"

#include <algorithm>

#include "retort/base/error.h"

namespace retort {
namespace {

// Rows of logits at a time: as many as fill the matrix unit, few enough that a vocabulary of 128k
// costs 16 MB.
constexpr int64_t kLogitsRowsMax = 32;

// A device answers for all rows of logits or for none. These are its errors that one row is the
// reason of: it holds what is no number, or no token that could be drawn.
bool IsOfOneRow(const Error& error) {
  return error.code() == ErrorCode::kCorrupt || error.code() == ErrorCode::kInvalid;
}

// For whoever asked for that row.
Error OfOneRow(const Error& error) {
  return Error(error.code(),
               "the model's logits for this prompt cannot be used (" + error.message() + ")");
}

}  // namespace

ModelRunner::ModelRunner(const Decoder& decoder, const ModelRunnerOptions& options)
    : decoder_(decoder),
      device_(decoder.device()),
      num_logits_rows_max_(std::min<int64_t>(kLogitsRowsMax, options.max_batch_tokens)),
      page_stride_(KvPool::PagesFor(options.context_tokens_max)),
      num_mask_words_(static_cast<size_t>(
          (std::max<int64_t>(decoder.spec().vocab_size, options.tokenizer_vocab_size) + 31) / 32)) {
  cache_ = device_.CreateKvCache(decoder.MakeKvSpec(options.num_pages, options.kv_format));
  workspace_ = decoder.CreateWorkspace(options.max_batch_tokens, num_logits_rows_max_);
  batch_ = device_.CreateBatch(options.max_batch_tokens, options.max_num_seqs, page_stride_);
  accumulators_.rows = options.max_num_seqs;
  accumulators_.cols = decoder.spec().model_dim;
  accumulators_.stride = accumulators_.cols;
  accumulator_buffer_ = device_.Allocate(static_cast<size_t>(accumulators_.rows) *
                                         static_cast<size_t>(accumulators_.cols) * sizeof(float));
  accumulators_.buffer = accumulator_buffer_.get();
  for (int i = options.max_num_seqs - 1; i >= 0; --i) free_accumulators_.push_back(i);
}

int ModelRunner::TakeAccumulator() {
  if (free_accumulators_.empty()) Throw(ErrorCode::kInternal, "more sums than running sequences");
  const int accumulator = free_accumulators_.back();
  const std::vector<float> zeros(static_cast<size_t>(accumulators_.cols), 0.0f);
  device_.Upload(zeros, accumulators_.Rows(accumulator, accumulator + 1));
  free_accumulators_.pop_back();
  return accumulator;
}

void ModelRunner::ReturnAccumulator(int accumulator) { free_accumulators_.push_back(accumulator); }

void ModelRunner::Run(std::vector<StepTask>& tasks) {
  // By kind, so that the rows of each kind's hidden states adjoin.
  std::stable_sort(tasks.begin(), tasks.end(), [](const StepTask& a, const StepTask& b) {
    return a.work->index() < b.work->index();
  });
  PlanBatch(tasks);
  device_.UploadBatch(plan_, *batch_);
  const Matrix hidden = decoder_.Forward(*batch_, plan_, *cache_, *workspace_);

  int64_t row = 0;
  const std::span<StepTask> all(tasks);
  for (size_t begin = 0, end = 0; begin < tasks.size(); begin = end) {
    int64_t num_rows = 0;
    for (end = begin; end < tasks.size() && tasks[end].work->index() == tasks[begin].work->index();
         ++end) {
      num_rows += tasks[end].num_outputs;
    }
    const std::span<StepTask> same = all.subspan(begin, end - begin);
    const Matrix rows = hidden.Rows(row, row + num_rows);
    row += num_rows;
    if (std::holds_alternative<GenerationWork>(*tasks[begin].work)) {
      Sample(same, rows);
    } else if (std::holds_alternative<ScoringWork>(*tasks[begin].work)) {
      Score(same, rows);
    } else {
      Pool(same, rows);
    }
  }
  device_.Synchronize();
}

void ModelRunner::PlanBatch(std::vector<StepTask>& tasks) {
  plan_.token_ids.clear();
  plan_.positions.clear();
  plan_.row_begin.assign(1, 0);
  plan_.output_rows.clear();
  plan_.prompt_tokens.clear();
  plan_.page_stride = 0;
  for (const StepTask& task : tasks) {
    plan_.page_stride =
        std::max(plan_.page_stride, static_cast<int32_t>(KvPool::PagesFor(task.item.end)));
  }
  plan_.page_table.assign(tasks.size() * static_cast<size_t>(plan_.page_stride), -1);
  for (size_t s = 0; s < tasks.size(); ++s) {
    StepTask& task = tasks[s];
    const Sequence& sequence = *task.item.sequence;
    const int64_t first_output = std::max(task.item.begin, sequence.first_output);
    for (int64_t position = task.item.begin; position < task.item.end; ++position) {
      if (position >= first_output) {
        plan_.output_rows.push_back(static_cast<int32_t>(plan_.token_ids.size()));
      }
      plan_.token_ids.push_back(sequence.tokens[static_cast<size_t>(position)]);
      plan_.positions.push_back(static_cast<int32_t>(position));
    }
    task.num_outputs = std::max<int64_t>(0, task.item.end - first_output);
    plan_.row_begin.push_back(static_cast<int32_t>(plan_.token_ids.size()));
    plan_.prompt_tokens.push_back(static_cast<int32_t>(task.prompt_tokens));
    const auto num_pages = static_cast<std::ptrdiff_t>(KvPool::PagesFor(task.item.end));
    std::copy(sequence.pages.begin(), sequence.pages.begin() + num_pages,
              plan_.page_table.begin() +
                  static_cast<std::ptrdiff_t>(s) * static_cast<std::ptrdiff_t>(plan_.page_stride));
  }
}

void ModelRunner::Sample(std::span<StepTask> tasks, const Matrix& hidden) {
  std::vector<StepTask*> ready;
  for (StepTask& task : tasks) {
    if (task.num_outputs > 1) {
      Throw(ErrorCode::kInternal, "{} positions of one sequence want a token", task.num_outputs);
    }
    if (task.num_outputs == 1) ready.push_back(&task);
  }
  // Here, so that a device with a queue of its own computes the hidden states meanwhile.
  Constrain(ready);
  std::vector<SamplingRow> rows;
  for (int64_t begin = 0; begin < hidden.rows; begin += num_logits_rows_max_) {
    const int64_t end = std::min(hidden.rows, begin + num_logits_rows_max_);
    rows.clear();
    for (int64_t i = begin; i < end; ++i) {
      const StepTask& task = *ready[static_cast<size_t>(i)];
      const auto& work = std::get<GenerationWork>(*task.work);
      rows.push_back(work.Sampling(task.item.end));
      if (work.is_constrained() && !task.failure) {
        rows.back().allowed = &masks_[static_cast<size_t>(i) * num_mask_words_];
      }
    }
    const Matrix logits = decoder_.Logits(hidden.Rows(begin, end), *workspace_);
    const auto asking = std::span(ready).subspan(static_cast<size_t>(begin), rows.size());
    std::vector<SampledToken> sampled = Draw(logits, rows, asking);
    for (size_t i = 0; i < asking.size(); ++i) asking[i]->sampled = std::move(sampled[i]);
  }
}

// A token for each row; where some rows have none, each is drawn by itself, and those fail alone.
std::vector<SampledToken> ModelRunner::Draw(const Matrix& logits, std::span<const SamplingRow> rows,
                                            std::span<StepTask* const> tasks) {
  try {
    return device_.Sample(logits, rows);
  } catch (const Error& error) {
    if (!IsOfOneRow(error)) throw;
    if (rows.size() == 1) {
      if (!tasks[0]->failure) tasks[0]->failure = OfOneRow(error);
      return {SampledToken()};
    }
  }
  std::vector<SampledToken> sampled;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    sampled.push_back(
        Draw(logits.Rows(row, row + 1), rows.subspan(i, 1), tasks.subspan(i, 1)).front());
  }
  return sampled;
}

// The masks of constrained rows, one after the other. What fails concerns its own sequence alone.
void ModelRunner::Constrain(std::span<StepTask* const> tasks) {
  for (size_t i = 0; i < tasks.size(); ++i) {
    const auto& work = std::get<GenerationWork>(*tasks[i]->work);
    if (!work.is_constrained()) continue;
    if (masks_.size() < tasks.size() * num_mask_words_) {
      masks_.resize(tasks.size() * num_mask_words_);
    }
    try {
      work.FillMask(decoder_.spec().vocab_size,
                    std::span(masks_).subspan(i * num_mask_words_, num_mask_words_));
    } catch (...) {
      tasks[i]->failure = CurrentError();
    }
  }
}

void ModelRunner::Score(std::span<StepTask> tasks, const Matrix& hidden) {
  std::vector<ScoredRow> rows;
  for (StepTask& task : tasks) {
    task.logprobs_begin.assign(1, 0);
    for (int64_t i = task.item.end - task.num_outputs; i < task.item.end; ++i) {
      rows.push_back({&task, i});
    }
  }
  for (int64_t begin = 0; begin < hidden.rows; begin += num_logits_rows_max_) {
    const int64_t end = std::min(hidden.rows, begin + num_logits_rows_max_);
    const Matrix logits = decoder_.Logits(hidden.Rows(begin, end), *workspace_);
    ScoreRows(logits, std::span(rows).subspan(static_cast<size_t>(begin),
                                              static_cast<size_t>(end - begin)));
  }
}

// As Draw: rows that have no answer fail alone.
void ModelRunner::ScoreRows(const Matrix& logits, std::span<const ScoredRow> rows) {
  std::vector<Device::LogprobQuery> queries;
  for (size_t i = 0; i < rows.size(); ++i) {
    std::get<ScoringWork>(*rows[i].task->work)
        .AppendQueries(rows[i].position, static_cast<int32_t>(i), queries);
  }
  std::vector<float> logprobs;
  try {
    logprobs = device_.Logprobs(logits, queries);
  } catch (const Error& error) {
    if (!IsOfOneRow(error)) throw;
    if (rows.size() == 1) {
      rows[0].task->failure = OfOneRow(error);
      return;
    }
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto row = static_cast<int64_t>(i);
      ScoreRows(logits.Rows(row, row + 1), rows.subspan(i, 1));
    }
    return;
  }
  size_t next = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    StepTask& task = *rows[i].task;
    while (next < queries.size() && queries[next].row == static_cast<int32_t>(i)) {
      task.logprobs.push_back(logprobs[next++]);
    }
    task.logprobs_begin.push_back(static_cast<int64_t>(task.logprobs.size()));
  }
}

void ModelRunner::Pool(std::span<StepTask> tasks, const Matrix& hidden) {
  int64_t row = 0;
  for (StepTask& task : tasks) {
    const int64_t row_end = row + task.num_outputs;
    const auto& work = std::get<EmbeddingWork>(*task.work);
    const bool complete = task.item.end == task.item.sequence->num_tokens();
    Matrix result;
    if (work.is_mean()) {
      result = accumulators_.Rows(work.accumulator, work.accumulator + 1);
      device_.AccumulateRows(hidden, row, row_end, result);
    } else if (complete) {
      result = hidden.Rows(row_end - 1, row_end);
    }
    if (complete) {
      task.hidden.resize(static_cast<size_t>(accumulators_.cols));
      device_.Download(result, task.hidden);
    }
    row = row_end;
  }
}

}  // namespace retort
