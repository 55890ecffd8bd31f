#include "retort/engine/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "retort/base/error.h"
#include "retort/base/random.h"

namespace retort {
namespace {

using std::chrono::milliseconds;

Sequence Ask(uint64_t id, int64_t num_tokens, int64_t tokens_max, int priority = 0) {
  Sequence sequence;
  sequence.id = id;
  sequence.priority = priority;
  for (int64_t i = 0; i < num_tokens; ++i) {
    sequence.tokens.push_back(static_cast<int32_t>(id * 1000 + static_cast<uint64_t>(i)));
  }
  sequence.tokens_max = tokens_max;
  sequence.first_output = num_tokens - 1;
  return sequence;
}

// What an engine does with a plan, for sequences that generate until tokens_max.
void Execute(Scheduler& scheduler, const StepPlan& plan) {
  for (const StepItem& item : plan.items) {
    scheduler.Complete(item);
    Sequence& sequence = *item.sequence;
    if (sequence.num_pending() > 0) continue;
    if (sequence.num_tokens() == sequence.tokens_max) {
      scheduler.Remove(sequence.id);
    } else {
      sequence.first_output = sequence.num_tokens();
      sequence.tokens.push_back(static_cast<int32_t>(sequence.tokens.size() * 7));
    }
  }
}

std::vector<std::pair<uint64_t, int64_t>> Items(const StepPlan& plan) {
  std::vector<std::pair<uint64_t, int64_t>> items;
  for (const StepItem& item : plan.items) {
    items.emplace_back(item.sequence->id, item.end - item.begin);
  }
  return items;
}

using ItemList = std::vector<std::pair<uint64_t, int64_t>>;

TEST(Scheduler, PrefillsShareAStepAndDecodesComeFirst) {
  KvPool pool({64, true, 128});
  Scheduler scheduler({4, 20, 8}, pool);
  scheduler.Add(Ask(1, 10, 12));
  scheduler.Add(Ask(2, 30, 31));
  scheduler.Add(Ask(3, 5, 6));
  EXPECT_EQ(Items(scheduler.Plan({})), (ItemList{{1, 8}, {2, 8}, {3, 4}}));
  scheduler.Remove(1);
  scheduler.Remove(2);
  scheduler.Remove(3);
  scheduler.Add(Ask(4, 9, 12));
  for (int i = 0; i < 2; ++i) Execute(scheduler, scheduler.Plan({}));
  scheduler.Add(Ask(5, 30, 31));
  EXPECT_EQ(Items(scheduler.Plan({})), (ItemList{{4, 1}, {5, 8}}));
}

TEST(Scheduler, RefusesWhatCanNeverFitWithNumbers) {
  KvPool pool({2, true, 128});
  Scheduler scheduler({4, 20, 8}, pool);
  try {
    scheduler.Add(Ask(1, 10, 65));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kExhausted);
    EXPECT_NE(error.message().find("65"), std::string::npos) << error.message();
    EXPECT_NE(error.message().find("64"), std::string::npos) << error.message();
  }
  scheduler.Add(Ask(2, 10, 64));
  EXPECT_EQ(Items(scheduler.Plan({})), (ItemList{{2, 8}}));
}

TEST(Scheduler, RefusesOptionsThatCannotWork) {
  KvPool pool({2, true, 128});
  EXPECT_THROW(Scheduler({0, 20, 8}, pool), Error);
  EXPECT_THROW(Scheduler({4, 3, 8}, pool), Error);
  EXPECT_THROW(Scheduler({4, 4, 0}, pool), Error);
}

TEST(Scheduler, PagesThatRunOutTakeTheLatestAndItComesBack) {
  KvPool pool({3, false, 128});
  Scheduler scheduler({4, 64, 64}, pool);
  scheduler.Add(Ask(1, 31, 96));
  Execute(scheduler, scheduler.Plan({}));
  scheduler.Add(Ask(2, 31, 33));
  Execute(scheduler, scheduler.Plan({}));  // 2 is admitted: a page, and one to spare
  EXPECT_EQ(scheduler.num_running(), 2);
  StepPlan plan = scheduler.Plan({});  // 1 takes the spare page
  Execute(scheduler, plan);
  plan = scheduler.Plan({});  // 2 needs one, is the last itself, and gives way
  ASSERT_EQ(plan.preempted.size(), 1u);
  EXPECT_EQ(plan.preempted[0]->id, 2u);
  EXPECT_EQ(Items(plan), (ItemList{{1, 1}}));
  Execute(scheduler, plan);
  int steps = 0;
  while (!scheduler.idle()) {
    Execute(scheduler, scheduler.Plan({}));
    ASSERT_LT(++steps, 200);
  }
  EXPECT_EQ(pool.num_available(), 3);
}

// A text that is forced adds several tokens at once: they are computed after the decodes are
// planned, and may need the pages of one of them.
TEST(Scheduler, ADecodeThatGivesWayToForcedTokensLeavesThePlan) {
  KvPool pool({3, false, 128});
  Scheduler scheduler({4, 96, 64}, pool);
  Sequence* first = scheduler.Add(Ask(1, 31, 96));
  Execute(scheduler, scheduler.Plan({}));
  scheduler.Add(Ask(2, 31, 33));
  Execute(scheduler, scheduler.Plan({}));
  ASSERT_EQ(scheduler.num_running(), 2);
  while (first->num_tokens() < 80) first->tokens.push_back(7);  // three pages in all
  const StepPlan plan = scheduler.Plan({});
  ASSERT_EQ(plan.preempted.size(), 1u);
  EXPECT_EQ(plan.preempted[0]->id, 2u);
  ASSERT_EQ(plan.items.size(), 1u);
  EXPECT_EQ(plan.items[0].sequence, first);
  EXPECT_EQ(plan.num_tokens, plan.items[0].end - plan.items[0].begin);
}

TEST(Scheduler, HigherPriorityTakesAPlaceAtOnce) {
  KvPool pool({64, true, 128});
  Scheduler scheduler({2, 64, 64}, pool);
  scheduler.Add(Ask(1, 4, 50));
  scheduler.Add(Ask(2, 4, 50));
  Execute(scheduler, scheduler.Plan({}));
  scheduler.Add(Ask(3, 4, 50));
  scheduler.Add(Ask(4, 4, 50, /*priority=*/1));
  const StepPlan plan = scheduler.Plan({});
  EXPECT_EQ(Items(plan), (ItemList{{1, 1}, {4, 4}}));
  ASSERT_EQ(plan.preempted.size(), 1u);
  EXPECT_EQ(plan.preempted[0]->id, 2u);
}

TEST(Scheduler, CachedPrefixIsNotComputedAgainExceptWhatIsWanted) {
  KvPool pool({16, true, 128});
  Scheduler scheduler({2, 512, 512}, pool);
  const auto once = [&](int64_t first_output) {
    Sequence sequence = Ask(1, 96, 96);
    sequence.first_output = first_output;
    scheduler.Add(std::move(sequence));
    const StepPlan plan = scheduler.Plan({});
    Execute(scheduler, plan);
    EXPECT_TRUE(scheduler.idle());
    return plan.num_tokens;
  };
  EXPECT_EQ(once(95), 96);
  EXPECT_EQ(once(95), 32);  // its last token's hidden state is wanted
  EXPECT_EQ(once(40), 64);
  EXPECT_EQ(once(0), 96);
}

TEST(Scheduler, RewoundTokensAreNotShared) {
  KvPool pool({16, true, 128});
  Scheduler scheduler({2, 512, 512}, pool);
  Sequence ask = Ask(1, 40, 200);
  ask.publish_end = 40;
  Sequence* sequence = scheduler.Add(std::move(ask));
  scheduler.Complete(scheduler.Plan({}).items.at(0));
  sequence->tokens.resize(140, 5);
  scheduler.Complete(scheduler.Plan({}).items.at(0));
  EXPECT_EQ(sequence->num_computed, 140);
  EXPECT_EQ(pool.num_published(), 1);
  scheduler.Rewind(*sequence, 40);
  EXPECT_EQ(sequence->num_tokens(), 40);
  EXPECT_THROW(scheduler.Rewind(*sequence, 39), Error);
}

TEST(Scheduler, PagesThatWillBeOverwrittenAreNeverTakenFromTheCache) {
  KvPool pool({16, true, 128});
  Scheduler scheduler({2, 512, 512}, pool);
  scheduler.Add(Ask(1, 96, 96));
  Execute(scheduler, scheduler.Plan({}));
  EXPECT_EQ(pool.num_published(), 3);
  Sequence again = Ask(1, 96, 200);
  again.first_output = 96;  // all before it is answered, as after a preemption
  again.publish_end = 40;
  Sequence* sequence = scheduler.Add(std::move(again));
  scheduler.Complete(scheduler.Plan({}).items.at(0));
  EXPECT_EQ(sequence->num_cached, 32);
  scheduler.Rewind(*sequence, 40);
  for (size_t i = 1; i < sequence->pages.size(); ++i) {
    EXPECT_FALSE(pool.IsPublished(sequence->pages[i])) << i;
  }
}

TEST(Scheduler, DeadlinesExpireWaitingAndRunning) {
  KvPool pool({16, true, 128});
  Scheduler scheduler({1, 512, 512}, pool);
  const Sequence::TimePoint start{};
  for (uint64_t id = 1; id <= 3; ++id) {
    Sequence sequence = Ask(id, 4, 50);
    if (id < 3) sequence.deadline = start + milliseconds(10 * id);
    scheduler.Add(std::move(sequence));
  }
  EXPECT_EQ(Items(scheduler.Plan(start)), (ItemList{{1, 4}}));
  const StepPlan plan = scheduler.Plan(start + milliseconds(20));
  EXPECT_EQ(plan.expired, (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(Items(plan), (ItemList{{3, 4}}));
}

// Random arrivals, cancels and tiny pools: whatever happens, each sequence ends exactly once, no
// bound is exceeded, no page is lost, and nothing waits for ever.
TEST(Scheduler, SimulationKeepsItsPromises) {
  uint64_t num_preemptions = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    uint64_t draw = 0;
    const auto random = [&](uint64_t n) { return RandomBits(seed, draw++) % n; };
    const int num_pages = static_cast<int>(2 + random(12));
    KvPool pool({num_pages, random(2) == 0, 128});
    SchedulerOptions options;
    options.max_num_seqs = static_cast<int>(1 + random(6));
    options.max_batch_tokens = options.max_num_seqs + static_cast<int>(random(64));
    options.prefill_chunk_tokens = static_cast<int>(1 + random(40));
    Scheduler scheduler(options, pool);
    const bool priorities = random(2) == 0;

    std::map<uint64_t, int64_t> live;                    // id → tokens it must reach
    std::map<uint64_t, std::pair<int, uint64_t>> order;  // id → (-priority, arrival)
    uint64_t next_id = 0, num_ended = 0, num_added = 0;
    for (int step = 0; step < 6000 && (step < 60 || !live.empty()); ++step) {
      if (step < 60 && random(2) == 0) {
        const int64_t tokens_max =
            static_cast<int64_t>(2 + random(static_cast<uint64_t>(num_pages * kPageTokens - 1)));
        Sequence sequence =
            Ask(next_id, 1 + static_cast<int64_t>(random(static_cast<uint64_t>(tokens_max))),
                tokens_max, priorities ? static_cast<int>(random(3)) : 0);
        std::fill(sequence.tokens.begin(), sequence.tokens.end(), static_cast<int32_t>(random(2)));
        live[next_id] = tokens_max;
        order[next_id] = {-sequence.priority, num_added++};
        scheduler.Add(std::move(sequence));
        ++next_id;
      }
      if (random(20) == 0 && !live.empty()) {
        auto victim = live.begin();
        std::advance(victim, static_cast<std::ptrdiff_t>(random(live.size())));
        scheduler.Remove(victim->first);
        live.erase(victim);
        ++num_ended;
      }
      const StepPlan plan = scheduler.Plan({});
      ASSERT_LE(plan.num_tokens, options.max_batch_tokens);
      ASSERT_LE(scheduler.num_running(), options.max_num_seqs);
      int64_t num_tokens = 0;
      std::vector<uint64_t> seen;
      for (const StepItem& item : plan.items) {
        ASSERT_EQ(item.begin, item.sequence->num_computed);
        ASSERT_LT(item.begin, item.end);
        ASSERT_LE(item.end, item.sequence->num_tokens());
        ASSERT_LE(item.end - item.begin, options.prefill_chunk_tokens);
        ASSERT_GE(static_cast<int>(item.sequence->pages.size()), KvPool::PagesFor(item.end));
        num_tokens += item.end - item.begin;
        seen.push_back(item.sequence->id);
      }
      ASSERT_EQ(num_tokens, plan.num_tokens);
      std::sort(seen.begin(), seen.end());
      ASSERT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
      if (!live.empty()) {
        // The first of all always gets a token.
        const auto first = std::min_element(live.begin(), live.end(), [&](auto& a, auto& b) {
          return order[a.first] < order[b.first];
        });
        ASSERT_TRUE(std::binary_search(seen.begin(), seen.end(), first->first))
            << "seed " << seed << " step " << step;
      }
      Execute(scheduler, plan);
      std::vector<int> held(static_cast<size_t>(num_pages), 0);
      for (auto entry = live.begin(); entry != live.end();) {
        const Sequence* sequence = scheduler.Find(entry->first);
        if (sequence == nullptr) {
          ++num_ended;
          entry = live.erase(entry);
          continue;
        }
        for (const int32_t page : sequence->pages) ++held[static_cast<size_t>(page)];
        ++entry;
      }
      ASSERT_NO_THROW(pool.Check(held)) << "seed " << seed << " step " << step;
    }
    EXPECT_TRUE(live.empty()) << "seed " << seed;
    EXPECT_TRUE(scheduler.idle());
    EXPECT_EQ(num_ended, num_added);
    EXPECT_EQ(pool.num_available(), num_pages);
    num_preemptions += scheduler.num_preemptions();
  }
  EXPECT_GT(num_preemptions, 100u);
}

}  // namespace
}  // namespace retort
