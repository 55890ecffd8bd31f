#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "retort/pipeline/lineage.h"
#include "retort/pipeline/step.h"

// What moves through a run: rows, the families they belong to, and the groups in which branches
// wait for one another.
namespace retort {

struct Family;
struct JoinGroup;

// A row on its way. Counted in its family and in each of its groups until it ends.
struct Item {
  std::shared_ptr<Family> family;
  Row row;
  LineageKey key;
  RowPath path;
  bool failed = false;  // some step before failed on it, so that columns may be null
  std::vector<std::shared_ptr<JoinGroup>> groups;  // joins it is on its way to, outermost first
};

// The rows that a join makes one of: all that came of one row behind the fork. Guarded by the
// family's mutex.
struct JoinGroup {
  size_t join = 0;                         // step
  size_t num_pending = 0;                  // items under way to the join
  std::vector<std::vector<Item>> arrived;  // per predecessor of the join
};

// A row as it failed at a step, for failed.jsonl.
struct FailureRecord {
  std::string step;
  size_t rank = 0;  // of the step in the graph's order
  RowPath path;
  LineageKey key;
  Error error;
  std::string raw;
  Json row;
};

struct OutputLine {
  size_t leaf = 0;  // step
  RowPath path;
  std::string line;
};

struct GlobalInput {
  size_t step = 0;
  RowPath path;
  Row row;
  LineageKey key;
  bool failed = false;
};

// A row of a source, or of a step that saw all rows, with everything that becomes of it until it
// leaves or waits for all others.
struct Family {
  uint64_t number = 0;
  std::mutex mutex;
  size_t num_pending = 0;  // items not ended
  std::vector<OutputLine> lines;
  std::vector<GlobalInput> global_inputs;
  std::vector<FailureRecord> failures;
};

// One thing to do: a step for an item, or a join for a group whose branches have all come in.
struct Task {
  size_t step = 0;
  size_t rank = 0;
  Item item;
  std::shared_ptr<JoinGroup> group;  // null unless the step is a join
};

}  // namespace retort
