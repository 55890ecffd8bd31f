#include "retort/checkpoint/safetensors.h"

#include <cstdint>
#include <vector>

#include "retort/base/error.h"

// Any bytes either parse or give an Error; what parses can be read in full without leaving the
// file.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const retort::WeightFile file =
        retort::ParseSafetensors(std::as_bytes(std::span(data, size)), "fuzz");
    uint64_t touched = 0;
    for (const retort::TensorView& tensor : file.tensors) {
      for (std::byte byte : tensor.bytes) touched += static_cast<uint64_t>(byte);
      if (retort::Info(tensor.format).decode == nullptr || tensor.bytes.empty()) continue;
      std::vector<float> values(static_cast<size_t>(tensor.shape.NumValues()));
      retort::DecodeRows(tensor, 0, tensor.shape.NumRows(), values.data());
    }
    volatile uint64_t sink = touched;
    (void)sink;
  } catch (const retort::Error& error) {
    if (error.code() == retort::ErrorCode::kInternal) __builtin_trap();
  }
  return 0;
}
