#include "retort/backend/cpu/linear_kernels.h"

#include <array>

namespace retort::cpu {
namespace {

std::array<LinearKernels, 5> MakeKernels() {
  std::array<LinearKernels, 5> kernels;
  kernels[0] = ScalarKernels();
  kernels[1] = Avx2Kernels(kernels[0]);
  kernels[2] = Avx512Kernels(kernels[1]);
  kernels[3] = VnniKernels(kernels[2], DetectCpu().has_fast_bf16);
  kernels[4] = AmxKernels(kernels[3]);
  return kernels;
}

}  // namespace

const LinearKernels& KernelsFor(DispatchLevel level) {
  static const std::array<LinearKernels, 5> kernels = MakeKernels();
  return kernels[static_cast<size_t>(level)];
}

}  // namespace retort::cpu
