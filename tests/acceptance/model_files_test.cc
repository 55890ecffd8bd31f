// Model files that change under a run: no answer of other bytes is ever kept under a key.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <iostream>
#include <thread>

#include "retort/base/json.h"
#include "tests/acceptance/retort_process.h"
#include "tests/acceptance/subject.h"

namespace retort {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Of a run that ended; one of the changes below makes some answers empty, which no row may be.
constexpr int kSomeRowsFailed = 1;

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

// A new file takes the name, as an editor or an installation does it.
void Rename(const fs::path& file, const std::string& bytes) {
  const fs::path fresh = file.string() + ".new";
  WriteText(fresh, bytes);
  fs::rename(fresh, file);
}

// The same file gets other bytes and keeps its time, as with `rsync --times --inplace`.
void OverwriteInPlace(const fs::path& file, const std::string& bytes) {
  struct stat before = {};
  ASSERT_EQ(::stat(file.c_str(), &before), 0);
  const int descriptor = ::open(file.c_str(), O_WRONLY);
  ASSERT_GE(descriptor, 0);
  ASSERT_EQ(::pwrite(descriptor, bytes.data(), bytes.size(), 0),
            static_cast<ssize_t>(bytes.size()));
  const timespec times[] = {before.st_atim, before.st_mtim};
  ::futimens(descriptor, times);
  ::close(descriptor);
}

// Other weights of the same shapes: the data, rotated by some numbers.
std::string OtherWeights(std::string bytes) {
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  std::rotate(bytes.begin() + 8 + static_cast<std::ptrdiff_t>(header),
              bytes.begin() + 8 + static_cast<std::ptrdiff_t>(header) + 256, bytes.end());
  return bytes;
}

// model.safetensors as two files and their index.
void Shard(const fs::path& model) {
  const std::string bytes = FileText(model / "model.safetensors");
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  const Json header = ParseJson(bytes.substr(8, length), "header");
  const std::string data = bytes.substr(8 + length);
  Json headers[2] = {Json::object(), Json::object()};
  std::string datas[2];
  Json map = Json::object();
  size_t number = 0;
  for (const auto& [name, tensor] : header.items()) {
    if (name == "__metadata__") continue;
    const size_t shard = number++ % 2;
    const auto begin = tensor["data_offsets"][0].get<size_t>();
    const auto end = tensor["data_offsets"][1].get<size_t>();
    headers[shard][name] = tensor;
    headers[shard][name]["data_offsets"] = {datas[shard].size(), datas[shard].size() + end - begin};
    datas[shard] += data.substr(begin, end - begin);
    map[name] = "part-" + std::to_string(shard) + ".safetensors";
  }
  for (int shard = 0; shard < 2; ++shard) {
    const std::string text = headers[shard].dump();
    const uint64_t size = text.size();
    std::string file(sizeof size, '\0');
    std::memcpy(file.data(), &size, sizeof size);
    WriteText(model / ("part-" + std::to_string(shard) + ".safetensors"),
              file + text + datas[shard]);
  }
  WriteText(model / "model.safetensors.index.json", Json{{"weight_map", map}}.dump());
  fs::remove(model / "model.safetensors");
}

class ModelFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    const auto subject = FindSubject(why);
    if (!subject) GTEST_SKIP() << why;
    if (!subject->tiny) GTEST_SKIP() << "made for a tiny model in safetensors";
    model_ = folder_.path() / "model";
    CopyModel(subject->model, model_);
    std::string rows;
    for (int i = 0; i < 24; ++i)
      rows += "    - {instruction: \"Question " + std::to_string(i) + "\"}\n";
    WriteText(
        folder_.path() / "p.yaml",
        "name: files\n"
        "models: {m: {path: " +
            model_.string() +
            ", max_num_seqs: 2, kv_cache: 8MiB, "
            "generation: {max_new_tokens: 24, temperature: 1}}}\n"
            "steps:\n"
            "- name: rows\n  type: LoadDataFromDicts\n  data:\n" +
            rows +
            "- {name: answer, type: TextGeneration, llm: m, template: \"{{ instruction }}\"}\n");
  }

  static void CopyModel(const fs::path& from, const fs::path& to) {
    fs::remove_all(to);
    fs::copy(from, to, fs::copy_options::recursive);
    fs::permissions(to, fs::perms::owner_all, fs::perm_options::add);
    for (const auto& file : fs::recursive_directory_iterator(to)) {
      fs::permissions(file, fs::perms::owner_all, fs::perm_options::add);
    }
  }

  std::vector<std::string> Arguments(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"run", (folder_.path() / "p.yaml").string(), "--quiet",
                                          "--threads", "2"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::vector<std::string> CachedArguments() const {
    return Arguments({"--output", (folder_.path() / "out").string(), "--cache",
                      (folder_.path() / "cache.sqlite").string(), "--engine-log",
                      (folder_.path() / "log").string()});
  }
  fs::path Output() const { return folder_.path() / "out" / "answer.jsonl"; }

  // What the files as they are give, from nothing.
  std::string Reference() const {
    ScratchFolder fresh;
    const Ended ended = RunRetort(
        Arguments({"--no-cache", "--output", (fresh.path() / "out").string()}), fresh.path());
    EXPECT_LE(ended.exit_status, kSomeRowsFailed) << ended.output;
    return FileText(fresh.path() / "out" / "answer.jsonl");
  }
  void ForgetRun() const {
    fs::remove_all(folder_.path() / "out");
    fs::remove(folder_.path() / "log");
  }
  void ExpectCachedRun(const std::string& expected, const char* when) const {
    ForgetRun();
    const Ended ended = RunRetort(CachedArguments(), folder_.path());
    EXPECT_LE(ended.exit_status, kSomeRowsFailed) << when << ": " << ended.output;
    EXPECT_TRUE(FileText(Output()) == expected) << when << ": a stale or a wrong row";
  }

  ScratchFolder folder_;
  fs::path model_;
};

