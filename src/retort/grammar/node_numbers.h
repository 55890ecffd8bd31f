#pragma once

#include <cstdint>

#include "retort/grammar/grammar_ir.h"
#include "retort/grammar/lexer.h"

namespace retort::grammar {

// A node as the machine pushes it: with what stands before a value.
inline uint32_t NodeNumber(NodeId node, Lexer::Before before) {
  return node << 2 | static_cast<uint32_t>(before);
}
inline NodeId NodeOf(uint32_t number) { return number >> 2; }
inline Lexer::Before BeforeOf(uint32_t number) { return static_cast<Lexer::Before>(number & 3); }

}  // namespace retort::grammar
