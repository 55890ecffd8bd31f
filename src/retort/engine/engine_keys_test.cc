// What changes the name of an answer, and what must not: every field of every part of a key.
// Structured bindings count the fields, so that a new one does not compile until it has a line.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <set>

#include "retort/base/file.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/engine/engine_identity.h"
#include "retort/engine/engine_test_models.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

// A copy of a tiny model, with a template that uses all that a conversation can bring.
class EngineKeys : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT(Stories());
    folder_ = scratch_.path();
    Copy("model");
    base_.path = folder_ / "model";
    base_.device = "cpu";
    base_.num_threads = 2;
    base_.kv_bytes = 8 << 20;
    base_.max_num_seqs = 4;
  }

  fs::path Copy(const std::string& name) const {
    const fs::path copy = folder_ / name;
    fs::copy(Stories(), copy, fs::copy_options::recursive);
    for (const auto& file : fs::directory_iterator(copy)) {
      fs::permissions(file, fs::perms::owner_all, fs::perm_options::add);
    }
    WriteFileAtomically(copy / "chat_template.jinja",
                        "{% for m in messages %}{{ m.content }}{% endfor %}{% if tools %}tools"
                        "{% endif %}{{ date }}{% if add_generation_prompt %}>{% endif %}");
    return copy;
  }

  const ScratchFolder scratch_;
  fs::path folder_;
  EngineOptions base_;
};

enum class Effect {
  kNone,     // neither a key nor an answer
  kContext,  // those of requests that the context cuts
  kAnswers,  // all
};

std::vector<Request> SomeRequests() {
  SamplingParams sampling;
  sampling.max_new_tokens = 40;
  sampling.seed = 5;
  sampling.num_top_logprobs = 2;
  sampling.ignore_eos = true;
  std::vector<Request> requests = {Ask("Once upon a time", sampling), Ask("A dog", Greedy(30))};
  Request scoring = Ask("The sun is");
  scoring.work = Scoring{{" hot", " a small dog"}};
  requests.push_back(scoring);
  Request embedding = Ask("One day a girl went to the park");
  embedding.work = Embedding{PoolingKind::kMean, true};
  requests.push_back(embedding);
  return requests;
}

// Reaches the end of the small contexts below.
Request LongRequest() {
  SamplingParams sampling = Greedy(200);
  sampling.ignore_eos = true;
  return Ask("Once", sampling);
}

