#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <map>

#include "retort/base/home.h"
#include "retort/base/printable.h"
#include "retort/checkpoint/checkpoint.h"
#include "retort/cli/command_list.h"
#include "retort/cli/option_checks.h"
#include "retort/cli/standard_streams.h"
#include "retort/cli/table.h"
#include "retort/hub/hub.h"
#include "retort/tensor/format.h"

namespace retort {
namespace {

constexpr size_t kValueWidthMax = 100;

// A metadata value on one line: long texts and lists are cut, with their size.
std::string ValueText(const Json& value) {
  if (value.is_array() && value.size() > 8) return fmt::format("list of {}", value.size());
  std::string text = DumpJson(value);
  if (text.size() > kValueWidthMax) {
    size_t end = kValueWidthMax;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end) + fmt::format("… ({} bytes)", text.size());
  }
  return text;
}

void PrintMetadata(const Json& metadata, const std::string& prefix) {
  for (const auto& [key, value] : metadata.items()) {
    if (value.is_object() && prefix.empty()) {
      PrintMetadata(value, key + ".");
    } else {
      Print("  {} = {}\n", PrintableLine(prefix + key), ValueText(value));
    }
  }
}

}  // namespace

std::function<int()> AddInspectCommand(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  auto tensors = std::make_shared<bool>(false);
  auto digest = std::make_shared<bool>(false);
  app.add_option("model", *name, "A path, or the name of a pulled model")
      ->required()
      ->check(NotEmpty());
  app.add_flag("--tensors", *tensors, "List every tensor");
  app.add_flag("--digest", *digest, "Compute the digest of its files");
  return [name, tensors, digest] {
    const auto checkpoint = Checkpoint::Open(ResolveModel(*name, DefaultHome()));
    Print("{}\n  kind: {}\n  tensors: {}, {}\n", checkpoint->path().string(),
          CheckpointKindName(checkpoint->kind()), checkpoint->tensors().size(),
          FormatBytes(checkpoint->tensor_bytes()));
    if (*digest) Print("  digest: {}\n", checkpoint->digest());
    Print("\nMetadata\n");
    PrintMetadata(checkpoint->metadata(), "");

    struct Sum {
      uint64_t count = 0;
      uint64_t values = 0;
      uint64_t bytes = 0;
    };
    std::map<std::string, Sum> formats;
    Table list({"tensor", "format", "shape", "bytes"});
    for (const TensorView& tensor : checkpoint->tensors()) {
      const std::string format(Info(tensor.format).name);
      Sum& sum = formats[format];
      ++sum.count;
      sum.values += static_cast<uint64_t>(tensor.shape.NumValues());
      sum.bytes += tensor.bytes.size();
      if (*tensors) {
        list.AddRow({std::string(tensor.name), format, tensor.shape.ToString(),
                     FormatBytes(tensor.bytes.size())});
      }
    }
    Table summary({"format", "tensors", "values", "bytes"});
    for (const auto& [format, sum] : formats) {
      summary.AddRow(
          {format, FormatCount(sum.count), FormatCount(sum.values), FormatBytes(sum.bytes)});
    }
    Print("\n{}", summary.Text());
    if (*tensors) Print("\n{}", list.Text());
    return 0;
  };
}

}  // namespace retort
