#include <CLI/CLI.hpp>

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "retort/base/error.h"
#include "retort/base/json.h"
#include "retort/base/loopback_server_test.h"
#include "retort/base/shared_data_test.h"
#include "retort/cli/command_list.h"
#include "retort/cli/standard_streams.h"

namespace retort {
namespace {

std::filesystem::path Stories() { return SharedData() / "models" / "stories260K-hf"; }

// Not how fast, but that what was asked is what was measured.
TEST(BenchCommand, ReportsWhatWasAsked) {
  if (!std::filesystem::exists(Stories())) GTEST_SKIP() << Stories() << " is not there";
  CLI::App app;
  const auto run = AddBenchCommand(app);
  app.parse(Stories().string() +
                " --json --batches 1,3 --prompt 40 --tokens 5 --depth 100 --repeat 2 "
                "--kv-cache 4MiB --kv-format int8",
            false);
  testing::internal::CaptureStdout();
  EXPECT_EQ(run(), 0);
  FlushOutput();
  const Json report = ParseJson(testing::internal::GetCapturedStdout(), "report");
  EXPECT_GT(report["load_to_first_token_s"].get<double>(), report["load_s"].get<double>());
  EXPECT_GT(report["weight_bytes"].get<uint64_t>(), 0u);
  const Json& measurements = report["measurements"];
  ASSERT_EQ(measurements.size(), 5u);
  const auto expect = [&](size_t i, const char* what, int batch, int context, int tokens) {
    const Json& m = measurements[i];
    EXPECT_EQ(m["what"], what) << i;
    EXPECT_EQ(m["batch"], batch) << i;
    EXPECT_EQ(m["context_tokens"], context) << i;
    EXPECT_EQ(m["tokens"], tokens) << i;
    EXPECT_NEAR(m["tokens_per_s"].get<double>() * m["seconds"].get<double>(), tokens,
                1e-6 * tokens);
    EXPECT_EQ(m["first_token_s"].get<double>() > 0, std::string(what) == "decode") << i;
  };
  expect(0, "prefill", 1, 0, 40);
  expect(1, "decode", 1, 16, 5);
  expect(2, "decode", 3, 16, 15);
  expect(3, "prefill", 1, 0, 100);
  expect(4, "decode", 1, 100, 5);
}

// A server that says yes to everything.
class YesServer {
 public:
  // `tokens_lost`: how many fewer tokens it says it made than it was asked for.
  explicit YesServer(int tokens_lost) : tokens_lost_(tokens_lost) {}

  std::string url() const { return server_.url() + "/v1/"; }
  // Once all clients have their answers.
  const std::vector<Json>& requests() const { return requests_; }

 private:
  std::string Respond(const std::string& request) {
    const std::string body = Answer(request);
    return "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  std::string Answer(const std::string& request) {
    if (request.starts_with("GET /v1/models ")) return R"({"data": [{"id": "some/model"}]})";
    const Json asked = ParseJson(request.substr(request.find("\r\n\r\n") + 4), "request");
    requests_.push_back(asked);
    const Json usage = {{"prompt_tokens", asked["prompt"].size()},
                        {"completion_tokens", asked["max_tokens"].get<int>() - tokens_lost_}};
    return DumpJson({{"usage", usage}});
  }

  const int tokens_lost_;
  std::vector<Json> requests_;
  LoopbackServer server_{[this](const std::string& request) { return Respond(request); }};
};

TEST(BenchCommand, AsksAServerAsItAsksAModel) {
  YesServer server(0);
  CLI::App app;
  const auto run = AddBenchCommand(app);
  app.parse("--against " + server.url() + " --json --batches 1,3 --prompt 40 --tokens 5 --repeat 1",
            false);
  testing::internal::CaptureStdout();
  EXPECT_EQ(run(), 0);
  FlushOutput();
  const Json report = ParseJson(testing::internal::GetCapturedStdout(), "report");
  EXPECT_EQ(report["model"], "some/model");
  ASSERT_EQ(report["measurements"].size(), 3u);
  EXPECT_EQ(report["measurements"][0]["what"], "prefill");
  EXPECT_EQ(report["measurements"][2]["tokens"], 15);
  // One to begin with; decode in threes and alone, for one token and for six; a prompt.
  ASSERT_EQ(server.requests().size(), 1u + 3 + 3 + 1 + 1 + 1);
  std::set<Json> prompts;
  for (const Json& request : server.requests()) {
    EXPECT_EQ(request["model"], "some/model");
    EXPECT_EQ(request["ignore_eos"], true);
    prompts.insert(request["prompt"]);
  }
  EXPECT_EQ(prompts.size(), server.requests().size()) << "no prompt may be served from a cache";
}

TEST(BenchCommand, AServerThatStopsEarlyIsAnError) {
  YesServer server(1);
  CLI::App app;
  const auto run = AddBenchCommand(app);
  app.parse("--against " + server.url() + " --tokens 5", false);
  EXPECT_THROW(run(), Error);
}

TEST(BenchCommand, WantsAModelOrAServer) {
  CLI::App app;
  const auto run = AddBenchCommand(app);
  app.parse("--tokens 5", false);
  EXPECT_THROW(run(), Error);
  CLI::App both;
  const auto run_both = AddBenchCommand(both);  // keeps what options are parsed into
  EXPECT_THROW(both.parse("--against http://127.0.0.1:1/v1 --threads 2", false), CLI::ParseError);
}

}  // namespace
}  // namespace retort