TEST_F(EngineKeys, EveryOptionIsPartOfTheKeyOrChangesNoAnswer) {
  [[maybe_unused]] const auto [path, name, device, num_threads, dispatch_level, max_num_seqs,
                               max_batch_tokens, prefill_chunk_tokens, kv_bytes, context_tokens_max,
                               prefix_cache, compute, kv_format, queue_requests_max, engine_log,
                               progress] = EngineOptions();
  struct Line {
    const char* option;
    std::function<void(EngineOptions&)> change;
    Effect effect;
  };
  const fs::path same = Copy("same");
  const fs::path other = Copy("other");
  {
    std::fstream weights(other / "model.safetensors",
                         std::ios::in | std::ios::out | std::ios::binary);
    weights.seekp(-2, std::ios::end).put('\x3c');
  }
  const Line lines[] = {
      {"path of equal files", [&](EngineOptions& o) { o.path = same; }, Effect::kNone},
      {"path", [&](EngineOptions& o) { o.path = other; }, Effect::kAnswers},
      {"name", [](EngineOptions& o) { o.name = "another"; }, Effect::kNone},
      {"device", [](EngineOptions& o) { o.device = "ref"; }, Effect::kAnswers},
      {"num_threads", [](EngineOptions& o) { o.num_threads = 1; }, Effect::kNone},
      {"dispatch_level", [](EngineOptions& o) { o.dispatch_level = "scalar"; }, Effect::kAnswers},
      {"max_num_seqs", [](EngineOptions& o) { o.max_num_seqs = 1; }, Effect::kNone},
      {"max_batch_tokens", [](EngineOptions& o) { o.max_batch_tokens = 7; }, Effect::kNone},
      {"prefill_chunk_tokens", [](EngineOptions& o) { o.prefill_chunk_tokens = 3; }, Effect::kNone},
      {"kv_bytes", [](EngineOptions& o) { o.kv_bytes = 16 << 20; }, Effect::kNone},
      {"kv_bytes that clip the context", [](EngineOptions& o) { o.kv_bytes = 100'000; },
       Effect::kContext},
      {"context_tokens_max", [](EngineOptions& o) { o.context_tokens_max = 64; }, Effect::kContext},
      {"prefix_cache", [](EngineOptions& o) { o.prefix_cache = false; }, Effect::kNone},
      {"compute", [](EngineOptions& o) { o.compute = Compute::kExact; }, Effect::kAnswers},
      {"kv_format", [](EngineOptions& o) { o.kv_format = Format::kF16; }, Effect::kAnswers},
      {"kv_format as it is unset", [](EngineOptions& o) { o.kv_format = Format::kBF16; },
       Effect::kNone},
      {"queue_requests_max", [](EngineOptions& o) { o.queue_requests_max = 50; }, Effect::kNone},
      {"engine_log", [&](EngineOptions& o) { o.engine_log = folder_ / "log"; }, Effect::kNone},
      {"progress", [](EngineOptions& o) { o.progress = [](size_t, size_t) {}; }, Effect::kNone},
  };
  const std::vector<Request> requests = SomeRequests();
  const auto base = Engine::Open(base_);
  const std::string answers_key = base->description().answers_key;
  const std::vector<Response> expected = Answers(*base, requests);
  const std::string long_answer = Bits(Await(*base, LongRequest()));
  std::set<std::string> keys = {answers_key};
  for (const Line& line : lines) {
    SCOPED_TRACE(line.option);
    EngineOptions options = base_;
    line.change(options);
    const auto engine = Engine::Open(options);
    const bool other_answers = line.effect == Effect::kAnswers;
    EXPECT_EQ(engine->description().answers_key != answers_key, other_answers);
    if (other_answers) {
      EXPECT_TRUE(keys.insert(engine->description().answers_key).second);
    }
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(engine->RequestKey(requests[i]) != base->RequestKey(requests[i]), other_answers);
      if (other_answers) continue;
      const Response response = Await(*engine, requests[i]);
      EXPECT_EQ(Bits(response), Bits(expected[i])) << i;
    }
    const bool cut = line.effect == Effect::kContext;
    EXPECT_EQ(engine->RequestKey(LongRequest()) != base->RequestKey(LongRequest()),
              cut || other_answers);
    if (other_answers) continue;
    const Response response = Await(*engine, LongRequest());
    EXPECT_EQ(Bits(response) != long_answer, cut);
  }
}

// The environment chooses a dispatch level too, as RETORT_CPU.
TEST_F(EngineKeys, TheDispatchLevelOfTheEnvironmentIsPartOfTheKey) {
  const std::string best = EngineIdentity::Open(base_)->description().answers_key;
  ::setenv("RETORT_CPU", "scalar", 1);
  const ModelDescription scalar = EngineIdentity::Open(base_)->description();
  ::unsetenv("RETORT_CPU");
  EXPECT_EQ(scalar.dispatch_level, "scalar");
  EXPECT_NE(scalar.answers_key, best);
}

TEST(AnswersKey, HasEveryOrigin) {
  const AnswerOrigins base;
  [[maybe_unused]] const auto& [files, device, dispatch_level, compute, kv_format, code] = base;
  const std::function<void(AnswerOrigins&)> changes[] = {
      [](AnswerOrigins&) {},
      [](AnswerOrigins& o) { o.files = "x"; },
      [](AnswerOrigins& o) { o.device = "x"; },
      [](AnswerOrigins& o) { o.dispatch_level = "x"; },
      [](AnswerOrigins& o) { o.compute = Compute::kExact; },
      [](AnswerOrigins& o) { o.kv_format = Format::kF32; },
      [](AnswerOrigins& o) { o.code = "x"; },
  };
  std::set<std::string> keys;
  for (const auto& change : changes) {
    AnswerOrigins origins;
    change(origins);
    keys.insert(AnswersKey(origins));
  }
  EXPECT_EQ(keys.size(), std::size(changes));
}

// Every side file that an answer can depend on.
TEST_F(EngineKeys, EveryFileIsPartOfTheKey) {
  std::set<std::string> keys = {EngineIdentity::Open(base_)->description().answers_key};
  for (const char* file : {"config.json", "generation_config.json", "tokenizer_config.json",
                           "tokenizer.json", "chat_template.jinja", "special_tokens_map.json"}) {
    SCOPED_TRACE(file);
    EngineOptions options = base_;
    options.path = Copy(std::string("with-other-") + file);
    const fs::path changed = options.path / file;
    const std::string text = fs::exists(changed) ? ReadFile(changed, 1 << 24) : "{}";
    WriteFileAtomically(changed, text + " ");
    EXPECT_TRUE(keys.insert(EngineIdentity::Open(options)->description().answers_key).second);
  }
}

