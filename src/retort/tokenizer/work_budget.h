#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace retort {

// Bounds on what a tokenizer file can make a text cost, per byte of the text (of a load: per byte
// of the vocabulary). The most that stages of today's files make of a byte are 13 (NFKC of U+FDFA,
// then marks for its spaces), and there are up to eight of them.
inline constexpr uint64_t kOneStageBytesPerByteMax = 16;
inline constexpr uint64_t kStageBytesPerByteMax = 128;  // of all stages together
inline constexpr uint64_t kStageBytesSlack = 1 << 20;   // so that a short text may be prepended to
// A look takes 2 to 10 ns. Today's patterns take some 20 per word, and in very long words (a text
// of spaces or of capitals) some 20 per byte.
inline constexpr uint64_t kSearchLooksPerByteMax = 256;
inline constexpr uint64_t kSearchLooksSlack = 1 << 24;  // a tenth of a second

// What the stages of one tokenizer file may write, and how often its patterns and added tokens may
// look at a text, for one text or for one load. Throws Error{kExhausted} naming the stage.
class WorkBudget {
 public:
  // `place` names the tokenizer in messages, and must outlive this.
  WorkBudget(size_t num_bytes, std::string_view place);

  // What follows is work of the stage at `place`, which must outlive it.
  void BeginStage(std::string_view place) {
    place_ = place;
    stage_bytes_left_ = kOneStageBytesPerByteMax * num_bytes_ + kStageBytesSlack;
  }
  void Write(uint64_t num_bytes) {
    if (num_bytes > stage_bytes_left_ || num_bytes > bytes_left_) FailBytes();
    stage_bytes_left_ -= num_bytes;
    bytes_left_ -= num_bytes;
  }
  void Look(uint64_t num_looks) {
    if (num_looks > looks_left_) FailLooks();
    looks_left_ -= num_looks;
  }
  uint64_t looks_left() const { return looks_left_; }

 private:
  [[noreturn]] void FailBytes() const;
  [[noreturn]] void FailLooks() const;

  size_t num_bytes_;
  std::string_view place_;
  uint64_t bytes_left_;
  uint64_t stage_bytes_left_ = 0;
  uint64_t looks_left_;
};

}  // namespace retort
