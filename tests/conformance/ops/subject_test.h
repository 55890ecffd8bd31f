#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/conformance/ops/op_case.h"

namespace retort::conformance {

// A test that runs once per device and dispatch level; skipped with the reason where a level is not
// there.
class SubjectTest : public testing::TestWithParam<Subject> {
 protected:
  void SetUp() override {
    if (!GetParam().missing.empty()) {
      GTEST_SKIP() << GetParam().device << " at level " << GetParam().level << ": "
                   << GetParam().missing;
    }
    device_ = GetParam().Open();
    ref_ = Subjects().front().Open();
  }

  // The case on this device agrees with ref within its bound.
  void Judge(const OpCase& op) {
    SCOPED_TRACE(op.name());
    ExpectWithin(op, op.Run(*ref_), op.Run(*device_));
  }

  std::unique_ptr<Device> device_;
  std::unique_ptr<Device> ref_;
};

#define RETORT_ON_EVERY_DEVICE(Test)                                                     \
  INSTANTIATE_TEST_SUITE_P(On, Test, testing::ValuesIn(retort::conformance::Subjects()), \
                           [](const auto& info) { return info.param.name(); })

}  // namespace retort::conformance