// Two states of a model's files, and the ways from one to the other while a run reads them.
struct Change {
  const char* what;
  std::function<void(const fs::path& model)> prepare = [](const fs::path&) {};
  std::function<void(const fs::path& model)> alter;
  std::function<void(const fs::path& model)> restore;
  bool in_place = false;  // else the run goes on with the bytes that it opened
};

// Changes one file, and keeps its bytes to put them back.
Change OfFile(
    const char* what, const std::string& file, const std::function<std::string(std::string)>& edit,
    bool in_place = false,
    const std::function<void(const fs::path&)>& prepare = [](const fs::path&) {}) {
  const auto kept = std::make_shared<std::string>();
  const auto write = in_place ? OverwriteInPlace : Rename;
  return {.what = what,
          .prepare = prepare,
          .alter =
              [=](const fs::path& model) {
                *kept = FileText(model / file);
                write(model / file, edit(*kept));
              },
          .restore = [=](const fs::path& model) { write(model / file, *kept); },
          .in_place = in_place};
}

std::vector<Change> Changes() {
  const auto ends_at_once = [](const std::string&) {
    Json ids = Json::array();
    for (int id = 0; id < 200; ++id) ids.push_back(id);
    return Json{{"eos_token_id", ids}}.dump();
  };
  const auto through_link = [](const fs::path& model) {
    fs::create_directory(model / "blobs");
    fs::rename(model / "model.safetensors", model / "blobs" / "0123");
    fs::create_symlink("blobs/0123", model / "model.safetensors");
  };
  const auto other_directory = [](const fs::path& model) {
    const fs::path other = model.string() + ".other";
    if (fs::exists(other)) return;
    fs::copy(model, other, fs::copy_options::recursive);
    WriteText(other / "model.safetensors", OtherWeights(FileText(model / "model.safetensors")));
  };
  const auto swap_directories = [](const fs::path& model) {
    fs::rename(model, model.string() + ".kept");
    fs::rename(model.string() + ".other", model);
    fs::rename(model.string() + ".kept", model.string() + ".other");
  };
  const auto link_to = [](const char* ending) {
    return [ending](const fs::path& model) {
      fs::create_directory_symlink(model.string() + ending, model.string() + ".link");
      fs::rename(model.string() + ".link", model);
    };
  };
  return {
      OfFile("generation_config.json", "generation_config.json", ends_at_once),
      OfFile("the tokenizer", "tokenizer.json",
             [](std::string text) {
               Json json = ParseJson(text, "tokenizer.json");
               json["normalizer"] = {
                   {"type", "Replace"}, {"pattern", {{"String", "e"}}}, {"content", "u"}};
               return json.dump();
             }),
      OfFile("the template", "chat_template.jinja",
             [](const std::string& text) { return "Please. " + text; }),
      OfFile("the weights", "model.safetensors", OtherWeights),
      OfFile("the weights, in place", "model.safetensors", OtherWeights, true),
      OfFile("a shard, in place", "part-1.safetensors", OtherWeights, true, Shard),
      OfFile("what a symbolic link leads to, in place", "model.safetensors", OtherWeights, true,
             through_link),
      {.what = "a model of the same name",
       .prepare = other_directory,
       .alter = swap_directories,
       .restore = swap_directories},
      {.what = "a symbolic link",
       .prepare =
           [=](const fs::path& model) {
             other_directory(model);
             fs::rename(model, model.string() + ".true");
             fs::create_directory_symlink(model.string() + ".true", model);
           },
       .alter = link_to(".other"),
       .restore = link_to(".true")},
  };
}

