#include "retort/engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "retort/base/error.h"

namespace retort {

void CheckSchedulerOptions(const SchedulerOptions& options) {
  if (options.max_num_seqs < 1 || options.prefill_chunk_tokens < 1) {
    Throw(ErrorCode::kInvalid,
          "max_num_seqs is {} and prefill_chunk_tokens {}: both must be at least 1",
          options.max_num_seqs, options.prefill_chunk_tokens);
  }
  if (options.max_batch_tokens < options.max_num_seqs) {
    Throw(ErrorCode::kInvalid,
          "max_batch_tokens is {}, which is less than one for each of max_num_seqs = {}",
          options.max_batch_tokens, options.max_num_seqs);
  }
}

Scheduler::Scheduler(const SchedulerOptions& options, KvPool& pool)
    : options_(options), pool_(pool) {
  CheckSchedulerOptions(options);
}

Sequence* Scheduler::Add(Sequence sequence) {
  if (sequence.tokens.empty() || sequence.num_tokens() > sequence.tokens_max) {
    Throw(ErrorCode::kInternal, "a sequence of {} tokens, at most {}, was added",
          sequence.tokens.size(), sequence.tokens_max);
  }
  const int64_t tokens_available = int64_t{pool_.num_pages()} * kPageTokens;
  if (sequence.tokens_max > tokens_available) {
    Throw(ErrorCode::kExhausted,
          "the request needs keys and values for {} tokens, the budget holds {}",
          sequence.tokens_max, tokens_available);
  }
  sequence.arrival = next_arrival_++;
  auto owned = std::make_unique<Sequence>(std::move(sequence));
  Sequence* added = owned.get();
  if (!sequences_.try_emplace(added->id, std::move(owned)).second) {
    Throw(ErrorCode::kInternal, "sequence {} was added twice", added->id);
  }
  waiting_.insert(added);
  return added;
}

Sequence* Scheduler::Find(uint64_t id) {
  const auto found = sequences_.find(id);
  return found == sequences_.end() ? nullptr : found->second.get();
}

void Scheduler::Remove(uint64_t id) {
  Sequence* sequence = Find(id);
  if (sequence == nullptr) return;
  (sequence->running ? running_ : waiting_).erase(sequence);
  pool_.Release(sequence->pages);
  sequences_.erase(id);
}

StepPlan Scheduler::Plan(TimePoint now) {
  StepPlan plan;
  Expire(now, plan);
  AdmitBeforeLower(plan);
  const size_t num_displaced = plan.preempted.size();
  PlanRunning(/*decoding=*/true, plan);
  PlanRunning(/*decoding=*/false, plan);
  // If pages just ran out, whoever is admitted now would be preempted next.
  if (plan.preempted.size() == num_displaced) Admit(plan);
  return plan;
}

void Scheduler::Expire(TimePoint now, StepPlan& plan) {
  for (const auto& [id, sequence] : sequences_) {
    if (sequence->deadline && now >= *sequence->deadline) plan.expired.push_back(id);
  }
  for (const uint64_t id : plan.expired) Remove(id);
}

// The tokens whose pages may come from the cache. Not those from publish_end on, even if another
// sequence published the same: a rewind overwrites them.
std::span<const int32_t> Scheduler::Findable(const Sequence& sequence) {
  const int64_t end =
      std::min({sequence.first_output, sequence.publish_end, sequence.num_tokens()});
  return std::span(sequence.tokens).first(static_cast<size_t>(end));
}

bool Scheduler::Fits(const Sequence& sequence) const {
  if (num_running() >= options_.max_num_seqs) return false;
  const KvPool::Prospect cached = pool_.Peek(sequence.domain, Findable(sequence));
  const int num_new = KvPool::PagesFor(sequence.num_tokens()) - cached.num_pages;
  const int num_spare = running_.empty() ? 0 : num_running();
  return pool_.num_available() - cached.num_kept >= num_new + num_spare;
}

void Scheduler::AdmitBeforeLower(StepPlan& plan) {
  while (!waiting_.empty() && !running_.empty()) {
    const Sequence& first = **waiting_.begin();
    Sequence& last = **running_.rbegin();
    if (last.priority >= first.priority) return;
    if (Fits(first)) {
      AdmitFirst(plan);
    } else {
      Preempt(last, plan);
    }
  }
}

void Scheduler::PlanRunning(bool decoding, StepPlan& plan) {
  const std::vector<Sequence*> in_order(running_.begin(), running_.end());
  for (Sequence* sequence : in_order) {
    if (!sequence->running) continue;  // preempted by one before it
    const int64_t num_pending = sequence->num_pending();
    if (num_pending == 0 || (num_pending == 1) != decoding) continue;
    const int64_t chunk = Chunk(*sequence, plan);
    if (chunk == 0) return;
    if (EnsurePages(*sequence, sequence->num_computed + chunk, plan)) AddItem(*sequence, plan);
  }
}

int64_t Scheduler::Chunk(const Sequence& sequence, const StepPlan& plan) const {
  return std::min({sequence.num_pending(), int64_t{options_.prefill_chunk_tokens},
                   options_.max_batch_tokens - plan.num_tokens});
}

void Scheduler::AddItem(Sequence& sequence, StepPlan& plan) {
  const int64_t chunk = Chunk(sequence, plan);
  plan.items.push_back({&sequence, sequence.num_computed, sequence.num_computed + chunk});
  plan.num_tokens += chunk;
}

// False if the sequence itself had to give way. Those that have items in the plan are before it in
// the order when it decodes; a prefill that finds no page may take one from a planned decode after
// it, whose item goes with it.
bool Scheduler::EnsurePages(Sequence& sequence, int64_t num_tokens, StepPlan& plan) {
  while (static_cast<int>(sequence.pages.size()) < KvPool::PagesFor(num_tokens)) {
    if (pool_.num_available() == 0) {
      Sequence& last = **running_.rbegin();
      Preempt(last, plan);
      if (&last == &sequence) return false;
      continue;
    }
    sequence.pages.push_back(pool_.Allocate());
  }
  return true;
}

void Scheduler::Preempt(Sequence& sequence, StepPlan& plan) {
  const auto planned =
      std::find_if(plan.items.begin(), plan.items.end(),
                   [&](const StepItem& item) { return item.sequence == &sequence; });
  if (planned != plan.items.end()) {
    plan.num_tokens -= planned->end - planned->begin;
    plan.items.erase(planned);
  }
  running_.erase(&sequence);
  pool_.Release(sequence.pages);
  sequence.running = false;
  sequence.num_computed = 0;
  sequence.num_published = 0;
  waiting_.insert(&sequence);
  plan.preempted.push_back(&sequence);
  ++num_preemptions_;
}

Sequence& Scheduler::AdmitFirst(StepPlan& plan) {
  Sequence& sequence = **waiting_.begin();
  waiting_.erase(waiting_.begin());
  sequence.pages = pool_.Match(sequence.domain, Findable(sequence));
  sequence.num_published = static_cast<int>(sequence.pages.size());
  sequence.num_computed = int64_t{sequence.num_published} * kPageTokens;
  sequence.num_cached = sequence.num_computed;
  while (static_cast<int>(sequence.pages.size()) < KvPool::PagesFor(sequence.num_tokens())) {
    sequence.pages.push_back(pool_.Allocate());
  }
  sequence.running = true;
  ++sequence.num_admissions;
  running_.insert(&sequence);
  plan.admitted.push_back(&sequence);
  return sequence;
}

void Scheduler::Admit(StepPlan& plan) {
  while (!waiting_.empty() && plan.num_tokens < options_.max_batch_tokens &&
         Fits(**waiting_.begin())) {
    AddItem(AdmitFirst(plan), plan);
  }
}

void Scheduler::Complete(const StepItem& item) {
  Sequence& sequence = *item.sequence;
  sequence.num_computed = item.end;
  const int64_t publishable = std::min(sequence.num_computed, sequence.publish_end);
  while ((int64_t{sequence.num_published} + 1) * kPageTokens <= publishable) {
    const size_t at = static_cast<size_t>(sequence.num_published);
    const int32_t parent = at == 0 ? -1 : sequence.pages[at - 1];
    sequence.pages[at] =
        pool_.Publish(sequence.pages[at], parent, sequence.domain,
                      std::span(sequence.tokens).subspan(at * kPageTokens, kPageTokens));
    ++sequence.num_published;
  }
}

void Scheduler::Rewind(Sequence& sequence, int64_t end) {
  if (end < sequence.publish_end || end > sequence.num_computed) {
    Throw(ErrorCode::kInternal, "sequence {} cannot go back to {}: {} computed, published to {}",
          sequence.id, end, sequence.num_computed, sequence.publish_end);
  }
  sequence.num_computed = end;
  sequence.tokens.resize(static_cast<size_t>(end));
}

}  // namespace retort
