#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "retort/backend/device.h"

// The conformance harness of operations. One case is an operation with its shapes and formats; it
// runs on `ref`, which judges, and on every dispatch level of every other device.
namespace retort::conformance {

// Half the distance from 1 to the next f32: the relative error of one rounding.
inline constexpr double kUnit = 0x1p-24;

// The relative error of n roundings in a row (Higham 2002, "Accuracy and Stability of Numerical
// Algorithms", lemma 3.1): γ_n = n·u / (1 − n·u).
inline double Gamma(double n) { return n * kUnit / (1 - n * kUnit); }

// A device at one dispatch level.
struct Subject {
  std::string device;
  std::string level;
  std::string missing;  // why it cannot run here; empty if it can

  // Without what gtest does not take for a test's name.
  std::string name() const {
    std::string text = device + "_" + level;
    std::replace(text.begin(), text.end(), '-', '_');
    return text;
  }
  std::unique_ptr<Device> Open(int num_threads = 2) const;
};

inline void PrintTo(const Subject& subject, std::ostream* out) { *out << subject.name(); }

// Every level of every device. `ref` is the first.
const std::vector<Subject>& Subjects();

// Values of a test: `count` numbers that depend on `seed` and place alone. About normal, with some
// zeros and some values ten times larger.
std::vector<float> RandomValues(uint64_t seed, int64_t count, float scale = 1.0f);

// A matrix on a device inside a larger buffer: rows before and after it and columns beside it hold
// NaN, so that a read outside poisons the result and a write outside is found.
class GuardedMatrix {
 public:
  GuardedMatrix(Device& device, int64_t rows, int64_t cols);
  GuardedMatrix(Device& device, int64_t rows, int64_t cols, std::span<const float> values);

  const Matrix& view() const { return view_; }
  // The values; fails the running test if anything around them changed.
  std::vector<float> Read() const;

 private:
  Device& device_;
  std::unique_ptr<Buffer> buffer_;
  Matrix whole_;
  Matrix view_;
};

class OpCase {
 public:
  virtual ~OpCase() = default;
  virtual std::string name() const = 0;
  virtual int64_t rows() const = 0;
  virtual int64_t cols() const = 0;
  // Bytes that must be read and written, and operations that must be done, at least: what a
  // measured time is held against.
  virtual double bytes() const = 0;
  virtual double flops() const = 0;
  // The result [rows, cols].
  virtual std::vector<float> Run(Device& device) const = 0;
  // How far each value may be from ref's: [rows, cols]. Derived in each case, never chosen.
  virtual std::vector<double> Bounds() const = 0;
};

// Compares value by value. Where `expected` is NaN so must `actual` be, where it is infinite they
// must be equal. Reports the worst value and how many are outside.
void ExpectWithin(const OpCase& op, std::span<const float> expected, std::span<const float> actual);

void ExpectSameBits(const std::string& what, int64_t cols, std::span<const float> expected,
                    std::span<const float> actual);

// A tensor in memory of its own, `values` encoded in `format`.
class OwnedTensor {
 public:
  OwnedTensor(std::string name, Format format, Shape shape, std::span<const float> values);
  OwnedTensor(std::string name, Format format, Shape shape, std::vector<std::byte> bytes);
  OwnedTensor(OwnedTensor&&) = delete;  // the view points inside
  // Random codes and block scales of about `scale` in a format of super-blocks, which nothing here
  // encodes.
  static OwnedTensor RandomBlocks(std::string name, Format format, Shape shape, uint64_t seed,
                                  float scale);
  const TensorView& view() const { return view_; }
  // What the stored bytes stand for.
  const std::vector<float>& decoded() const { return decoded_; }

 private:
  std::string name_;
  std::vector<std::byte> bytes_;
  std::vector<float> decoded_;
  TensorView view_;
};

}  // namespace retort::conformance
