#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "retort/pipeline/answer_marks.h"
#include "retort/pipeline/ledger.h"
#include "retort/pipeline/step.h"
#include "retort/pipeline/step_runtime.h"

namespace retort {

// A request that finds its server away is asked again at most this often in all, after 50 ms, 200
// ms and 800 ms.
inline constexpr int kAttemptsMax = 4;
inline constexpr int kFirstRetryMs = 50;
// Requests of one row that wait for the model at once: with kRowWorkersMax rows no more than an
// engine lets wait.
inline constexpr size_t kRequestsAtOnceMax = 16;

// What a row step gets while it works on one row: its draws, and its model behind the ledger.
class ModelContext : public RowContext {
 public:
  // `ledger` may be null. `row_key` names the row as it came to the step.
  ModelContext(StepRuntime& step, Ledger* ledger, const LineageKey& row_key, std::stop_token stop);

  uint64_t Random(uint64_t draw) const override;
  std::vector<Answer> GenerateEach(std::vector<Prompt> prompts,
                                   std::shared_ptr<const ConstraintText> constraint) override;
  std::vector<Scores> Score(std::vector<Prompt> prompts,
                            std::vector<std::string> continuations) override;
  std::vector<float> Embed(Prompt prompt, PoolingKind pooling, bool normalize) override;
  std::stop_token stop() const override { return stop_; }
  std::string_view model_name() const override;
  void KeepRaw(std::string_view text) override { raw_ = text; }

  // What the row itself asks its answers to be.
  void SetConstraint(std::shared_ptr<const ConstraintText> constraint) {
    constraint_ = std::move(constraint);
  }

  const std::string& raw() const { return raw_; }
  // Tokens that the longest generation might have filled. A model whose context is smaller may
  // answer otherwise.
  int64_t context_tokens() const { return context_tokens_; }
  // False: the outputs may be others next time under the same key of the step, since a request
  // failed, or the context, which is not part of that key, had a part in an answer.
  bool outputs_are_final() const;
  // Of the answers so far.
  const AnswerMarks& marks() const { return marks_; }
  // The error that must stop the whole run (the ledger's, a model that is gone), not this row
  // alone.
  const std::optional<Error>& fatal() const { return fatal_; }

 private:
  struct Asked;
  struct Waiter;

  Request MakeRequest(Prompt prompt) const;
  std::vector<Response> Ask(std::vector<Request> requests);
  LanguageModel* Load(Asked& asked) const;
  void Submit(Asked& asked, Waiter& waiter);
  // True if `asked` has its response now, or the error of the ledger.
  bool FindInLedger(Asked& asked) const;
  void AskOnce(const std::vector<Asked*>& open);
  bool WaitBeforeRetry(int attempt);

  StepRuntime& step_;
  Ledger* ledger_;
  LineageKey row_key_;
  std::stop_token stop_;
  uint64_t draw_seed_;
  uint64_t num_generations_ = 0;
  std::string raw_;
  bool all_answered_ = true;
  int64_t context_tokens_ = 0;
  AnswerMarks marks_;
  std::shared_ptr<const ConstraintText> constraint_;  // the step's or the row's; null: none
  std::optional<Error> fatal_;
};

}  // namespace retort
