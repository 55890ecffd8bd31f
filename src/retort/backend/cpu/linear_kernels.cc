#include "retort/backend/cpu/linear_kernels.h"

#include <array>

namespace retort::cpu {
namespace {

using AllKernels = std::array<LinearKernels, 6>;

AllKernels MakeKernels() {
  AllKernels kernels;
  kernels[0] = ScalarKernels();
  kernels[1] = Avx2Kernels(kernels[0]);
  kernels[2] = Avx512Kernels(kernels[1]);
  kernels[3] = VnniKernels(kernels[2]);
  kernels[4] = VnniBf16Kernels(kernels[3]);
  kernels[5] = AmxKernels(kernels[4]);
  return kernels;
}

}  // namespace

const LinearKernels& KernelsFor(DispatchLevel level) {
  static const AllKernels kernels = MakeKernels();
  return kernels[static_cast<size_t>(level)];
}

}  // namespace retort::cpu
