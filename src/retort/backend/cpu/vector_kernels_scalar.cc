// The kernels of vector_kernels.h for any machine.

#include <cstdint>
#include <cstring>

#include "retort/backend/cpu/vector_kernels.h"
#include "retort/tensor/float_bits.h"

#define RETORT_INLINE inline __attribute__((always_inline))

namespace retort::cpu::scalar {
namespace {

#include "retort/backend/cpu/vector_scalar.inc"
// The kernels need V.
#include "retort/backend/cpu/row_kernels.inc"
// The kernels need Exp.
#include "retort/backend/cpu/attention_kernels.inc"

}  // namespace

const VectorKernels kKernels = {RmsNorm, GatedActivation, AddTo, Scale,   Rotate,
                                Attend,  BlockMaxima,     Mask,  Weights, BlockSums};

}  // namespace retort::cpu::scalar