TEST_F(EngineKeys, EveryFieldOfARequestIsPartOfItsKeyOrChangesNoAnswer) {
  [[maybe_unused]] const auto [id, tag, prompt, work, priority, deadline, stop] = Request();
  [[maybe_unused]] const auto [messages, tools, add_generation_prompt, template_arguments] =
      ChatPrompt();
  [[maybe_unused]] const auto [text, is_template] = Span();
  [[maybe_unused]] const auto [sampling, constraint, close] = Generation();
  [[maybe_unused]] const auto [temperature, top_k, top_p, min_p, seed, max_new_tokens, stop_texts,
                               ignore_eos, num_top_logprobs] = SamplingParams();
  [[maybe_unused]] const auto [continuations] = Scoring();
  [[maybe_unused]] const auto [pooling, normalize] = Embedding();
  [[maybe_unused]] const auto [kind, constraint_text, choices, any_property_order,
                               formats_are_annotations] = ConstraintText();

  using Change = std::function<void(Request&)>;
  struct Line {
    const char* field;
    Change change;
    bool is_in_key = true;
  };
  const auto chat = [](const std::function<void(ChatPrompt&)>& change) -> Change {
    return [change](Request& request) { change(std::get<ChatPrompt>(request.prompt)); };
  };
  const auto draw = [](const std::function<void(SamplingParams&)>& change) -> Change {
    return [change](Request& r) { change(std::get<Generation>(r.work).sampling); };
  };
  const auto constrain = [](ConstraintText value) -> Change {
    return [value](Request& request) {
      std::get<Generation>(request.work).constraint = std::make_shared<const ConstraintText>(value);
    };
  };
  using Kind = ConstraintText::Kind;
  const Line lines[] = {
      {"id", [](Request& r) { r.id = "x"; }, false},
      {"tag", [](Request& r) { r.tag = "x"; }, false},
      {"priority", [](Request& r) { r.priority = 3; }, false},
      {"deadline",
       [](Request& r) { r.deadline = std::chrono::steady_clock::now() + std::chrono::hours(1); },
       false},
      {"stop", [](Request& r) { r.stop = std::stop_source().get_token(); }, false},
      {"messages", chat([](ChatPrompt& p) { p.messages[0]["content"] = "there"; })},
      {"tools", chat([](ChatPrompt& p) {
         p.tools = {{{"name", "look"}}};
       })},
      {"add_generation_prompt", chat([](ChatPrompt& p) { p.add_generation_prompt = false; })},
      {"template_arguments", chat([](ChatPrompt& p) {
         p.template_arguments = {{"date", "1"}};
       })},
      {"a text for messages",
       [](Request& r) {
         r.prompt = std::vector<Span>{{"Hello>", true}};
       }},
      {"text",
       [](Request& r) {
         r.prompt = std::vector<Span>{{"Hello!", true}};
       }},
      {"is_template",
       [](Request& r) {
         r.prompt = std::vector<Span>{{"<s>", true}};
       }},
      {"content",
       [](Request& r) {
         r.prompt = std::vector<Span>{{"<s>", false}};
       }},
      {"token ids",
       [](Request& r) {
         r.prompt = std::vector<int32_t>{5, 6};
       }},
      {"other token ids",
       [](Request& r) {
         r.prompt = std::vector<int32_t>{5, 7};
       }},
      {"temperature", draw([](SamplingParams& s) { s.temperature = 0.5f; })},
      {"top_k", draw([](SamplingParams& s) { s.top_k = 3; })},
      {"top_p", draw([](SamplingParams& s) { s.top_p = 0.5f; })},
      {"min_p", draw([](SamplingParams& s) { s.min_p = 0.5f; })},
      {"seed", draw([](SamplingParams& s) { s.seed = 3; })},
      {"max_new_tokens", draw([](SamplingParams& s) { s.max_new_tokens = 3; })},
      {"a stop text", draw([](SamplingParams& s) { s.stop = {"ab"}; })},
      {"two of them", draw([](SamplingParams& s) {
         s.stop = {"a", "b"};
       })},
      {"ignore_eos", draw([](SamplingParams& s) { s.ignore_eos = true; })},
      {"num_top_logprobs", draw([](SamplingParams& s) { s.num_top_logprobs = 0; })},
      {"constraint", constrain({Kind::kRegex, "a", {}})},
      {"constraint_text", constrain({Kind::kRegex, "b", {}})},
      {"kind", constrain({Kind::kJsonSchema, "true", {}})},
      {"any_property_order", constrain({Kind::kJsonSchema, "true", {}, true})},
      {"formats_are_annotations", constrain({Kind::kJsonSchema, "true", {}, false, true})},
      {"choices", constrain({Kind::kChoice, "", {"a", "b"}})},
      {"one choice", constrain({Kind::kChoice, "", {"ab"}})},
      {"close",
       [&](Request& r) {
         constrain({Kind::kRegex, "a", {}})(r);
         std::get<Generation>(r.work).close = true;
       }},
      {"close of no constraint", [](Request& r) { std::get<Generation>(r.work).close = true; },
       false},
      {"continuations",
       [](Request& r) {
         r.work = Scoring{{"a", "b"}};
       }},
      {"a continuation", [](Request& r) { r.work = Scoring{{"ab"}}; }},
      {"Embedding", [](Request& r) { r.work = Embedding{}; }},
      {"pooling",
       [](Request& r) {
         r.work = Embedding{PoolingKind::kMean, false};
       }},
      {"normalize",
       [](Request& r) {
         r.work = Embedding{PoolingKind::kLastToken, true};
       }},
  };
  const auto identity = EngineIdentity::Open(base_);
  Request base;
  ChatPrompt hello;
  hello.messages = {{{"role", "user"}, {"content", "Hello"}}};
  base.prompt = hello;
  base.work = Generation{};
  const std::string base_key = identity->RequestKey(base);
  std::set<std::string> keys = {base_key};
  for (const Line& line : lines) {
    SCOPED_TRACE(line.field);
    Request request = base;
    line.change(request);
    const std::string key = identity->RequestKey(request);
    if (line.is_in_key) {
      EXPECT_TRUE(keys.insert(key).second);
    } else {
      EXPECT_EQ(key, base_key);
    }
  }
}

