#include "retort/pipeline/config.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "retort/base/digest.h"
#include "retort/base/file.h"
#include "retort/llm/request_check.h"
#include "retort/pipeline/config_overrides.h"
#include "retort/pipeline/node_reader.h"

namespace retort {
namespace {

constexpr size_t kNameBytesMax = 100;  // names become file names
constexpr int64_t kCountMax = 1'000'000'000;

// Names that would clash with files of the run or with the paths of --set.
constexpr std::string_view kReservedNames[] = {"failed", "run", "models", "seed", "name"};

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

void CheckName(const std::string& name, const Mark& mark, std::string_view what,
               Problems& problems) {
  if (name.empty() || name.size() > kNameBytesMax ||
      !std::all_of(name.begin(), name.end(), IsNameChar)) {
    problems.Add(mark, "the name '{}' of a {} must be 1 to {} of the characters a-z A-Z 0-9 _ -",
                 name.substr(0, kNameBytesMax), what, kNameBytesMax);
  }
}

std::optional<int> ReadCount(const YamlNode& node, const std::string& label, Problems& problems) {
  const auto number = ReadInt(node, label, -kCountMax, kCountMax, problems);
  return number ? std::optional(static_cast<int>(*number)) : std::nullopt;
}

GenerationSettings ReadGeneration(const YamlNode& node, const std::string& label,
                                  Problems& problems) {
  GenerationSettings settings;
  MapReader map(node, label, problems);
  // Reads one key into its field, and asks the one who checks requests whether it is in range.
  const auto read = [&](std::string_view key, auto field, const auto& reader) {
    const YamlNode* given = map.Take(key);
    if (given == nullptr) return;
    GenerationSettings one;
    one.*field = reader(*given, map.Label(key), problems);
    try {
      CheckSampling(ToSamplingParams(one));
      settings.*field = one.*field;
    } catch (const Error& error) {
      problems.Add(given->mark, "'{}': {}", map.Label(key), error.message());
    }
  };
  read("temperature", &GenerationSettings::temperature, ReadFloat);
  read("top_k", &GenerationSettings::top_k, ReadCount);
  read("top_p", &GenerationSettings::top_p, ReadFloat);
  read("min_p", &GenerationSettings::min_p, ReadFloat);
  read("max_new_tokens", &GenerationSettings::max_new_tokens, ReadCount);
  read("stop", &GenerationSettings::stop, ReadTexts);
  read("ignore_eos", &GenerationSettings::ignore_eos, ReadBool);
  read("seed", &GenerationSettings::seed, ReadSeed);
  map.Finish();
  return settings;
}

void ReadLoad(const YamlNode& node, const std::string& label, ModelConfig& model,
              Problems& problems) {
  MapReader map(node, label, problems);
  if (const YamlNode* given = map.Take("policy")) {
    const auto policy =
        ReadChoice(*given, map.Label("policy"), {"lazy", "eager", "pinned"}, problems);
    if (policy == "eager") model.load_policy = LoadPolicy::kEager;
    if (policy == "pinned") model.load_policy = LoadPolicy::kPinned;
  }
  if (const YamlNode* given = map.Take("keep_alive")) {
    if (const auto text = ReadText(*given, map.Label("keep_alive"), problems)) {
      try {
        model.keep_alive = *text == "-1" ? std::chrono::milliseconds(-1) : ParseDuration(*text);
      } catch (const Error& error) {
        problems.Add(given->mark, "'{}': {}; -1 is for ever", map.Label("keep_alive"),
                     error.message());
      }
    }
  }
  map.Finish();
}

void ReadEngineSettings(MapReader& map, EngineSettings& engine, Problems& problems) {
  const auto read_int = [&](std::string_view key, int64_t max, std::optional<int>& value) {
    if (const YamlNode* given = map.Take(key)) {
      if (const auto number = ReadInt(*given, map.Label(key), 1, max, problems)) {
        value = static_cast<int>(*number);
      }
    }
  };
  read_int("max_num_seqs", 65536, engine.max_num_seqs);
  read_int("max_batch_tokens", 1 << 24, engine.max_batch_tokens);
  read_int("prefill_chunk", 1 << 24, engine.prefill_chunk);
  read_int("context", 1 << 28, engine.context);
  read_int("threads", 4096, engine.threads);
  if (const YamlNode* given = map.Take("kv_cache")) {
    if (const auto text = ReadText(*given, map.Label("kv_cache"), problems)) {
      try {
        engine.kv_cache_bytes = ParseByteSize(*text);
      } catch (const Error& error) {
        problems.Add(given->mark, "'{}': {}", map.Label("kv_cache"), error.message());
      }
    }
  }
  if (const YamlNode* given = map.Take("kv_format")) {
    engine.kv_format = ReadChoice(*given, map.Label("kv_format"), kKvFormatNames, problems);
  }
  if (const YamlNode* given = map.Take("prefix_cache")) {
    engine.prefix_cache = ReadBool(*given, map.Label("prefix_cache"), problems);
  }
  if (const YamlNode* given = map.Take("compute")) {
    engine.compute = ReadChoice(*given, map.Label("compute"), {"auto", "exact"}, problems);
  }
}

void ReadDeviceMap(const YamlNode& node, const std::string& label, ModelConfig& model,
                   Problems& problems) {
  if (node.kind == YamlNode::Kind::kMap) {
    model.device_map = YamlToJson(node);
  } else if (const auto name = ReadText(node, label, problems)) {
    model.device_map = *name;  // CheckModel says which there are
  }
}

ModelConfig ReadModel(const YamlNode& key, const YamlNode& node, Problems& problems) {
  ModelConfig model;
  model.name = key.text;
  model.mark = key.mark;
  CheckName(model.name, key.mark, "model", problems);
  const std::string label = "models." + key.text;
  if (node.IsNull()) {
    problems.Add(node.mark, "'{}' needs a 'path'", label);
    return model;
  }
  if (node.kind == YamlNode::Kind::kScalar) {  // judge: smollm2-135m-instruct
    model.path = node.text;
    return model;
  }
  MapReader map(node, label, problems);
  const YamlNode* path = map.Take("path");
  const YamlNode* openai = map.Take("openai");
  if (path != nullptr) model.path = ReadText(*path, map.Label("path"), problems).value_or("");
  if (openai != nullptr) {
    model.openai = YamlToJson(*openai);
    problems.Add({ErrorCode::kUnsupported, openai->mark,
                  fmt::format("model '{}' is behind an OpenAI-compatible server; this build runs "
                              "models of a 'path' only",
                              model.name),
                  false});
  }
  if ((path == nullptr) == (openai == nullptr) && node.kind == YamlNode::Kind::kMap) {
    problems.Add(model.mark, "'{}' needs a 'path' or 'openai', one of them", label);
  }
  if (const YamlNode* given = map.Take("device_map")) {
    ReadDeviceMap(*given, map.Label("device_map"), model, problems);
  }
  if (const YamlNode* given = map.Take("dtype")) {
    model.dtype = ReadText(*given, map.Label("dtype"), problems).value_or("auto");
  }
  if (const YamlNode* given = map.Take("load")) {
    ReadLoad(*given, map.Label("load"), model, problems);
  }
  if (const YamlNode* given = map.Take("generation")) {
    model.generation = ReadGeneration(*given, map.Label("generation"), problems);
  }
  if (const YamlNode* given = map.Take("instance")) {
    model.shared_instance =
        ReadChoice(*given, map.Label("instance"), {"shared", "private"}, problems) != "private";
  }
  ReadEngineSettings(map, model.engine, problems);
  map.Finish();
  return model;
}

std::map<std::string, std::string> ReadMappings(const YamlNode& node, const std::string& label,
                                                Problems& problems) {
  std::map<std::string, std::string> mappings;
  if (node.kind != YamlNode::Kind::kMap) {
    problems.Add(node.mark,
                 "'{}' must be a map from the step's own column to the data set's, found {}", label,
                 DescribeNode(node));
    return mappings;
  }
  for (size_t i = 0; i < node.items.size(); ++i) {
    const std::string& from = node.map_keys[i].text;
    const auto to = ReadText(node.items[i], label + "." + from, problems);
    if (to && to->empty()) {
      problems.Add(node.items[i].mark, "'{}.{}' names no column", label, from);
    } else if (to) {
      mappings[from] = *to;
    }
  }
  return mappings;
}

void ReadStepName(MapReader& map, const YamlNode& node, size_t index, StepConfig& step,
                  Problems& problems) {
  step.mark = node.mark;
  if (const YamlNode* name = map.Take("name")) {
    step.name = ReadText(*name, map.Label("name"), problems).value_or("");
    CheckName(step.name, name->mark, "step", problems);
    if (std::find(std::begin(kReservedNames), std::end(kReservedNames), step.name) !=
        std::end(kReservedNames)) {
      problems.Add(name->mark, "a step cannot be named '{}': the run uses that name itself",
                   step.name);
    }
  } else {
    problems.Add(node.mark, "step {} has no 'name'", index + 1);
  }
  if (const YamlNode* type = map.Take("type")) {
    step.type = ReadText(*type, map.Label("type"), problems).value_or("");
  } else {
    problems.Add(node.mark, "step '{}' has no 'type'", step.name);
  }
}

StepConfig ReadStep(const YamlNode& node, size_t index, Problems& problems) {
  StepConfig step;
  const YamlNode* name = node.Find("name");
  const bool named = name != nullptr && name->kind == YamlNode::Kind::kScalar;
  MapReader map(node, named ? name->text : fmt::format("steps[{}]", index), problems);
  ReadStepName(map, node, index, step, problems);
  if (const YamlNode* given = map.Take("llm")) {
    step.llm = ReadText(*given, map.Label("llm"), problems);
    step.llm_mark = given->mark;
  }
  if (const YamlNode* given = map.Take("generation")) {
    step.generation = ReadGeneration(*given, map.Label("generation"), problems);
    step.generation_mark = given->mark;
  }
  if (const YamlNode* given = map.Take("structured_output")) step.structured_output = *given;
  step.after_mark = step.mark;
  if (const YamlNode* given = map.Take("after")) {
    step.after = ReadTexts(*given, map.Label("after"), problems);
    step.after_mark = given->mark;
  }
  if (const YamlNode* given = map.Take("input_mappings")) {
    step.input_mappings = ReadMappings(*given, map.Label("input_mappings"), problems);
    step.input_mappings_mark = given->mark;
  }
  if (const YamlNode* given = map.Take("output_mappings")) {
    step.output_mappings = ReadMappings(*given, map.Label("output_mappings"), problems);
    step.output_mappings_mark = given->mark;
  }
  if (const YamlNode* given = map.Take("on_error")) {
    const auto choice =
        ReadChoice(*given, map.Label("on_error"), {"keep", "drop", "fail"}, problems);
    if (choice == "drop") step.on_error = OnError::kDrop;
    if (choice == "fail") step.on_error = OnError::kFail;
  }
  if (const YamlNode* given = map.Take("use_cache")) {
    step.use_cache = ReadBool(*given, map.Label("use_cache"), problems).value_or(true);
  }
  step.params = map.TakeRest();
  return step;
}

void ReadModels(const YamlNode& node, PipelineConfig& config, Problems& problems) {
  if (node.kind != YamlNode::Kind::kMap) {
    problems.Add(node.mark, "'models' must be a map from name to model, found {}",
                 DescribeNode(node));
    return;
  }
  for (size_t i = 0; i < node.items.size(); ++i) {
    config.models.push_back(ReadModel(node.map_keys[i], node.items[i], problems));
  }
}

void ReadSteps(const YamlNode* node, const Mark& top, PipelineConfig& config, Problems& problems) {
  if (node == nullptr || (node->kind == YamlNode::Kind::kList && node->items.empty())) {
    problems.Add(node == nullptr ? top : node->mark, "the pipeline has no 'steps'");
    return;
  }
  if (node->kind != YamlNode::Kind::kList) {
    problems.Add(node->mark, "'steps' must be a list, found {}", DescribeNode(*node));
    return;
  }
  for (size_t i = 0; i < node->items.size(); ++i) {
    const YamlNode& item = node->items[i];
    if (item.kind != YamlNode::Kind::kMap) {
      problems.Add(item.mark, "step {} must be a map with a 'name' and a 'type', found {}", i + 1,
                   DescribeNode(item));
      continue;
    }
    config.steps.push_back(ReadStep(item, i, problems));
  }
}

}  // namespace

std::span<const std::string_view> GenerationKeys() {
  static constexpr std::string_view kKeys[] = {"temperature",    "top_k", "top_p",      "min_p",
                                               "max_new_tokens", "stop",  "ignore_eos", "seed"};
  return kKeys;
}

GenerationSettings Overlay(const GenerationSettings& over, const GenerationSettings& under) {
  GenerationSettings result = over;
  const auto inherit = [](auto& value, const auto& from) {
    if (!value) value = from;
  };
  inherit(result.temperature, under.temperature);
  inherit(result.top_k, under.top_k);
  inherit(result.top_p, under.top_p);
  inherit(result.min_p, under.min_p);
  inherit(result.max_new_tokens, under.max_new_tokens);
  inherit(result.stop, under.stop);
  inherit(result.ignore_eos, under.ignore_eos);
  inherit(result.seed, under.seed);
  return result;
}

SamplingParams ToSamplingParams(const GenerationSettings& settings) {
  SamplingParams sampling;
  if (settings.temperature) sampling.temperature = static_cast<float>(*settings.temperature);
  if (settings.top_k) sampling.top_k = *settings.top_k;
  if (settings.top_p) sampling.top_p = static_cast<float>(*settings.top_p);
  if (settings.min_p) sampling.min_p = static_cast<float>(*settings.min_p);
  if (settings.max_new_tokens) sampling.max_new_tokens = *settings.max_new_tokens;
  if (settings.stop) sampling.stop = *settings.stop;
  if (settings.ignore_eos) sampling.ignore_eos = *settings.ignore_eos;
  return sampling;
}

const ModelConfig* PipelineConfig::FindModel(std::string_view model_name) const {
  for (const ModelConfig& model : models) {
    if (model.name == model_name) return &model;
  }
  return nullptr;
}

PipelineConfig ParseConfig(std::string_view bytes, const std::filesystem::path& file,
                           const ConfigOverrides& overrides, Problems& problems) {
  YamlNode root = ParseYaml(bytes, file.string());
  if (root.kind != YamlNode::Kind::kMap) {
    Throw(ErrorCode::kInvalid, "{}: a pipeline file is a map with 'steps', found {}",
          MarkText(root.mark), DescribeNode(root));
  }
  ApplyOverrides(overrides, root, problems);
  PipelineConfig config;
  config.file = file;
  config.base_dir = file.parent_path();
  config.name = file.stem().string();
  config.digest = Sha256Hex(bytes);
  MapReader map(root, "pipeline", problems);
  if (const YamlNode* given = map.Take("name")) {
    config.name = ReadText(*given, map.Label("name"), problems).value_or(config.name);
    CheckName(config.name, given->mark, "pipeline", problems);
  } else if (config.name.find_first_not_of('.') == std::string::npos) {
    problems.Add(root.mark, "the file's name makes no name for the pipeline: give it a 'name'");
  }
  if (const YamlNode* given = map.Take("description")) {
    config.description = ReadText(*given, map.Label("description"), problems).value_or("");
  }
  if (const YamlNode* given = map.Take("seed")) {
    config.seed = ReadSeed(*given, map.Label("seed"), problems).value_or(0);
  }
  if (const YamlNode* given = map.Take("models")) ReadModels(*given, config, problems);
  ReadSteps(map.Take("steps"), root.mark, config, problems);
  map.Finish();
  return config;
}

PipelineConfig ReadConfig(const std::filesystem::path& file, const ConfigOverrides& overrides,
                          Problems& problems) {
  return ParseConfig(ReadFile(file, kYamlBytesMax), file, overrides, problems);
}

}  // namespace retort
