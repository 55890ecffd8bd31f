#include <fmt/format.h>

#include "retort/base/json.h"
#include "retort/checkpoint/checkpoint.h"
#include "retort/engine/engine_test_models.h"
#include "retort/engine/prompt_encoder.h"

// The engine on checkpoints as they are published.
namespace retort {
namespace {

// Messages are answered as the prompt that the template makes of them.
TEST(EngineModels, ChatPromptsGoThroughTheModelsTemplate) {
  const auto directory = SharedData() / "goldens" / "hf" / "llama-mha";
  SKIP_WITHOUT(directory);
  EngineOptions options = StoriesOptions();
  options.path = directory;
  const auto engine = Engine::Open(options);
  ChatPrompt chat;
  chat.messages = ParseJson(R"([{"role": "user", "content": "Say <|bos|> hi."}])", "t");
  Request request;
  request.prompt = chat;
  request.work = Generation{Greedy(8), nullptr};
  const Response answer = Await(*engine, request);

  const auto checkpoint = Checkpoint::Open(directory);
  const auto rendered =
      ChatTemplate::FromCheckpoint(checkpoint->metadata()["tokenizer_config"],
                                   checkpoint->TextFile("chat_template.jinja"), "t")
          .Render({chat.messages, nullptr, true, Json::object(), std::nullopt, {}});
  std::vector<TextPiece> pieces;
  for (const Span& span : rendered) pieces.push_back({span.text, span.is_template});
  Request same = request;
  same.prompt = PromptEncoder(*checkpoint, 512).tokenizer()->Encode(pieces);
  EXPECT_EQ(answer.usage.prompt_tokens,
            static_cast<int>(std::get<std::vector<int32_t>>(same.prompt).size()));
  EXPECT_EQ(CompletionOf(Await(*engine, same)).token_ids, CompletionOf(answer).token_ids);
  chat.messages = ParseJson(R"([{"content": 3}])", "t");
  request.prompt = chat;
  EXPECT_FALSE(SubmitTo(*engine, request).get().ok());
}

// Greedy tokens of every Llama directory, wherever the golden margin leaves no doubt.
TEST(EngineModels, GreedyTokensAgreeWithTheLlamaGoldens) {
  const auto root = SharedData() / "goldens" / "hf";
  SKIP_WITHOUT(root);
  int num_models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    if (!entry.is_directory()) continue;
    const Json config = ParseJson(ReadText(entry.path() / "config.json"), "config.json");
    if (config.value("architectures", Json::array()) != Json::array({"LlamaForCausalLM"})) continue;
    ++num_models;
    EngineOptions options = StoriesOptions();
    options.path = entry.path();
    options.context_tokens_max = 128;  // dynamic scaling is tried beyond the model's own
    const auto engine = Engine::Open(options);
    const std::string golden_path = entry.path().string() + ".golden.safetensors";
    const auto golden = Checkpoint::Open(golden_path);
    const auto integers = [&](const std::string& name) {
      const TensorView& tensor = golden->At(name);
      const auto* values = reinterpret_cast<const int64_t*>(tensor.bytes.data());
      return std::vector<int32_t>(values, values + tensor.shape.NumValues());
    };
    for (int k = 0; golden->Find(fmt::format("prompt.{}.ids", k)) != nullptr; ++k) {
      const std::vector<int32_t> prompt = integers(fmt::format("prompt.{}.ids", k));
      const std::vector<int32_t> expected = integers(fmt::format("prompt.{}.greedy_ids", k));
      const auto* margins = reinterpret_cast<const float*>(
          golden->At(fmt::format("prompt.{}.greedy_margin", k)).bytes.data());
      // Each token was found from all before it as one prompt, and so it is asked here.
      std::vector<Request> requests(expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        std::vector<int32_t> ids = prompt;
        ids.insert(ids.end(), expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(i));
        requests[i].prompt = std::move(ids);
        requests[i].work = Generation{Greedy(1), nullptr};
      }
      const std::vector<Response> answers = Answers(*engine, requests);
      for (size_t i = 0; i < expected.size(); ++i) {
        if (margins[i] < 1e-3f) continue;  // either of two tokens is right
        EXPECT_EQ(CompletionOf(answers[i]).token_ids.at(0), expected[i])
            << entry.path() << " prompt " << k << " token " << i;
      }
    }
  }
  EXPECT_GT(num_models, 0);
}

}  // namespace
}  // namespace retort
