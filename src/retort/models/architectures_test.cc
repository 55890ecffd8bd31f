#include "retort/models/architectures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "retort/base/error.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/checkpoint/checkpoint.h"

namespace retort {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

// A directory with one tensor and this config.
class ArchitecturesTest : public testing::Test {
 protected:
  std::shared_ptr<const Checkpoint> WithConfig(const std::string& config) const {
    const std::string header = R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    const uint64_t size = header.size();
    std::string weights(reinterpret_cast<const char*>(&size), sizeof size);
    weights += header + std::string(4, '\0');
    std::ofstream(dir_ / "model.safetensors", std::ios::binary) << weights;
    std::ofstream(dir_ / "config.json") << config;
    return Checkpoint::Open(dir_);
  }

  std::string Refusal(const std::string& config, ErrorCode code) const {
    const auto checkpoint = WithConfig(config);
    try {
      ReadDecoderSpec(*checkpoint);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.message();
      return error.message();
    }
    return "accepted";
  }

  const ScratchFolder scratch_;
  const std::filesystem::path dir_ = scratch_.path();
};

TEST_F(ArchitecturesTest, AnUnknownOneIsNamedWithTheKnownOnes) {
  EXPECT_THAT(Refusal(R"({"architectures": ["MambaForCausalLM"]})", ErrorCode::kUnsupported),
              AllOf(HasSubstr("'MambaForCausalLM' is not known"), HasSubstr("LlamaForCausalLM")));
  EXPECT_THAT(KnownArchitectures(), AllOf(Contains("LlamaForCausalLM"), Contains("llama")));
}

TEST_F(ArchitecturesTest, AConfigWithoutOneIsRefused) {
  for (const char* config : {"{}", R"({"architectures": []})", R"({"architectures": [1]})",
                             R"({"architectures": "LlamaForCausalLM"})"}) {
    EXPECT_THAT(Refusal(config, ErrorCode::kInvalid), HasSubstr("'architectures' must be a list"))
        << config;
  }
}

TEST_F(ArchitecturesTest, AQuantisationConfigIsNotIgnored) {
  const std::string config =
      R"({"architectures": ["LlamaForCausalLM"], "quantization_config": {"quant_method": "awq"}})";
  EXPECT_THAT(Refusal(config, ErrorCode::kUnsupported), HasSubstr("'awq' is not supported"));
}

}  // namespace
}  // namespace retort
