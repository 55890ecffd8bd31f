#include <CLI/CLI.hpp>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "retort/base/error.h"
#include "retort/base/json.h"
#include "retort/base/shared_data_test.h"
#include "retort/cli/command_list.h"

namespace retort {
namespace {

std::filesystem::path Stories() { return SharedData() / "models" / "stories260K-hf"; }

// Not how fast, but that what was asked is what was measured.
TEST(BenchCommand, ReportsWhatWasAsked) {
  if (!std::filesystem::exists(Stories())) GTEST_SKIP() << Stories() << " is not there";
  CLI::App app;
  const auto run = AddBenchCommand(app);
  app.parse(
      Stories().string() +
          " --json --batches 1,3 --prompt 40 --tokens 5 --depth 100 --repeat 2 --kv-cache 4MiB",
      false);
  testing::internal::CaptureStdout();
  EXPECT_EQ(run(), 0);
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

// A server on a loopback port that says yes to everything: one request per connection.
class YesServer {
 public:
  // `tokens_lost`: how many fewer tokens it says it made than it was asked for.
  explicit YesServer(int tokens_lost) : tokens_lost_(tokens_lost) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    socklen_t length = sizeof address;
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &length);
    ::listen(socket_, 8);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/v1/";
    thread_ = std::thread([this] { Serve(); });
  }
  ~YesServer() {
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }
  const std::string& url() const { return url_; }
  // Once all clients have their answers.
  const std::vector<Json>& requests() const { return requests_; }

 private:
  void Serve() {
    for (;;) {
      const int connection = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) return;
      std::string request;
      char buffer[4096];
      const auto is_whole = [&] {
        const size_t head_end = request.find("\r\n\r\n");
        const size_t length = request.find("Content-Length: ");
        if (head_end == std::string::npos) return false;
        if (length == std::string::npos) return true;
        return request.size() >= head_end + 4 + std::strtoull(&request[length + 16], nullptr, 10);
      };
      while (!is_whole()) {
        const ssize_t count = ::recv(connection, buffer, sizeof buffer, 0);
        if (count <= 0) break;
        request.append(buffer, static_cast<size_t>(count));
      }
      const std::string body = Answer(request);
      const std::string answer =
          "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
          "\r\n\r\n" + body;
      ::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
      ::close(connection);
    }
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
  int socket_ = -1;
  std::string url_;
  std::vector<Json> requests_;
  std::thread thread_;
};

TEST(BenchCommand, AsksAServerAsItAsksAModel) {
  YesServer server(0);
  CLI::App app;
  const auto run = AddBenchCommand(app);
  app.parse("--against " + server.url() + " --json --batches 1,3 --prompt 40 --tokens 5 --repeat 1",
            false);
  testing::internal::CaptureStdout();
  EXPECT_EQ(run(), 0);
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
  AddBenchCommand(both);
  EXPECT_THROW(both.parse("--against http://127.0.0.1:1/v1 --threads 2", false), CLI::ParseError);
}

}  // namespace
}  // namespace retort
