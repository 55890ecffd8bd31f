#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "retort/engine/kv_pool.h"

namespace retort {

struct SchedulerOptions {
  int max_num_seqs = 32;           // sequences that hold pages at once
  int max_batch_tokens = 512;      // tokens computed in one step, of all sequences
  int prefill_chunk_tokens = 256;  // tokens of one sequence in one step
};

// Throws Error{kInvalid} for options that let no step compute a token of every running sequence.
void CheckSchedulerOptions(const SchedulerOptions& options);

// A sequence of tokens whose keys and values are to be computed.
struct Sequence {
  using TimePoint = std::chrono::steady_clock::time_point;

  // Set by whoever adds it.
  uint64_t id = 0;
  int priority = 0;  // higher first; equal: in order of Add
  std::optional<TimePoint> deadline;
  std::vector<int32_t> tokens;
  int64_t tokens_max = 0;    // it will never have more
  uint64_t domain = 0;       // of the prefix cache
  int64_t first_output = 0;  // the hidden states from this position on are wanted, so they must
                             // be computed whatever is cached
  int64_t publish_end = INT64_MAX;  // pages with tokens from here on are not for others

  // Kept by the scheduler.
  uint64_t arrival = 0;
  bool running = false;
  int64_t num_computed = 0;  // leading tokens whose keys and values are in `pages`
  int64_t num_cached = 0;    // of them, found in the cache when it was last admitted
  std::vector<int32_t> pages;
  int num_published = 0;  // leading pages that were offered to the prefix index
  int num_admissions = 0;

  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
  int64_t num_pending() const { return num_tokens() - num_computed; }
};

// Tokens [begin, end) of a sequence, to be computed in this step.
struct StepItem {
  Sequence* sequence = nullptr;
  int64_t begin = 0;
  int64_t end = 0;
};

struct StepPlan {
  std::vector<StepItem> items;       // each sequence at most once
  std::vector<uint64_t> expired;     // their deadline is over: removed already
  std::vector<Sequence*> admitted;   // hold pages from now on, some of them again
  std::vector<Sequence*> preempted;  // lost their pages and will be computed again
  int64_t num_tokens = 0;
};

// Decides what each step of a model computes. Pure logic: time is an argument, pages are numbers.
//
// Sequences are ordered by priority, then arrival. Each step first gives one token to every
// sequence that lacks just one (decoding), then chunks to those that lack more, then admits
// waiting sequences, in this order, while budget, seats and pages last. None overtakes: if the
// first waiting sequence does not fit, no other is admitted, so a sequence waits only for those
// before it. A sequence is admitted if the pages for all its tokens are there and one is left over
// for every running sequence. When pages run out the last running sequence loses its pages and
// waits again; it keeps its tokens. A waiting sequence that does not fit takes the places of
// running sequences of lower priority. The first of all is never preempted, so it ends.
class Scheduler {
 public:
  using TimePoint = Sequence::TimePoint;

  // `pool` must outlive the scheduler. Throws Error{kInvalid} for options that cannot work.
  Scheduler(const SchedulerOptions& options, KvPool& pool);

  // Throws Error{kExhausted} with the tokens it needs and those there are if the sequence could
  // never be computed, even alone. The pointer is good until Remove or until it expires.
  Sequence* Add(Sequence sequence);
  // Releases its pages. Any time; its items in a plan that is not completed yet must be dropped.
  void Remove(uint64_t id);
  Sequence* Find(uint64_t id);

  int num_running() const { return static_cast<int>(running_.size()); }
  int num_waiting() const { return static_cast<int>(waiting_.size()); }
  bool idle() const { return sequences_.empty(); }

  StepPlan Plan(TimePoint now);
  // The item's tokens were computed: full pages are published.
  void Complete(const StepItem& item);
  // Drops what was computed from position `end` on: other tokens will follow there. `end` must not
  // be before publish_end.
  void Rewind(Sequence& sequence, int64_t end);

  uint64_t num_preemptions() const { return num_preemptions_; }

 private:
  struct Before {
    bool operator()(const Sequence* a, const Sequence* b) const {
      if (a->priority != b->priority) return a->priority > b->priority;
      return a->arrival < b->arrival;
    }
  };
  using Queue = std::set<Sequence*, Before>;

  void Expire(TimePoint now, StepPlan& plan);
  void AdmitBeforeLower(StepPlan& plan);
  void PlanRunning(bool decoding, StepPlan& plan);
  void Admit(StepPlan& plan);
  Sequence& AdmitFirst(StepPlan& plan);
  bool Fits(const Sequence& sequence) const;
  static std::span<const int32_t> Findable(const Sequence& sequence);
  bool EnsurePages(Sequence& sequence, int64_t num_tokens, StepPlan& plan);
  void Preempt(Sequence& sequence, StepPlan& plan);
  void AddItem(Sequence& sequence, StepPlan& plan);
  int64_t Chunk(const Sequence& sequence, const StepPlan& plan) const;

  SchedulerOptions options_;
  KvPool& pool_;
  std::map<uint64_t, std::unique_ptr<Sequence>> sequences_;
  Queue running_;
  Queue waiting_;
  uint64_t next_arrival_ = 0;
  uint64_t num_preemptions_ = 0;
};

}  // namespace retort
