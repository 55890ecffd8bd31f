#include "retort/backend/cpu/linear_kernels.h"

#include <array>

namespace retort::cpu {
namespace {

std::array<LinearKernels, 5> MakeKernels() {
  std::array<LinearKernels, 5> kernels;
  kernels[0] = ScalarKernels();
  for (size_t i = 1; i < kernels.size(); ++i) kernels[i] = kernels[i - 1];
  return kernels;
}

}  // namespace

const LinearKernels& KernelsFor(DispatchLevel level) {
  static const std::array<LinearKernels, 5> kernels = MakeKernels();
  return kernels[static_cast<size_t>(level)];
}

}  // namespace retort::cpu