// Whenever the change comes: a run gives what one of the two states gives or fails and says why,
// and what it leaves in the cache is true of both states ever after.
TEST_F(ModelFiles, NoChangeAtAnyTimeLeavesAWrongRow) {
  const int num_times = Setting("RETORT_MODEL_CHANGES", 3);
  const fs::path original = folder_.path() / "original";
  CopyModel(model_, original);
  for (const Change& change : Changes()) {
    SCOPED_TRACE(change.what);
    for (const char* ending : {"", ".other", ".true"}) fs::remove_all(model_.string() + ending);
    CopyModel(original, model_);
    change.prepare(model_);
    const auto begin = std::chrono::steady_clock::now();
    const std::string before = Reference();
    const auto duration = std::chrono::steady_clock::now() - begin;
    change.alter(model_);
    const std::string after = Reference();
    change.restore(model_);
    ASSERT_NE(before, after);
    int num_failed = 0;
    for (int i = 0; i < num_times; ++i) {
      for (const auto& file : fs::directory_iterator(folder_.path())) {
        if (file.path().filename().string().starts_with("cache.sqlite")) fs::remove(file);
      }
      ForgetRun();
      RetortProcess process(CachedArguments(), folder_.path() / "streams");
      std::this_thread::sleep_for(duration * i / num_times);
      change.alter(model_);
      const Ended ended = process.Wait();
      EXPECT_EQ(ended.signal, 0) << ended.output;
      if (ended.exit_status <= kSomeRowsFailed) {
        const std::string output = FileText(Output());
        EXPECT_TRUE(output == before || output == after) << "rows of neither state";
      } else {
        ++num_failed;
        EXPECT_TRUE(change.in_place) << ended.output;
        EXPECT_EQ(ended.exit_status, 2) << ended.output;
        EXPECT_THAT(ended.output, HasSubstr("changed while it was in use"));
        EXPECT_FALSE(fs::exists(Output()));
      }
      ExpectCachedRun(after, "after the change");
      change.restore(model_);
      ExpectCachedRun(before, "after it was taken back");
    }
    std::cout << change.what << ": " << num_times << " times, " << num_failed << " refused\n";
  }
}

// A file that is cut or written to when the model is at work: the run ends with one clear error,
// with or without a cache.
TEST_F(ModelFiles, AChangeUnderARunningModelIsAClearError) {
  const fs::path weights = model_ / "model.safetensors";
  const std::string bytes = FileText(weights);
  const std::string expected = Reference();
  const std::function<void()> changes[] = {
      [&] { OverwriteInPlace(weights, OtherWeights(bytes)); },
      [&] { fs::resize_file(weights, bytes.size() / 2); },
      [&] { fs::resize_file(weights, 0); },
  };
  for (size_t i = 0; i < std::size(changes); ++i) {
    for (const bool cached : {true, false}) {
      SCOPED_TRACE("change " + std::to_string(i) + (cached ? "" : " without a cache"));
      ForgetRun();
      std::vector<std::string> arguments = CachedArguments();
      if (!cached) arguments.emplace_back("--no-cache");
      // Long enough that the change comes in the middle.
      arguments.insert(arguments.end(), {"--set", "models.m.generation.max_new_tokens=200", "--set",
                                         "models.m.generation.ignore_eos=true"});
      RetortProcess process(arguments, folder_.path() / "streams");
      while (process.Running() && FileText(folder_.path() / "log").empty()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      changes[i]();
      const Ended ended = process.Wait();
      EXPECT_EQ(ended.signal, 0) << ended.output;
      EXPECT_EQ(ended.exit_status, 2) << ended.output;
      EXPECT_THAT(ended.output, HasSubstr("model.safetensors' changed while it was in use"));
      EXPECT_FALSE(fs::exists(Output()));
      Rename(weights, bytes);
    }
  }
  ExpectCachedRun(expected, "when the file is whole again");
}

// All answers are there: the files are digested, and nothing is loaded.
TEST_F(ModelFiles, ARunFromItsCacheLoadsNothing) {
  const std::string expected = Reference();
  ExpectCachedRun(expected, "first");
  ExpectCachedRun(expected, "again");
  const Json report = ParseJson(FileText(folder_.path() / "out" / "run.json"), "run.json");
  EXPECT_EQ(report.at("model_loads"), 0);
  EXPECT_EQ(report.at("models").at(0).at("digest").get<std::string>().size(), 64u);
  EXPECT_FALSE(fs::exists(folder_.path() / "log"));
  // One row more: loaded once, and asked for that row.
  WriteText(folder_.path() / "p.yaml", Replaced(FileText(folder_.path() / "p.yaml"), "  data:\n",
                                                "  data:\n    - {instruction: \"One more\"}\n"));
  ForgetRun();
  EXPECT_EQ(RunRetort(CachedArguments(), folder_.path()).exit_status, 0);
  const Json more = ParseJson(FileText(folder_.path() / "out" / "run.json"), "run.json");
  EXPECT_EQ(more.at("model_loads"), 1);
  EXPECT_EQ(more.at("models").at(0).at("requests"), 1);
}

}  // namespace
}  // namespace retort
