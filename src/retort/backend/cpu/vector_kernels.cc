#include "retort/backend/cpu/vector_kernels.h"

namespace retort::cpu {

const VectorKernels& KernelsOf(DispatchLevel level) {
#if defined(__x86_64__)
  if (level == DispatchLevel::kAmx) return amx::Kernels();
  if (level >= DispatchLevel::kVnni) return vnni::Kernels();
  if (level >= DispatchLevel::kAvx512) return avx512::kKernels;
  if (level >= DispatchLevel::kAvx2) return avx2::kKernels;
#endif
  static_cast<void>(level);
  return scalar::kKernels;
}

}  // namespace retort::cpu
