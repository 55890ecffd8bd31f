#pragma once

#include <cstddef>
#include <cstdint>

namespace retort::grammar {

// What one grammar may cost. Reaching any of these is Error{kExhausted}, never a stall: the error
// says which limit and where.
struct Limits {
  size_t text_bytes_max = 4u << 20;   // of the grammar's or schema's text
  int depth_max = 200;                // nesting of the text, and of its syntax tree
  size_t regex_nodes_max = 1u << 19;  // derivatives and subexpressions, per pool
  size_t regex_row_entries_max = 4u << 20;
  size_t emptiness_steps_max = 9'000;    // states visited to find out whether one language is empty
  size_t regex_children_max = 2u << 20;  // of lists of alternatives and conditions, per pool
  size_t lexer_states_max = 1u << 18;
  size_t positions_max = 1u << 18;       // of the pushdown machine
  size_t configurations_max = 4096;      // alternatives alive at one byte
  size_t closure_steps_max = 1u << 16;   // of the pushdown machine, per byte
  size_t session_bytes_max = 64u << 20;  // stacks and seen keys of one request and its forks
  size_t runtime_bytes_max = 96u << 20;  // automata of one grammar; beyond, new requests start anew
  // Work on one request's masks and commits, in units of very roughly 10 ns: so much at once, and
  // so much more with every token. What others that share a step wait for a request is bounded so.
  uint64_t work_max = 6'000'000;
  uint64_t work_per_token = 100'000;
  size_t schema_nodes_max = 60'000;          // conjunctions of subschemas
  size_t schema_disjuncts_max = 512;         // alternatives of one conjunction in normal form
  size_t schema_steps_max = 200'000;         // of the normaliser: the compile fuel, with the next
  size_t schema_regex_nodes_max = 1u << 16;  // subexpressions and derivatives of one compile
};

}  // namespace retort::grammar
