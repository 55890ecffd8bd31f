#include "retort/base/mapped_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/scratch_folder_test.h"

namespace retort {
namespace {

namespace fs = std::filesystem;
using State = MappedFile::State;
using ::testing::HasSubstr;

constexpr size_t kPage = 4096;

class MappedFileTest : public ::testing::Test {
 protected:
  MappedFileTest() {
    folder_ = scratch_.path();
    file_ = folder_ / "file";
  }

  // Writes into the file that is there, at its beginning.
  void Overwrite(const std::string& bytes) const {
    const int descriptor = ::open(file_.c_str(), O_WRONLY);
    ASSERT_EQ(::write(descriptor, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    ::close(descriptor);
  }
  static std::string Message(const MappedFile& file) {
    try {
      file.ThrowChanged();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
      return error.message();
    }
  }

  const ScratchFolder scratch_;
  fs::path folder_;
  fs::path file_;
};

TEST_F(MappedFileTest, SeesWhatBecomesOfItsFile) {
  const std::string content(3 * kPage, 'a');
  struct Case {
    const char* what;
    std::function<void()> act;
    State expected;
  };
  const Case cases[] = {
      {"nothing", [] {}, State::kSame},
      {"it was read", [&] { ReadFile(file_, 1 << 20); }, State::kSame},
      {"overwritten in place", [&] { Overwrite("b"); }, State::kChanged},
      {"overwritten with its own bytes", [&] { Overwrite("a"); }, State::kChanged},
      {"grown", [&] { AppendFile(file_).Append("b"); }, State::kChanged},
      {"cut", [&] { fs::resize_file(file_, kPage); }, State::kChanged},
      {"cut and as long as before",
       [&] {
         fs::resize_file(file_, kPage);
         fs::resize_file(file_, content.size());
       },
       State::kChanged},
      {"touched", [&] { fs::last_write_time(file_, fs::file_time_type::clock::now()); },
       State::kChanged},
      {"replaced", [&] { WriteFileAtomically(file_, "b"); }, State::kRelabelled},
      {"removed", [&] { fs::remove(file_); }, State::kRelabelled},
      {"linked", [&] { fs::create_hard_link(file_, folder_ / "link"); }, State::kRelabelled},
      {"made read-only", [&] { fs::permissions(file_, fs::perms::owner_read); },
       State::kRelabelled},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    fs::remove(folder_ / "link");
    WriteFileAtomically(file_, content);
    MappedFile file(file_);
    c.act();
    EXPECT_EQ(file.Look(), c.expected);
    if (c.expected != State::kRelabelled) continue;
    EXPECT_EQ(file.bytes().size(), content.size());
    EXPECT_EQ(file.bytes().front(), std::byte{'a'});
    file.Remember();
    EXPECT_EQ(file.Look(), State::kSame);
  }
}

// As `rsync --times --inplace` does, and as fast as it can be done after the file was written.
TEST_F(MappedFileTest, AWriteIsSeenThatPutsTheOldTimeBack) {
  for (int i = 0; i < 50; ++i) {
    WriteFileAtomically(file_, "true bytes");
    const MappedFile file(file_);
    struct stat before = {};
    ASSERT_EQ(::stat(file_.c_str(), &before), 0);
    Overwrite("other ones");
    const timespec times[] = {before.st_atim, before.st_mtim};
    ASSERT_EQ(::utimensat(AT_FDCWD, file_.c_str(), times, 0), 0);
    ASSERT_EQ(file.Look(), State::kChanged) << i;
    EXPECT_THAT(Message(file), HasSubstr("written"));
  }
}

TEST_F(MappedFileTest, WhatWasCutReadsAsZerosAndIsSaid) {
  WriteFileAtomically(file_, std::string(8 * kPage, 'a'));
  const MappedFile file(file_);
  const MappedFile other(file_);
  fs::resize_file(file_, 2 * kPage);
  EXPECT_EQ(file.bytes()[2 * kPage - 1], std::byte{'a'});
  EXPECT_EQ(file.bytes()[5 * kPage + 7], std::byte{0});  // without the handler: SIGBUS
  EXPECT_EQ(file.bytes()[3 * kPage], std::byte{0});
  EXPECT_EQ(file.bytes()[8 * kPage - 1], std::byte{0});
  EXPECT_EQ(file.Look(), State::kChanged);
  EXPECT_THAT(Message(file), HasSubstr("had 32768 bytes and has 8192"));
  // Being whole again does not help: zeros were read.
  fs::resize_file(file_, 8 * kPage);
  EXPECT_EQ(file.Look(), State::kChanged);
  EXPECT_EQ(other.bytes()[7 * kPage], std::byte{0});
}

TEST_F(MappedFileTest, OtherBusErrorsStillEndTheProcess) {
  WriteFileAtomically(file_, std::string(2 * kPage, 'a'));
  const MappedFile installs_the_handler(file_);
  WriteFileAtomically(folder_ / "other", std::string(2 * kPage, 'a'));
  const int descriptor = ::open((folder_ / "other").c_str(), O_RDONLY);
  void* address = ::mmap(nullptr, 2 * kPage, PROT_READ, MAP_SHARED, descriptor, 0);
  ASSERT_NE(address, MAP_FAILED);
  fs::resize_file(folder_ / "other", 0);
  EXPECT_DEATH((void)*static_cast<const volatile char*>(address), "");
  EXPECT_DEATH(::raise(SIGBUS), "");
  ::munmap(address, 2 * kPage);
  ::close(descriptor);
}

TEST_F(MappedFileTest, APipeIsRefusedAtOnce) {
  ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
  EXPECT_THROW(MappedFile{file_}, Error);
}

}  // namespace
}  // namespace retort