// Answers of bytes that nobody digested are not told, whatever they look like.
TEST_F(EngineKeys, NoAnswerIsToldOfAChangedFile) {
  const fs::path weights = folder_ / "model" / "model.safetensors";
  const std::string bytes = ReadFile(weights, 1 << 24);
  const std::function<void()> changes[] = {
      [&] {  // the true bytes, so that the answer itself would be right
        std::fstream file(weights, std::ios::in | std::ios::out | std::ios::binary);
        file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
      },
      [&] { fs::resize_file(weights, bytes.size() / 3); },
      [&] { fs::resize_file(weights, 0); },
  };
  for (const auto& change : changes) {
    WriteFileAtomically(weights, bytes);
    const auto identity = EngineIdentity::Open(base_);
    const auto engine = Engine::Open(identity);
    WriteFileAtomically(weights, bytes);  // a new file under the name: the old one stays open
    for (const Request& request : SomeRequests())
      EXPECT_TRUE(Await(*engine, request).usage.prompt_tokens > 0);
    WriteFileAtomically(weights, bytes);
    const auto other = Engine::Open(base_);
    change();
    for (const Request& request : SomeRequests()) {
      const Response response = SubmitTo(*other, request).get();
      EXPECT_EQ(CodeOf(response), ErrorCode::kCorrupt);
    }
    EXPECT_THROW(other->CheckUnchanged(), Error);
    EXPECT_NO_THROW(engine->CheckUnchanged());
    WriteFileAtomically(weights, bytes);
    EXPECT_THROW(other->CheckUnchanged(), Error);  // what it packed may be of the changed file
    EXPECT_EQ(Bits(Await(*Engine::Open(base_), SomeRequests()[1])),
              Bits(Await(*engine, SomeRequests()[1])));
  }
}

// Between the keys and the engine: what is packed must be what was digested.
TEST_F(EngineKeys, AFileThatChangedSinceItWasDigestedIsNotLoaded) {
  const auto identity = EngineIdentity::Open(base_);
  identity->description();
  fs::resize_file(folder_ / "model" / "model.safetensors", 5000);
  try {
    Engine::Open(identity);
    ADD_FAILURE() << "loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    EXPECT_NE(error.message().find("changed while it was in use"), std::string::npos)
        << error.message();
  }
}

}  // namespace
}  // namespace retort
