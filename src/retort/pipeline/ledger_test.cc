#include "retort/pipeline/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <thread>

#include "retort/pipeline/ledger_file.h"
#include "retort/pipeline/record_codec.h"
#include "retort/pipeline/run_harness_test.h"
#include "retort/pipeline/sqlite_database.h"

namespace retort {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

LineageKey KeyOf(uint64_t number) {
  Sha256 digest;
  return FinishKey(digest.Field(number));
}

class LedgerTest : public ::testing::Test {
 protected:
  fs::path path() const { return dir_.path() / "deep" / "cache.sqlite"; }
  void Execute(const char* sql) const { Database(path(), Database::Mode::kReadWrite).Execute(sql); }
  fake::TempDir dir_;
};

TEST_F(LedgerTest, WhatWasToldCommittedIsThereForTheNextProcess) {
  {
    Ledger ledger(path());
    std::atomic<int> told = 0;
    for (uint64_t i = 0; i < 5000; ++i) {
      ledger.Put({KeyOf(i), RecordKind::kCompletion, std::string(i % 100, 'x')},
                 [&](const Error* error) { told += error == nullptr; });
    }
    ledger.Put({KeyOf(7), RecordKind::kScores, "other kind, same key"});
    ledger.Flush();
    EXPECT_EQ(told, 5000);
    EXPECT_EQ(ledger.num_committed(), 5001u);
  }
  Ledger ledger(path());
  EXPECT_EQ(ledger.Find(KeyOf(42), RecordKind::kCompletion), std::string(42, 'x'));
  EXPECT_EQ(ledger.Find(KeyOf(0), RecordKind::kCompletion), "");
  EXPECT_EQ(ledger.Find(KeyOf(7), RecordKind::kScores), "other kind, same key");
  EXPECT_EQ(ledger.Find(KeyOf(5000), RecordKind::kCompletion), std::nullopt);
  ledger.Put({KeyOf(42), RecordKind::kCompletion, "again"});
  ledger.Flush();
  EXPECT_EQ(ledger.Find(KeyOf(42), RecordKind::kCompletion), "again");
}

TEST_F(LedgerTest, TwoLedgersShareAFile) {
  Ledger a(path());
  Ledger b(path());
  std::thread other([&] {
    for (uint64_t i = 0; i < 500; ++i) b.Put({KeyOf(i), RecordKind::kCompletion, "b"});
    b.Flush();
  });
  for (uint64_t i = 500; i < 1000; ++i) a.Put({KeyOf(i), RecordKind::kCompletion, "a"});
  a.Flush();
  other.join();
  EXPECT_EQ(SummarizeLedger(path()).kinds.at(0).num_records, 1000u);
}

TEST_F(LedgerTest, RecordsAreFoundBeforeAndAfterTheyAreIndexed) {
  constexpr uint64_t kRecords = 70'000;  // more than are left unindexed
  Ledger ledger(path());
  for (uint64_t i = 0; i < kRecords; ++i) {
    ledger.Put({KeyOf(i), RecordKind::kCompletion, std::to_string(i)});
  }
  ledger.Put({KeyOf(0), RecordKind::kCompletion, "later"});
  ledger.Flush();
  EXPECT_EQ(ledger.Find(KeyOf(0), RecordKind::kCompletion), "later");
  for (uint64_t i = 1; i < kRecords; i += 101) {
    ASSERT_EQ(ledger.Find(KeyOf(i), RecordKind::kCompletion), std::to_string(i));
  }
  EXPECT_EQ(ledger.Find(KeyOf(1), RecordKind::kScores), std::nullopt);
  // What a killed process leaves: nothing of the last records is in the index.
  const fs::path killed = dir_.path() / "killed.sqlite";
  fs::copy_file(path(), killed);
  fs::copy_file(path().string() + "-wal", killed.string() + "-wal");
  Ledger next(killed);
  EXPECT_EQ(next.Find(KeyOf(0), RecordKind::kCompletion), "later");
  EXPECT_EQ(next.Find(KeyOf(kRecords - 1), RecordKind::kCompletion), std::to_string(kRecords - 1));
  EXPECT_EQ(SummarizeLedger(killed).kinds.at(0).num_records, kRecords);
}

TEST_F(LedgerTest, ARecordThatAnotherProcessRemovedIsNotFound) {
  Ledger ledger(path());
  ledger.Put({KeyOf(1), RecordKind::kCompletion, "gone"});
  ledger.Flush();
  EXPECT_EQ(CollectLedger(path(), std::nullopt, 0), 1u);
  Ledger other(path());
  other.Put({KeyOf(2), RecordKind::kCompletion, "has its id"});
  other.Flush();
  EXPECT_EQ(ledger.Find(KeyOf(1), RecordKind::kCompletion), std::nullopt);
  ledger.Put({KeyOf(1), RecordKind::kCompletion, "back"});
  ledger.Flush();
  EXPECT_EQ(ledger.Find(KeyOf(1), RecordKind::kCompletion), "back");
}

TEST_F(LedgerTest, AFailedCommitIsToldToAllAndKeepsNothing) {
  LedgerOptions options;
  std::atomic<int> commits = 0;
  options.before_commit = [&](const std::vector<LedgerRecord>&) {
    if (++commits == 2) Throw(ErrorCode::kIo, "the disk is full");
  };
  std::atomic<int> failed = 0;
  {
    Ledger ledger(path(), options);
    ledger.Put({KeyOf(1), RecordKind::kCompletion, "kept"});
    ledger.Flush();
    ledger.Put({KeyOf(2), RecordKind::kCompletion, "lost"},
               [&](const Error* error) { failed += error != nullptr; });
    EXPECT_THROW(ledger.Flush(), Error);
    ledger.Put({KeyOf(3), RecordKind::kCompletion, "late"},
               [&](const Error* error) { failed += error != nullptr; });
    EXPECT_THROW(ledger.Put({KeyOf(4), RecordKind::kCompletion, "later"}), Error);
  }
  EXPECT_EQ(failed, 2);
  Ledger again(path());
  EXPECT_EQ(again.Find(KeyOf(1), RecordKind::kCompletion), "kept");
  EXPECT_EQ(again.Find(KeyOf(2), RecordKind::kCompletion), std::nullopt);
}

std::string OpenError(const fs::path& path) {
  try {
    Ledger ledger(path);
    for (uint64_t i = 0; i < 200; ++i) ledger.Find(KeyOf(i), RecordKind::kCompletion);
  } catch (const Error& error) {
    return std::string(ErrorCodeName(error.code())) + ": " + error.message();
  }
  return "opened";
}

TEST_F(LedgerTest, DamageIsAnErrorThatNamesTheFileAndTheWayOut) {
  fs::create_directories(path().parent_path());
  std::ofstream(path()) << std::string(5000, 'z');
  EXPECT_THAT(OpenError(path()), HasSubstr("corrupt: the cache '" + path().string() +
                                           "' is damaged (file is not a database): delete it"));
  // Another program's database.
  fs::remove(path());
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "CREATE TABLE t (x)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  EXPECT_THAT(OpenError(path()), HasSubstr("not a cache of retort"));
  // A flipped bit inside a value, which SQLite does not see.
  fs::remove(path());
  const std::string value(3000, 'q');
  {
    Ledger ledger(path());
    for (uint64_t i = 0; i < 10; ++i) ledger.Put({KeyOf(i), RecordKind::kCompletion, value});
  }
  CollectLedger(path(), std::nullopt, std::nullopt);  // empties the write-ahead log
  std::string bytes = fake::FileText(path());
  const size_t at = bytes.find("qqqqqqqq");
  ASSERT_NE(at, std::string::npos);
  bytes[at + 100] = 'Q';
  std::ofstream(path(), std::ios::binary) << bytes;
  EXPECT_THAT(OpenError(path()), HasSubstr("the checksum of record"));
  // A folder that cannot be made.
  EXPECT_THAT(OpenError("/proc/none/cache.sqlite"),
              HasSubstr("cannot make the folder '/proc/none'"));
}

// Each byte of a value counts, those that fill no word of the checksum among them.
TEST_F(LedgerTest, AnyByteThatChangedIsNoticed) {
  for (size_t size = 1; size <= 17; ++size) {
    const std::string value(size, 'q');
    for (size_t at = 0; at < size; ++at) {
      fs::remove_all(path().parent_path());
      {
        Ledger ledger(path());
        ledger.Put({KeyOf(1), RecordKind::kCompletion, value});
      }
      std::string changed = SealValue(KeyOf(1), value);
      const size_t text = changed.find(value);
      ASSERT_NE(text, std::string::npos);
      changed[text + at] = 'Q';
      Database database(path(), Database::Mode::kReadWrite);
      Statement set(database, "UPDATE records SET value = ?");
      set.BindBlob(1, changed);
      set.Step();
      bool noticed = false;
      try {
        Ledger ledger(path());
        noticed = !ledger.Find(KeyOf(1), RecordKind::kCompletion);
      } catch (const Error&) {
        noticed = true;
      }
      EXPECT_TRUE(noticed) << at << " of " << size;
    }
  }
}

TEST_F(LedgerTest, AFileOfTheFirstLayoutIsTakenOver) {
  const std::string value = SealValue(KeyOf(1), "old");
  fs::create_directories(path().parent_path());
  {
    Database database(path(), Database::Mode::kReadWrite);
    database.Execute(
        "CREATE TABLE records (id INTEGER PRIMARY KEY, key BLOB NOT NULL, kind INTEGER NOT NULL, "
        "used INTEGER NOT NULL, value BLOB NOT NULL);"
        "CREATE UNIQUE INDEX record_keys ON records (key, kind);"
        "PRAGMA application_id = 0x52746c64; PRAGMA user_version = 1");
    Statement add(database, "INSERT INTO records (key, kind, used, value) VALUES (?, 1, ?, ?)");
    const LineageKey key = KeyOf(1);
    add.BindBlob(1, key.view());
    add.BindInt(2, LedgerSecond() / 86400);  // that layout counted days
    add.BindBlob(3, value);
    add.Step();
  }
  EXPECT_EQ(CollectLedger(path(), std::chrono::hours(1), std::nullopt), 0u);
  Ledger ledger(path());
  EXPECT_EQ(ledger.Find(KeyOf(1), RecordKind::kCompletion), "old");
  ledger.Put({KeyOf(2), RecordKind::kCompletion, "new"});
  ledger.Flush();
  EXPECT_EQ(ledger.Find(KeyOf(2), RecordKind::kCompletion), "new");
  Ledger again(path());
  EXPECT_EQ(again.Find(KeyOf(2), RecordKind::kCompletion), "new");
  {
    Database database(path(), Database::Mode::kReadWrite);
    database.Execute("PRAGMA user_version = 4");
  }
  EXPECT_THAT(OpenError(path()), HasSubstr("has the layout 4, this build reads up to 3"));
}

TEST_F(LedgerTest, CollectingDropsTheOldestAndGivesSpaceBack) {
  {
    Ledger ledger(path());
    for (uint64_t i = 0; i < 1000; ++i) {
      ledger.Put({KeyOf(i), RecordKind::kCompletion, std::string(992, 'x')});
    }
  }
  const uint64_t before = fs::file_size(path());
  EXPECT_EQ(CollectLedger(path(), std::chrono::hours(24), std::nullopt), 0u);
  EXPECT_EQ(CollectLedger(path(), std::nullopt, 100'000), 900u);
  const LedgerSummary summary = SummarizeLedger(path());
  ASSERT_EQ(summary.kinds.size(), 1u);
  EXPECT_EQ(summary.kinds[0].name, "completions");
  EXPECT_EQ(summary.kinds[0].num_records, 100u);
  EXPECT_LT(summary.file_bytes, before);
  Ledger ledger(path());
  EXPECT_TRUE(ledger.Find(KeyOf(999), RecordKind::kCompletion));
  EXPECT_FALSE(ledger.Find(KeyOf(0), RecordKind::kCompletion));
  EXPECT_EQ(CollectLedger(dir_.path() / "none.sqlite", std::nullopt, 0), 0u);
}

TEST_F(LedgerTest, AgesAreCountedInSeconds) {
  {
    Ledger ledger(path());
    for (uint64_t i = 0; i < 24; ++i) {
      ledger.Put({KeyOf(i), RecordKind::kCompletion, "x"});
    }
  }
  // Of each hour of the last day one, whatever the time of day is.
  Execute("UPDATE records SET used = used - (id - 1) * 3600");
  EXPECT_EQ(CollectLedger(path(), std::chrono::hours(36), std::nullopt), 0u);
  EXPECT_EQ(CollectLedger(path(), std::chrono::hours(12), std::nullopt), 12u);
  EXPECT_EQ(CollectLedger(path(), std::chrono::minutes(90), std::nullopt), 10u);
  Ledger ledger(path());
  EXPECT_TRUE(ledger.Find(KeyOf(0), RecordKind::kCompletion));
  EXPECT_TRUE(ledger.Find(KeyOf(1), RecordKind::kCompletion));
  EXPECT_FALSE(ledger.Find(KeyOf(2), RecordKind::kCompletion));
}

TEST_F(LedgerTest, AClockThatWasSetBackDoesNotKeepRecordsForEver) {
  {
    Ledger ledger(path());
    ledger.Put({KeyOf(1), RecordKind::kCompletion, "x"});
  }
  Execute("UPDATE records SET used = used + 1000 * 86400");
  { EXPECT_TRUE(Ledger(path()).Find(KeyOf(1), RecordKind::kCompletion)); }
  Execute("UPDATE records SET used = used - 3600");
  EXPECT_EQ(CollectLedger(path(), std::chrono::minutes(30), std::nullopt), 1u);
}

// While another process has the file open. What it puts afterwards may get the ids of what is gone,
// and is found all the same when the file is opened again.
TEST_F(LedgerTest, CollectingUnderAnOpenLedgerHidesNothingThatComesLater) {
  {
    Ledger ledger(path());
    for (uint64_t i = 0; i < 10; ++i) ledger.Put({KeyOf(i), RecordKind::kCompletion, "old"});
    ledger.Flush();
    EXPECT_EQ(CollectLedger(path(), std::nullopt, 0), 10u);
    for (uint64_t i = 100; i < 103; ++i) ledger.Put({KeyOf(i), RecordKind::kCompletion, "new"});
    ledger.Flush();
    EXPECT_EQ(ledger.Find(KeyOf(3), RecordKind::kCompletion), std::nullopt);
    EXPECT_EQ(ledger.Find(KeyOf(101), RecordKind::kCompletion), "new");
  }
  Ledger ledger(path());
  for (uint64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(ledger.Find(KeyOf(i), RecordKind::kCompletion), std::nullopt);
  }
  for (uint64_t i = 100; i < 103; ++i) {
    EXPECT_EQ(ledger.Find(KeyOf(i), RecordKind::kCompletion), "new") << i;
  }
}

TEST_F(LedgerTest, UsingARecordMakesItYoung) {
  {
    Ledger ledger(path());
    ledger.Put({KeyOf(1), RecordKind::kCompletion, "used"});
    ledger.Put({KeyOf(2), RecordKind::kCompletion, "idle"});
  }
  Execute("UPDATE records SET used = used - 30 * 86400");
  {
    Ledger ledger(path());
    EXPECT_TRUE(ledger.Find(KeyOf(1), RecordKind::kCompletion));
  }
  EXPECT_EQ(CollectLedger(path(), std::chrono::hours(24 * 7), std::nullopt), 1u);
  Ledger ledger(path());
  EXPECT_TRUE(ledger.Find(KeyOf(1), RecordKind::kCompletion));
}

TEST(RecordCodec, AnswersComeBackAsTheyWere) {
  Completion completion;
  completion.text = "h\xC3\xA9llo";
  completion.token_ids = {1, -2, 70000};
  completion.finish_reason = FinishReason::kLength;
  completion.logprobs = {{5, -0.5f, {{5, -0.5f}, {6, -1.25f}}}, {7, -2.0f, {}}};
  const Response decoded =
      DecodeResponse(RecordKind::kCompletion, EncodeResponse({completion, {.prompt_tokens = 70}}));
  EXPECT_EQ(decoded.usage.prompt_tokens, 70);
  const Completion& back = std::get<Completion>(decoded.result);
  EXPECT_EQ(back.text, completion.text);
  EXPECT_EQ(back.token_ids, completion.token_ids);
  EXPECT_EQ(back.finish_reason, FinishReason::kLength);
  EXPECT_TRUE(back.constraint_met);
  completion.constraint_met = false;
  const Response cut = DecodeResponse(RecordKind::kCompletion, EncodeResponse({completion, {}}));
  EXPECT_FALSE(std::get<Completion>(cut.result).constraint_met);
  ASSERT_EQ(back.logprobs.size(), 2u);
  EXPECT_EQ(back.logprobs[0].top, completion.logprobs[0].top);
  const Response scores =
      DecodeResponse(RecordKind::kScores, EncodeResponse({Scores{{{-1.5, -0.25, 3}}}, {}}));
  EXPECT_EQ(std::get<Scores>(scores.result).continuations.at(0).first_token_logprob, -0.25);
  const Response embedding =
      DecodeResponse(RecordKind::kEmbedding, EncodeResponse({EmbeddingVector{{0.1f, -3e38f}}, {}}));
  EXPECT_EQ(std::get<EmbeddingVector>(embedding.result).values, (std::vector<float>{0.1f, -3e38f}));
}

TEST(RecordCodec, RowsComeBackToTheBit) {
  const Json row = Json::parse(
      R"({"z":null,"a":[1,-1,1.0,0.1,1e300,18446744073709551615],"t":"é","o":{"k":[]},"b":true})");
  EXPECT_EQ(DumpJson(DecodeRow(EncodeRow(row))), DumpJson(row));
}

TEST(RecordCodec, OutputsComeBackWithTheirContextAndMarks) {
  for (const AnswerMarks marks : {AnswerMarks{false, false}, AnswerMarks{true, false},
                                  AnswerMarks{false, true}, AnswerMarks{true, true}}) {
    const StepOutputs outputs = DecodeOutputs(EncodeOutputs({int64_t{1} << 40, marks, "row"}));
    EXPECT_EQ(outputs.context_tokens, int64_t{1} << 40);
    EXPECT_EQ(outputs.marks, marks);
    EXPECT_EQ(outputs.row, "row");
  }
  EXPECT_THROW(DecodeOutputs("short"), Error);
}

TEST(RecordCodec, EveryCutAndFlipIsAnErrorOrAnAnswer) {
  Completion completion;
  completion.text = "some text";
  completion.token_ids = {1, 2, 3};
  completion.logprobs = {{5, -0.5f, {{5, -0.5f}}}};
  const std::string good = EncodeResponse({completion, {}});
  for (size_t i = 0; i < good.size(); ++i) {
    EXPECT_THROW(DecodeResponse(RecordKind::kCompletion, good.substr(0, i)), Error) << i;
    std::string flipped = good;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x80);
    try {
      DecodeResponse(RecordKind::kCompletion, flipped);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    }
  }
  EXPECT_THROW(DecodeRow("\xFF\xFF"), Error);
}

}  // namespace
}  // namespace retort
